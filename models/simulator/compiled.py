"""How the simulator's inner loops are compiled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import numba
import numpy as np

from hw.spec import timing
from models.cache import CacheError, cache_folder

HERE = Path(__file__).resolve().parent

# numba's cache looks at the file of a function but not at those it calls or takes numbers from,
# so every state of the sources has a cache of its own.
_sources = (*sorted(HERE.glob("*.py")), Path(timing.__file__))
_digest = hashlib.sha256(b"".join(path.read_bytes() for path in _sources))
SOURCES = _digest.hexdigest()[:16]
"""Changes with the simulator."""


def _cache() -> Path | None:
    """Of numba's own variable if it is set; None where nothing can be kept."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    try:
        return (Path(given) if given else cache_folder() / "numba") / SOURCES
    except CacheError:
        return None


CACHE = _cache()
if CACHE is not None:
    setattr(numba.config, "CACHE_DIR", str(CACHE))  # noqa: B010

# Without reference counts: a function that allocates nothing needs none.
_OPTIONS: dict[str, Any] = {"cache": CACHE is not None, "_nrt": False}

Function = TypeVar("Function", bound=Callable[..., Any])


class Compile(Protocol):
    """A decorator that leaves the function's type as it is."""

    def __call__(self, function: Function, /) -> Function: ...


class Record(Protocol):
    """An element of a structured array: to compiled code its fields are attributes."""

    def __getattr__(self, field: str, /) -> Any: ...

    def __setattr__(self, field: str, value: Any, /) -> None: ...


Records: TypeAlias = np.ndarray
"""A structured array."""

compiled: Compile = numba.njit(forceinline=True, **_OPTIONS)
"""For functions that work on the records they are given and allocate nothing. They end up in one
loop without calls, 25 times as fast as with them."""

entry_point: Compile = numba.njit(**_OPTIONS)
"""For those that Python calls."""
