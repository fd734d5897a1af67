"""What commands print: on a terminal, through a pipe, and in encodings without every sign."""

from __future__ import annotations

import codecs
import sys

from rich.console import Console as RichConsole
from rich.table import Table as RichTable

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


class Console(RichConsole):
    """Says a broken pipe as any other stream does, and prints no cell cut off."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True)

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
