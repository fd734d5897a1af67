"""What commands print: on a terminal, through a pipe, and in encodings without every sign."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any

from rich.console import Console as RichConsole
from rich.table import Table as RichTable

from scin.errors import InputError

PLAIN = {
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{MICRO SIGN}": "u",
}
"""What stands in for a sign that an encoding lacks; others become question marks."""

ERRORS = "scin.plain"
"""Name of the way that codecs write what they cannot encode."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(PLAIN.get(sign, "?") for sign in signs), error.end


codecs.register_error(ERRORS, _plain)


def write_any_sign() -> None:
    """From now on stdout and stderr print in plain signs what their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)


class ClosedStdout(io.RawIOBase):
    """In the place of a stdout that was closed before the command started: refuses what it gets,
    so that nothing is lost without a word."""

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        raise InputError(STDOUT_IS_CLOSED)


STDOUT_IS_CLOSED = "stdout: is closed, and the output would be lost"


def replace_closed_streams() -> None:
    """From now on stdout and stderr are streams, and no file that is opened takes the place of
    one that was closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(ClosedStdout(), encoding="utf-8", write_through=True)
    if sys.stderr is None:
        # Otherwise print() would write to stdout what is meant for stderr.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def check_stdout() -> None:
    """Raise :class:`InputError` where stdout is closed, before anything is computed for it."""
    if isinstance(getattr(sys.stdout, "buffer", None), ClosedStdout):
        raise InputError(STDOUT_IS_CLOSED)


class Console(RichConsole):
    """Says a broken pipe as any other stream does, and prints text as it is: no cell is cut off,
    and what stands in brackets or between colons is no style and no picture."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

    def table(self, table: RichTable) -> None:
        """As wide as its cells, whatever the terminal; a narrower one wraps its lines."""
        before = self._width
        try:
            self.width = WIDEST
            self.print(table)
        finally:
            self._width = before


WIDEST = 1000
"""Characters of a line."""
