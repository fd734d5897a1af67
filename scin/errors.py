"""Errors that a user can cause or mend, and the exit status of each."""

from __future__ import annotations

EXIT_WRONG, EXIT_BAD_INPUT, EXIT_MISSING_TOOL = 1, 2, 3


class InputError(ValueError):
    """Arguments, input files or outputs that cannot be used. The message names what the user
    wrote, and the bound that it breaks."""


class CapacityError(ValueError):
    """The tensors do not fit the endpoints' memory, or this machine's."""


class MissingToolError(RuntimeError):
    """A program this command needs is not installed; the message says how to get it."""


class BuildError(RuntimeError):
    """A build step failed; the message ends with the last lines it printed."""


class CollectiveError(RuntimeError):
    """A collective ended with an error of the hardware; the message names its status."""


class HangError(RuntimeError):
    """Something that must end did not; the message names what was waited for."""


class BusError(RuntimeError):
    """A register access failed or was never answered."""


class RefusedError(BusError):
    """A register does not accept what was written, or there is nothing to read: nothing has
    happened. The message names register and value."""


STATUS: dict[type[Exception], int] = {
    InputError: EXIT_BAD_INPUT,
    CapacityError: EXIT_BAD_INPUT,
    MissingToolError: EXIT_MISSING_TOOL,
    BuildError: EXIT_WRONG,
    CollectiveError: EXIT_WRONG,
    HangError: EXIT_WRONG,
    BusError: EXIT_WRONG,
}
"""Exit status of a command that ends with an error, or one derived from it."""
