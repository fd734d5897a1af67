"""Files that are made once and kept, by what they are made from."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from filelock import FileLock

from models.cache import CacheError, cache_folder
from scin.report.files import Place, make_folder, replaced


def digest(*parts: bytes) -> str:
    result = hashlib.sha256()
    for part in parts:
        result.update(len(part).to_bytes(8, "little"))
        result.update(part)
    return result.hexdigest()[:20]


def lock(target: Path) -> AbstractContextManager[object]:
    """Held by the process that makes a file or a folder; others wait and find it made."""
    if target.exists():
        return nullcontext()
    make_folder(target.parent)
    file = target.with_suffix(".lock")
    # FileLock would make the file for its owner alone; the umask is to decide who may wait.
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
    return FileLock(file)


def write_atomically(target: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a file so that it is either whole or absent; ``mode`` is before the umask."""
    with replaced(Place(target, None), mode) as file:
        file.write(content)


def work_folder(prefix: str) -> Path:
    """A new folder, in the cache or, since make cannot name a file behind a space, where the
    path has none."""
    for parent in (cache_folder(), Path(tempfile.gettempdir()), Path("/var/tmp")):
        if not any(sign.isspace() for sign in str(parent)):
            folder = parent / f"{prefix}{secrets.token_hex(8)}"
            folder.mkdir()
            return folder
    raise CacheError("no folder to build in has a path without spaces: set TMPDIR to one")


def behind_no_space(path: Path, folder: Path) -> Path:
    """The same file or folder, by a path without spaces: a link in ``folder`` if it has some."""
    if not any(sign.isspace() for sign in str(path)):
        return path
    link = folder / "_".join(path.name.split())
    os.symlink(path, link)
    return link
