"""Outputs of every command, into everything that a path can name.

The cases come from the commands themselves: each option of type ``OutputFile`` or ``OutputFolder``
is tried in every place below.
"""

import errno
import json
import os
import stat
import subprocess
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cocotb_tests.files.cases import (
    BAD_INPUT,
    COMMANDS,
    FILES,
    FOLDERS,
    OUTPUTS,
    assert_one_line,
    named,
    never,
)
from cocotb_tests.support.commands import TINY, commands_of
from cocotb_tests.support.records import checked_records
from scin.main import main
from scin.report.files import OutputFile, OutputFolder, check_file, write_file


def test_every_output_is_declared():
    """An option that names a file or a folder to write is of the type that checks it."""
    inputs = {"--config", "--input", "--profile", "--model"}
    loose = []

    def search(group, path):
        for name, command in commands_of(group):
            if isinstance(command, click.Group):
                search(command, f"{path} {name}")
                continue
            for parameter in command.params:
                words = parameter.metavar or ""
                if not isinstance(parameter.type, OutputFile | OutputFolder) and (
                    ("FILE" in words or "DIR" in words)
                    and isinstance(parameter, click.Option)
                    and parameter.opts[0] not in inputs
                ):
                    loose.append(f"{path} {name} {parameter.opts[0]}")

    search(main, "scin")
    assert not loose
    assert {item.command for item in OUTPUTS} == set(COMMANDS)


@pytest.mark.parametrize("output", FILES, ids=str)
def test_files(output, run, tmp_path):
    """A new file, one that is there, and links to both: modes are kept, links stay links."""
    target = named(tmp_path, output)
    before = os.umask(0o027)
    try:
        result = run(output, target)
        assert result.exit_code == 0, result.output
        content = target.read_bytes()
        assert content
        if output.option == "--json":
            assert checked_records(content.decode())
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
    finally:
        os.umask(before)
    old, link = named(tmp_path, output, "old"), named(tmp_path, output, "link")
    old.write_text("x" * 100_000)
    old.chmod(0o604)
    link.symlink_to(old.name)
    assert run(output, link).exit_code == 0
    assert link.is_symlink()
    assert old.stat().st_size == len(content)
    assert stat.S_IMODE(old.stat().st_mode) == 0o604
    dangling, new = named(tmp_path, output, "dangling"), named(tmp_path, output, "new")
    dangling.symlink_to(new.name)
    assert run(output, dangling).exit_code == 0
    assert dangling.is_symlink()
    assert new.stat().st_size == len(content)
    left = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert not left, "something half-written is left"


@pytest.mark.parametrize("output", FILES, ids=str)
def test_pipe(output, run, tmp_path):
    """A FIFO gets the bytes, and stays one."""
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    result = run(output, pipe)
    assert result.exit_code == 0, result.output
    reader.join(10)
    assert received
    assert received[0]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("output", FILES, ids=str)
def test_descriptor(output, run):
    """``/dev/fd/N`` is the open descriptor, at the place where it stands."""
    with open_pipe() as (read, write):
        result = run(output, f"/dev/fd/{write}")
        assert result.exit_code == 0, result.output
        os.close(write)
        assert read.read()


class open_pipe:  # noqa: N801
    def __enter__(self):
        reading, self.write = os.pipe()
        # Room for all of it: nothing reads while the command runs.
        import fcntl

        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.read = os.fdopen(reading, "rb")
        return self.read, self.write

    def __exit__(self, *exception):
        self.read.close()


@pytest.mark.parametrize("output", FILES, ids=str)
def test_devices(output, run, device):
    """A device is written to, never replaced; a full one is one line and exit status 2."""
    null, full = device(3), device(7)
    assert run(output, null).exit_code == 0
    assert stat.S_ISCHR(null.stat().st_mode)
    result = run(output, full)
    assert result.exit_code == BAD_INPUT, result.output
    assert_one_line(result, f"cannot write {full}: no space left on device")
    assert stat.S_ISCHR(full.stat().st_mode)


@pytest.mark.parametrize("output", FILES, ids=str)
def test_refused_before_the_run(output, run, tmp_path, nowhere, monkeypatch):
    monkeypatch.setattr("scin.commands.run.Simulator", never)
    monkeypatch.setattr("scin.commands.explore._run", never)
    name = output.option.lstrip("-")
    cases = [
        (tmp_path, "is a folder"),
        (named(tmp_path / "no" / "where", output), f"its folder does not exist: {tmp_path}"),
        (named(nowhere, output), "is not writable"),
        (f"{named(tmp_path, output)}/", "is a folder"),
        ("/dev/fd/999", "bad file descriptor"),
        ("", "must name a file"),
        (tmp_path / ("x" * 300 + named(tmp_path, output).suffix), "name too long"),
    ]
    for target, message in cases:
        result = run(output, target)
        assert result.exit_code == BAD_INPUT, (target, result.output)
        assert result.stdout == ""
        assert_one_line(result, f"{name} {target}: ", message)
    assert [path.name for path in tmp_path.iterdir() if path.name != "nowhere"] == ["space.toml"]


@pytest.mark.parametrize("output", FILES, ids=str)
def test_full_disk(output, run, tmp_path, monkeypatch):
    """A disk that fills up while it is written leaves what was there, and one line."""
    target = named(tmp_path, output)
    target.write_text("before")

    def fill(source, file):
        if not isinstance(file, Path):
            file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    moved = output.option == "--wave"
    monkeypatch.setattr("os.replace" if moved else "shutil.copyfileobj", fill)
    result = run(output, target)
    assert result.exit_code == BAD_INPUT
    told = [line for line in result.stderr.splitlines() if line.startswith("scin: ")]
    assert all("cannot write" in line and "no space left on device" in line for line in told)
    # Of records and what they are beside, each that cannot be written is named.
    assert len(set(told)) == len(told) == (2 if str(output) == "explore --json" else 1)
    assert target.read_text() == "before"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".scin")]


@pytest.mark.parametrize("output", FOLDERS, ids=str)
def test_folders(output, run, tmp_path, nowhere):
    target, link = tmp_path / "a" / "b", tmp_path / "link"
    assert run(output, target).exit_code == 0
    written = [path for path in target.rglob("*") if path.is_file()]
    assert written
    link.symlink_to(tmp_path / "c")
    assert run(output, link).exit_code == 0
    assert link.is_symlink()
    assert len([path for path in (tmp_path / "c").rglob("*") if path.is_file()]) == len(written)
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_text("x")
    for bad, message in (
        (pipe, "is not a folder"),
        (file, "is not a folder"),
        (file / "below", f"{file} is not a folder"),
        (nowhere, "is not writable"),
        (nowhere / "below", f"{nowhere} is not writable"),
        ("", "must name a folder"),
    ):
        result = run(output, bad)
        assert result.exit_code == BAD_INPUT, (bad, result.output)
        assert_one_line(result, f"{output.option.lstrip('-')} {bad}: {message}")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("output", FOLDERS, ids=str)
def test_full_disk_of_folders(output, run, tmp_path, monkeypatch):
    def fill(source, file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("scin.report.files.shutil.copyfileobj", fill)
    result = run(output, tmp_path / "out")
    assert result.exit_code == BAD_INPUT
    assert_one_line(result, "cannot write", "no space left on device")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_two_outputs_are_not_one(tmp_path):
    target = tmp_path / "x.svg"
    given = ("compare", "--algo", "ring", "--max", "1K", "--json", target, "--plot", target)
    result = CliRunner().invoke(main, [str(word) for word in given])
    assert result.exit_code == BAD_INPUT
    assert_one_line(result, "is where --json is written")
    assert not target.exists()


def test_stdout_by_its_path(quick):
    """``/dev/stdout`` holds the JSON alone, as ``-`` does."""
    for name in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        given = [*TINY, "--backend", "sim", "--min", "256", "--max", "256", "--json", name]
        result = CliRunner().invoke(main, ["sweep", "allreduce", *given])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["records"][0]["size_bytes"] == 256


def test_file_mounted_by_itself(tmp_path):
    """As a container does with an output: it cannot be replaced, and is written where it is."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("old, and long")
    target.touch()
    command = ["mount", "--bind", str(source), str(target)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root mounts")
    try:
        check_file("json", target)
        write_file(target, b"new")
    finally:
        subprocess.run(["umount", str(target)], check=True)
    assert source.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_hard_link(tmp_path):
    """All names of a file show what was written."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("old")
    os.link(first, second)
    write_file(second, b"new")
    assert first.read_text() == "new"


def test_room(tmp_path):
    with pytest.raises(ValueError, match=r"json .*: takes 9000000000000000000 B, and .* are free"):
        check_file("json", tmp_path / "x", room=9 * 10**18)
