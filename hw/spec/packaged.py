"""Files that belong to a package but are no Python: presets, simulation shells, tables."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def packaged(package: str, *names: str) -> Path:
    """A file or folder inside a package. It has a path, which other programs are given: these
    packages are never imported out of an archive. ``configs/`` and ``rtl/`` are inside ``hw`` by
    links, which a wheel holds as folders; the path is that without links, the same for everyone.
    """
    return Path(str(files(package))).joinpath(*names).resolve()
