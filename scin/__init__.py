"""Collectives of arrays through the switch, from Python: see ``docs/python.md``.

What is public stands here; all else may change. It is imported when it is first used, because
the command line, which is in this package too, is to begin without numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from scin import errors

if TYPE_CHECKING:
    from scin.api import (
        Result,
        allgather,
        allreduce,
        broadcast,
        close,
        predict,
        reduce,
        reducescatter,
    )

__all__ = [
    "Result",
    "allgather",
    "allreduce",
    "broadcast",
    "close",
    "errors",
    "predict",
    "reduce",
    "reducescatter",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("scin.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
