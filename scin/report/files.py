"""Every file and every folder that a command writes: where a path leads, and how it is written.

What a path names is written to, as a shell's redirection would: a device, a pipe and an open
descriptor (``/dev/stdout``, ``/dev/fd/3``) get the bytes, and the target of a symbolic link is
written. An ordinary file keeps its mode and its owner, and is whole or as it was before, whatever
happens; modes of new files are what the umask says.

Commands declare their outputs with :class:`OutputFile` and :class:`OutputFolder`, which look
before anything runs whether they can be written.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from scin.errors import InputError
from scin.report.terminal import check_stdout

STDOUT = "-"
MOST_LINKS = 40
"""Symbolic links that one path may lead through; Linux follows as many."""


@dataclass(frozen=True)
class Place:
    """Where a path leads. ``info`` is None where nothing is there yet."""

    path: Path
    """Without symbolic links."""
    info: os.stat_result | None
    descriptor: int | None = None
    """Of this process, if the path names one that is open."""

    @property
    def ordinary(self) -> bool:
        """A file on a disk, or none yet: neither descriptor, device nor pipe."""
        absent = self.info is None or stat.S_ISREG(self.info.st_mode)
        return self.descriptor is None and absent

    @property
    def replaceable(self) -> bool:
        """Whether another file may take its place without a difference that shows."""
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            return False
        if self.info is None:
            return True
        mine = self.info.st_uid == os.geteuid() or os.geteuid() == 0
        return mine and self.info.st_nlink == 1


def descriptor_of(path: str | Path) -> int | None:
    """The open descriptor of this process that a path leads to, as ``/dev/stdout`` does."""
    own = os.path.realpath("/proc/self/fd")
    text = os.fspath(path)
    for _ in range(MOST_LINKS):
        folder, name = os.path.split(text)
        if os.path.realpath(folder or ".") == own:
            return int(name) if name.isdecimal() else None
        if not os.path.islink(text):
            return None
        text = os.path.join(folder, os.readlink(text))
    return None


def place_of(path: str | Path) -> Place:
    """Raises OSError or ValueError for a path that leads nowhere."""
    text = os.fspath(path)
    if not text:
        raise ValueError("must name a file")
    descriptor = descriptor_of(text)
    if descriptor is not None:
        return Place(Path(text), os.fstat(descriptor), descriptor)
    real = Path(os.path.realpath(text))
    try:
        return Place(real, os.stat(real))
    except FileNotFoundError:
        if text.endswith(os.sep):
            raise ValueError("is a folder") from None
        return Place(real, None)


def reason(error: OSError | ValueError) -> str:
    """What went wrong, without number and path."""
    text = error.strerror if isinstance(error, OSError) else None
    text = text or str(error) or type(error).__name__
    return text[0].lower() + text[1:]


def check_file(name: str, path: str | Path, *, room: int = 1) -> None:
    """Raise :class:`InputError` if a file cannot be written there.

    ``name`` is the option's; ``room``: bytes the file will have at least.
    """
    try:
        place = place_of(path)
        trouble = _trouble(place, room)
    except (OSError, ValueError) as error:
        trouble = reason(error)
    if trouble:
        raise InputError(f"{name} {path}: {trouble}")


def _trouble(place: Place, room: int) -> str | None:
    if place.descriptor is not None:
        mode = fcntl.fcntl(place.descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        return "is open for reading only" if mode == os.O_RDONLY else None
    if place.info is None:
        return _folder_trouble(place.path.parent) or _lack_of_room(place.path.parent, room)
    mode = place.info.st_mode
    if stat.S_ISDIR(mode):
        return "is a folder"
    if stat.S_ISSOCK(mode):
        return "is a socket"
    if not os.access(place.path, os.W_OK):
        return "is not writable"
    return _lack_of_room(place.path.parent, room) if place.ordinary else None


def _folder_trouble(folder: Path) -> str | None:
    if not folder.exists():
        return f"its folder does not exist: {folder}"
    if not folder.is_dir():
        return f"{folder} is not a folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"its folder is not writable: {folder}"
    return None


def _lack_of_room(folder: Path, room: int) -> str | None:
    disk = os.statvfs(folder)
    free = disk.f_frsize * (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail)
    # Some file systems of a kernel's own making do not count blocks.
    if disk.f_blocks and free < room:
        return f"takes {room} B, and {free} B are free on its disk"
    return None


def check_folder(name: str, path: str | Path, files: Iterable[str] = (), *, room: int = 1) -> None:
    """Raise :class:`InputError` if ``files`` cannot be written into a folder, which need not be
    there yet."""
    try:
        real = Path(os.path.realpath(os.fspath(path)))
        if not os.fspath(path):
            raise ValueError("must name a folder")
        there = next(folder for folder in (real, *real.parents) if folder.exists())
        if not there.is_dir():
            trouble = "is not a folder" if there == real else f"{there} is not a folder"
        elif not os.access(there, os.W_OK | os.X_OK):
            trouble = "is not writable" if there == real else f"{there} is not writable"
        else:
            trouble = _lack_of_room(there, room) or ""
    except (OSError, ValueError) as error:
        trouble = reason(error)
    if trouble:
        raise InputError(f"{name} {path}: {trouble}")
    for file in files:
        if there == real:
            check_file(name, real / file)
        claim_file(name, real / file)


def make_folder(path: str | Path) -> Path:
    """A folder that is there from now on, and those above it."""
    real = Path(os.path.realpath(path))
    try:
        real.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {reason(error)}") from error
    return real


def write_file(path: str | Path, content: bytes) -> None:
    """Raises :class:`InputError`, which names the path and what is in the way."""
    copy_file(path, io.BytesIO(content))


def copy_file(path: str | Path, source: BinaryIO) -> None:
    """As :func:`write_file`, all that ``source`` holds."""
    try:
        with opened(place_of(path)) as file:
            shutil.copyfileobj(source, file)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {path}: {reason(error)}") from error


def move_file(path: str | Path, source: Path) -> None:
    """As :func:`copy_file`, a file that is no longer needed where it is."""
    try:
        place = place_of(path)
        if place.ordinary and place.replaceable and source.parent == place.path.parent:
            if place.info is not None:
                make_alike(source, place.info)
            os.replace(source, place.path)
            return
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {path}: {reason(error)}") from error
    with source.open("rb") as file:
        copy_file(path, file)
    source.unlink()


@contextmanager
def opened(place: Place) -> Iterator[BinaryIO]:
    """A place, open for writing."""
    if place.descriptor is not None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with os.fdopen(os.dup(place.descriptor), "wb") as file:
            yield file
    elif not place.ordinary:
        # Neither made nor cut: it is there, and has no length.
        with os.fdopen(os.open(place.path, os.O_WRONLY | os.O_CLOEXEC), "wb") as file:
            yield file
    elif place.replaceable:
        with replaced(place) as file:
            yield file
    else:
        with place.path.open("wb") as file:
            yield file


@contextmanager
def replaced(place: Place, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A new file that takes its place when it is whole. ``mode``: of a file that was not there,
    before the umask."""
    new = place.path.with_name(f".scin-{secrets.token_hex(8)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            if place.info is not None:
                make_alike(descriptor, place.info)
            yield file
        try:
            os.replace(new, place.path)
        except OSError as error:
            # A file that is mounted by itself stays where it is.
            if error.errno != errno.EBUSY:
                raise
            with new.open("rb") as whole, place.path.open("wb") as file:
                shutil.copyfileobj(whole, file)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


def make_alike(file: int | Path, info: os.stat_result) -> None:
    """Give a file the owner and the mode of another."""
    own = os.stat(file)
    if (own.st_uid, own.st_gid) != (info.st_uid, info.st_gid):
        # A user may be outside of the group; the file is then theirs alone.
        with suppress(PermissionError):
            os.chown(file, info.st_uid, info.st_gid)
    os.chmod(file, stat.S_IMODE(info.st_mode))


def takes_stdout(*paths: str | Path | None) -> bool:
    """Whether one of these outputs goes to stdout, so that nothing else may."""
    return any(path is not None and (path == STDOUT or descriptor_of(path) == 1) for path in paths)


class OutputFile(click.ParamType[str]):
    """A file that the command writes, checked before it runs. ``endings``: those that its name
    may have; devices and pipes may have any. ``dash``: whether ``-`` is stdout."""

    name = "file"

    def __init__(self, *endings: str, dash: bool = False) -> None:
        self.endings = endings
        self.dash = dash

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = option_name(param)
        to_stdout = takes_stdout(value)
        if to_stdout:
            check_stdout()
        if self.dash and to_stdout:
            value = STDOUT
        else:
            check_file(name, value)
            if self.endings and place_of(value).ordinary:
                self._check_ending(name, value)
        claim_file(name, value)
        return value

    def _check_ending(self, name: str, value: str) -> None:
        if Path(value).suffix.lower() not in self.endings:
            raise InputError(f"{name} {value}: must end in {' or '.join(self.endings)}")


class OutputFolder(click.ParamType[str]):
    """A folder that the command writes into, checked before it runs."""

    name = "folder"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        check_folder(option_name(param), value)
        return value


def option_name(param: click.Parameter | None) -> str:
    """As the user wrote it, without dashes."""
    return param.opts[0].lstrip("-") if param is not None else "output"


OUTPUTS, INPUTS = f"{__name__}.outputs", f"{__name__}.inputs"
"""What the running command writes and reads: for each file, the option and the path."""


def claim_file(name: str, path: str | Path) -> None:
    """Raise :class:`InputError` if another output of the running command is this file.
    ``name``: of the option that it is written for."""
    context = click.get_current_context(silent=True)
    where = _identity(path)
    if context is None or where is None:
        return
    read = context.meta.get(INPUTS, {}).get(where)
    if read is not None:
        raise InputError(f"{name} {path}: would replace {read[0]} {read[1]}, which is read")
    taken = context.meta.setdefault(OUTPUTS, {})
    other, its_path = taken.setdefault(where, (name, str(path)))
    if (other, its_path) != (name, str(path)):
        raise InputError(f"{name} {path}: is where --{other} is written")


def refuse_written(name: str, path: str | Path) -> None:
    """Raise :class:`InputError` if the running command writes what it reads at ``path``, now or
    when such an output is claimed."""
    context = click.get_current_context(silent=True)
    if context is None or not os.path.exists(path):
        return
    where = _identity(path)
    taken = context.meta.get(OUTPUTS, {}).get(where)
    if taken is not None:
        raise InputError(f"{taken[0]} {taken[1]}: would replace {name} {path}, which is read")
    context.meta.setdefault(INPUTS, {})[where] = (name, str(path))


def _identity(path: str | Path) -> Hashable | None:
    """The same for every path to a file; None for what several outputs may be written to."""
    if takes_stdout(path):
        return STDOUT
    place = place_of(path)
    if place.info is None:
        return place.path
    if stat.S_ISREG(place.info.st_mode):
        return place.info.st_dev, place.info.st_ino
    return place.descriptor
