"""How the simulator's inner loops are compiled."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numba

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / "build" / "numba"

# numba's cache looks at the file of a function but not at those it calls, so every state of
# the sources has a cache of its own.
_digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(HERE.glob("*.py"))))
SOURCES = _digest.hexdigest()[:16]
"""Changes with the simulator."""

setattr(numba.config, "CACHE_DIR", str(CACHE / SOURCES))  # noqa: B010

# Without reference counts: a function that allocates nothing needs none.
_OPTIONS: dict[str, Any] = {"cache": True, "_nrt": False}

compiled: Any = numba.njit(forceinline=True, **_OPTIONS)
"""For functions that work on the records they are given and allocate nothing. They end up in one
loop without calls, 25 times as fast as with them."""

entry_point: Any = numba.njit(**_OPTIONS)
"""For those that Python calls."""
