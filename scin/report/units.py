"""Numbers as people read them."""

from __future__ import annotations

UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def size_text(size: float) -> str:
    """Bytes in the largest unit that leaves a whole number: 256 KiB, 1 MiB, 1000 B."""
    for unit, name in UNITS:
        if size >= unit and size % unit == 0:
            return f"{int(size) // unit} {name}"
    return f"{int(size)} B"
