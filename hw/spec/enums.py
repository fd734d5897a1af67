"""Enumerations that have a number of bits: Amaranth's, shown to type checkers as Python's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import enum

    class IntEnum(enum.IntEnum):
        def __init_subclass__(cls, *, shape: int) -> None: ...
else:
    from amaranth.lib.enum import IntEnum

__all__ = ["IntEnum"]
