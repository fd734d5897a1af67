"""Files that a user names, read whole: never without end, whatever a path leads to."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LARGEST_TEXT = 1 << 24
"""Bytes of a description or a table: far beyond any that a user writes."""


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Errors of what a file says name the file; those that do so already stay as they are."""
    try:
        yield
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


@contextmanager
def without_number() -> Iterator[None]:
    """What the system refuses is a ValueError that says why, without number and path: whoever
    asked for the file names it."""
    try:
        yield
    except OSError as error:
        raise ValueError(error.strerror.lower() if error.strerror else str(error)) from error


@without_number()
def check_input(path: Path, largest: int) -> None:
    """Raise ValueError for what is no file on a disk, or is larger than ``largest`` bytes: a
    device or a pipe may never end, or never begin."""
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise ValueError("must be a regular file")
    if info.st_size > largest:
        raise ValueError(f"takes {info.st_size} B: must be at most {largest} B")


def stem_of(path: Path) -> str:
    """Name of a file without its ending, as text: a byte that is no UTF-8 becomes U+FFFD."""
    return os.fsencode(path.stem).decode("utf-8", errors="replace")


@without_number()
def read_input(path: Path) -> str:
    """Raises ValueError, as :func:`check_input`, and for what is no UTF-8."""
    check_input(path, LARGEST_TEXT)
    return path.read_text(encoding="utf-8")
