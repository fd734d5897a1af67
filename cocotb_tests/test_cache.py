"""Where computed things are kept: for whom, how readable, and what else can be done without."""

import ctypes
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from models import cache
from models.cache import REPOSITORY, CacheError, cache_folder, cached, candidates, lend_to_tools
from scin.errors import InputError
from scin.flow.cache import behind_no_space, lock, work_folder, write_atomically
from scin.flow.toolchain import find_verilator
from scin.flow.verilate import WAIVED_WARNINGS, build
from scin.host import simulator


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """A checkout and a home of one's own; nothing else is set."""
    for name in ("SCIN_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    checkout.mkdir()
    home.mkdir()
    (checkout / "pyproject.toml").touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(cache, "REPOSITORY", checkout)
    monkeypatch.setattr(cache, "CHECKOUT_FOLDER", checkout / "build")
    closed = set()
    monkeypatch.setattr(cache.os, "access", lambda path, mode: Path(path) not in closed)
    forget()
    yield checkout, home, closed
    forget()


def forget():
    cache_folder.cache_clear()
    candidates.cache_clear()


def test_order_of_folders(surroundings, monkeypatch, tmp_path):
    checkout, home, closed = surroundings
    assert cache_folder() == checkout / "build"
    forget()
    closed.add(checkout / "build")
    assert cache_folder() == home / ".cache" / "scin"
    forget()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "scin"
    forget()
    monkeypatch.setenv("SCIN_CACHE", str(tmp_path / "given"))
    assert cache_folder() == tmp_path / "given"
    forget()
    closed.add(tmp_path / "given")
    with pytest.raises(CacheError, match=r"given \(not writable\); set SCIN_CACHE"):
        cache_folder()


def test_installed_package_is_no_checkout(surroundings):
    checkout, home, _ = surroundings
    (checkout / "pyproject.toml").unlink()
    assert cache_folder() == home / ".cache" / "scin"


def test_what_others_left_is_used(surroundings):
    """A checkout that cannot be written still has what was built in it, with nothing to lock."""
    checkout, home, closed = surroundings
    library = checkout / "build" / "simulator" / "key" / "libscin.so"
    library.parent.mkdir(parents=True)
    library.touch()
    closed.add(checkout / "build")
    assert cached("simulator", "key", "libscin.so") == library
    before = set(library.parent.parent.rglob("*"))
    with lock(library):
        assert set(library.parent.parent.rglob("*")) == before
    new = cached("simulator", "other", "libscin.so")
    assert new == home / ".cache" / "scin" / "simulator" / "other" / "libscin.so"
    with lock(new):
        write_atomically(new, b"x")
    assert new.read_bytes() == b"x"


def test_tools_get_a_place(surroundings):
    """Where a user has no home that can be written."""
    checkout, home, closed = surroundings
    closed.update({home, home / ".cache", home / ".config"})
    lend_to_tools()
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR"):
        folder = Path(os.environ[name])
        assert folder.is_dir()
        assert checkout / "build" in folder.parents


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_files_are_as_readable_as_the_umask_says(tmp_path, mask):
    before = os.umask(mask)
    try:
        data, program = tmp_path / "sub" / "data", tmp_path / "sub" / "program"
        with lock(data):
            write_atomically(data, b"x")
        write_atomically(program, b"x", mode=0o777)
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (data, program, data.parent)]
        assert modes == [0o666 & ~mask, 0o777 & ~mask, 0o777 & ~mask]
        held = data.with_suffix(".lock")
        if held.exists():
            assert stat.S_IMODE(held.stat().st_mode) == 0o666 & ~mask
    finally:
        os.umask(before)


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "kept" / "libone.so"
    path.parent.mkdir()
    source = "int one() { static int n; return ++n; }"
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path)]
    subprocess.run(command, input=source, text=True, check=True)
    return path


def test_every_simulation_has_a_library_of_its_own(library, tmp_path, monkeypatch):
    """And nothing stays in the folder for temporary files."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(simulator.tempfile, "gettempdir", lambda: str(temporary))
    first, second = simulator._loaded(library), simulator._loaded(library)
    assert (first.one(), first.one(), second.one()) == (1, 2, 1)
    assert not list(temporary.iterdir())


@pytest.fixture
def hostile(tmp_path):
    """Mounts a folder for temporary files that runs no programs, or has no room."""
    mounted = []

    def mount(options):
        folder = tmp_path / f"mounted{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() or not shutil.which("mount") or subprocess.run(command).returncode:
            pytest.skip("only root mounts")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("options", ["noexec", "size=4k"])
def test_folder_for_temporary_files_of_no_use(library, hostile, monkeypatch, options):
    """The cache serves in its place; where that is no better, the message says so."""
    folder = hostile(options)
    monkeypatch.setattr(simulator.tempfile, "gettempdir", lambda: str(folder))
    assert simulator._loaded(library).one() == 1
    kept = hostile("noexec")
    monkeypatch.setattr(simulator, "cache_folder", lambda: kept)
    moved = kept / library.name
    shutil.copy(library, moved)
    with pytest.raises(InputError, match="set TMPDIR to a folder that has room and may run"):
        simulator._loaded(moved)


def test_paths_with_spaces(tmp_path, monkeypatch):
    """Verilator's makefiles take none, wherever one is: cache, sources, Verilator itself."""
    folder = tmp_path / "a folder" / "of mine"
    folder.mkdir(parents=True)
    monkeypatch.setattr("scin.flow.cache.cache_folder", lambda: folder)
    work = work_folder("x-")
    assert " " not in str(work)
    assert " " not in str(behind_no_space(folder, work))
    assert behind_no_space(work, work) == work
    shutil.rmtree(work)
    verilator = find_verilator()
    if verilator.root is not None:
        (folder / "verilator").symlink_to(verilator.root)
        root = folder / "verilator"
        verilator = type(verilator)(str(root / "bin/verilator"), root, verilator.version)
    source, target = folder / "the top.v", folder / "libtop.so"
    source.write_text("module top(input a, output b); assign b = ~a; endmodule\n")
    options = ["--cc", "--exe", "--prefix", "Vtop", "--top-module", "top", "-CFLAGS", "-fPIC"]
    options += ["-LDFLAGS", "-shared", "-o", target.name]
    options += [f"-Wno-{name}" for name in WAIVED_WARNINGS]
    build(verilator, options, [source], target)
    ctypes.CDLL(str(target))
    assert [path.name for path in folder.iterdir() if path.is_dir() and "-" in path.name] == []


def test_numba_keeps_where_it_is_told(tmp_path):
    """Its own variable is honoured; every state of the sources has a folder of its own."""
    code = "from models.simulator.compiled import CACHE, SOURCES; print(CACHE.relative_to(BASE))"
    for name, below in (("NUMBA_CACHE_DIR", ""), ("SCIN_CACHE", "numba/")):
        environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
        result = subprocess.run(
            [sys.executable, "-c", code.replace("BASE", repr(str(tmp_path)))],
            env=environment | {name: str(tmp_path), "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(below)
