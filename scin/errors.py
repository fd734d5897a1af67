"""Errors that a user can cause or mend, and the exit status of each."""

from __future__ import annotations

EXIT_WRONG, EXIT_BAD_INPUT, EXIT_MISSING_TOOL = 1, 2, 3


class BuildError(RuntimeError):
    """A build step failed; the message ends with the last lines it printed. Exit status 1."""


class InputError(ValueError):
    """Arguments, input files or outputs that cannot be used; exit status 2. The message names
    what the user wrote, and the bound that it breaks."""
