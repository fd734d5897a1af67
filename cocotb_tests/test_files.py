"""Outputs of every command, into everything that a path can name.

The cases come from the commands themselves: each option of type ``OutputFile`` or ``OutputFolder``
is tried in every place below. Stages that take long are replaced in :func:`quick`.
"""

import errno
import importlib
import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import click
import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner

from cocotb_tests.support.commands import commands_of
from cocotb_tests.support.records import checked_records
from fpga.build import BuildReport, Utilisation
from hw.spec.status import Status
from models.prediction import predict
from scin.errors import HangError
from scin.main import main
from scin.report.files import OutputFile, OutputFolder, check_file, write_file
from scin.report.measurement import Measurement
from scin.report.terminal import Console
from scin.soak.run import SoakResult
from scin.validation.rtl import Observation

TINY = ("--config", "tiny")
BAD_INPUT = 2

COMMANDS = {
    ("run",): ("allreduce", *TINY, "--size", "256"),
    ("sweep",): ("allreduce", *TINY, "--backend", "sim", "--min", "256", "--max", "256"),
    ("dma",): ("p2p", "--platform", "mi300x", "--max", "1K"),
    ("compare",): ("--algo", "ring,nvls", "--max", "1K"),
    ("study",): ("buffer",),
    ("llm",): ("--prefill-algo", "ring", "--decode-algo", "ring", "--precision", "fp16"),
    ("explain",): ("allreduce", "--size", "256"),
    ("explore",): ("SPACE",),
    ("validate",): ("--config", "tiny", "--quick"),
    ("soak",): (*TINY, "--cycles", "1000"),
    ("accuracy",): ("--data", "synthetic", "--ranks", "2", "--blocks", "32"),
    ("emit",): TINY,
    ("fpga", "plan"): ("star5",),
    ("fpga", "build"): ("xcvu13p5",),
    ("fpga", "run"): ("single", "--port", "all=unused"),
}
"""Arguments with which a command ends soon."""

SPACE = """
config = "tiny"
sizes = ["1K"]
algorithms = ["ring"]
"""


@dataclass(frozen=True)
class Output:
    """An option that names what a command writes."""

    command: tuple[str, ...]
    option: str
    kind: OutputFile | OutputFolder

    def __str__(self):
        return " ".join([*self.command, self.option])


def outputs(group=main, path=()):
    for name, command in commands_of(group):
        if isinstance(command, click.Group):
            yield from outputs(command, (*path, name))
            continue
        for parameter in command.params:
            if isinstance(parameter.type, OutputFile | OutputFolder):
                yield Output((*path, name), parameter.opts[0], parameter.type)


OUTPUTS = list(outputs())
FILES = [item for item in OUTPUTS if isinstance(item.kind, OutputFile)]
FOLDERS = [item for item in OUTPUTS if isinstance(item.kind, OutputFolder)]


def quickly(config, algorithm, *rest, **named):
    """In place of a simulation: a closed form."""
    return replace(predict(config, "ring", *rest, **named), algorithm=algorithm)


def measurement():
    return Measurement(
        **{"op": "allreduce", "algo": "scin", "backend": "rtl", "dtype": "fp16", "redop": "sum"},
        **{"endpoints": 2, "size_bytes": 512, "count": 256, "wire_format": "fp16"},
        **{"cycles": 100, "time_s": 1e-6, "wrong": 0, "status": "OK", "sync_included": True},
    )


def soaked(*given, **named):
    counted = ("rounds", "moved_bytes", "corrected", "replays", "damaged", "rejects", "drops")
    return SoakResult(
        **{"op": "soak", "cycles": 1000, "wrong": 0, "lost": 0, "duplicated": 0, "status": "OK"},
        **dict.fromkeys(counted, 1),
        **{"statuses": {}, "throughput_kept": 1.0, "faults": {}, "happened": {}},
    )


def built(partition, design, progress, stop):
    used = Utilisation(1, 2, 3, 4)
    figures = (80.0, 81.0, 12.0, "a", "b", used)
    return BuildReport(design.name, "x", "y", design.users, *figures, "0" * 64, "x.bit")


@pytest.fixture
def quick(monkeypatch, tmp_path_factory):
    """Stages that take long, replaced by what they would leave."""

    class Boards:
        def __init__(self, *given, **named):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

        def wait_links(self):
            pass

        def links(self):
            return []

    class Machine:
        cycle = 0

        def __init__(self, config, *, wave=None, **rest):
            if wave is not None:
                wave.write_bytes(b"$end\n#0\n")

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

    zeros = [np.zeros(256, np.uint8)] * 2
    observed = Observation(100, 0, [], [], None, Status.OK)
    monkeypatch.setattr("scin.commands.run.Simulator", Machine)
    monkeypatch.setattr("scin.commands.run.Driver", lambda *given, **named: None)
    monkeypatch.setattr("scin.commands.run.CollectiveRunner", lambda *given, **named: None)
    monkeypatch.setattr(
        "scin.commands.run.run_tensors", lambda *given, **named: (measurement(), zeros)
    )
    monkeypatch.setattr("scin.host.wave.fst_headers_present", lambda: False)
    monkeypatch.setattr("scin.commands.study.predict", quickly)
    monkeypatch.setattr("scin.commands.sweep.predict", quickly)
    monkeypatch.setattr("scin.commands.soak.run_soak", soaked)
    monkeypatch.setattr("scin.commands.validate.Simulator", Machine)
    monkeypatch.setattr("scin.commands.validate.observe", lambda *given, **named: observed)
    monkeypatch.setattr("scin.commands.validate.predict", lambda *given: 100)
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("scin.flow.emit.cached", lambda *parts: cache / parts[-1])
    monkeypatch.setattr("scin.flow.emit.verilog_of", lambda *given: "module x; endmodule\n")
    monkeypatch.setattr("scin.commands.explore._run", run_here)
    monkeypatch.setattr("fpga.vivado._files", lambda *given: {"a.tcl": "x"})
    monkeypatch.setattr("fpga.build.build_design", built)
    monkeypatch.setattr("fpga.host.BoardSystem", Boards)
    monkeypatch.setattr("scin.commands.fpga._all_reduce", lambda *given: measurement())


def run_here(points, scheduler, workers):
    from scin.commands.explore import compute

    for point in points:
        yield [point], compute([point])


@pytest.fixture
def run(quick, tmp_path):
    """Runs the command of an output, which is to go to ``target``."""

    def start(output, target):
        space = tmp_path / "space.toml"
        space.write_text(SPACE)
        given = [str(space) if word == "SPACE" else word for word in COMMANDS[output.command]]
        if output.command == ("explore",) and output.option != "--output":
            given += ["--output", str(tmp_path / "points.csv")]
        if output.command == ("fpga", "build") and output.option == "--json":
            given = ["star5"]
        return CliRunner().invoke(main, [*output.command, *given, output.option, str(target)])

    return start


def named(folder, output, name="out"):
    """A file whose name ends as it should."""
    endings = output.kind.endings
    return folder / f"{name}{endings[-1] if endings else '.json'}"


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


@pytest.fixture
def device(tmp_path):
    """Makes what /dev/null and /dev/full are, in a folder where they may be broken."""

    def make(minor):
        path = tmp_path / f"device{minor}"
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            path.open("wb").close()
        except PermissionError:
            pytest.skip("only root makes devices")
        return path

    return make


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


def assert_one_line(result, *words):
    """The command ends with one line on stderr that has these words in it."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("scin: ")]
    assert len(lines) == 1, result.stderr
    assert lines[0] == result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    for word in words:
        assert str(word) in lines[0]


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


def never(*given, **named):
    raise AssertionError("the command has started")


@pytest.fixture
def nowhere(tmp_path):
    """A folder in which nothing can be written, not even by root."""
    folder = tmp_path / "nowhere"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("root cannot mount here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


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


def configured(group=main, path=()):
    """Commands that take a file with a configuration, with their arguments."""
    for name, command in commands_of(group):
        if isinstance(command, click.Group):
            yield from configured(command, (*path, name))
        elif any(
            "FILE" in (item.metavar or "") for item in command.params if item.opts[0] == "--config"
        ):
            words = [word for word in COMMANDS.get((*path, name), ()) if word not in TINY]
            yield (*path, name, *words)


BOARDS = {"plan": (), "wiring": (), "build": (), "simulate": (), "run": ("--port", "all=unused")}
READ = {
    **{f"--config of {words[0]}": (*words, "--config", "FILE.toml") for words in configured()},
    **{f"partition of {name}": ("fpga", name, "FILE.toml", *more) for name, more in BOARDS.items()},
    "--model": ("llm", "--model", "FILE.toml"),
    "--profile": ("llm", "--profile", "FILE.csv"),
    "design space": ("explore", "FILE.toml", "--output", "x.csv"),
    "its configuration": ("explore", "space.toml", "--output", "x.csv"),
    "--input": ("run", "allgather", *TINY, "--input", "FILE[01].npy"),
    "--input of BF16": ("run", "allreduce", *TINY, "--dtype", "bf16", "--input", "FILE[01].npy"),
}
"""Commands that read a file of the user's."""

CONFIGURATION = ("[isa]\nclock_MHz = nan\n", "[isa]\nwaves = 3\n", "system = 3\n", "[")
MODEL = "layers = 2\nheads = 6\nkv_heads = 2\nffn = 64\nvocabulary = 9\n"
HEADER = "operator,shape,precision,seconds\n"
WRONG = {
    "--config": CONFIGURATION,
    "its": CONFIGURATION,
    "partition": ('config = "tiny"\nclock_MHz = nan\n', 'config = "tiny"\n', "boards = 3\n", "["),
    "--model": (f"{MODEL}hidden = nan\n", f"{MODEL}hidden = 7\n", f"{MODEL}hidden = 12\n", MODEL),
    "--profile": (HEADER, f"{HEADER}norm,2x64,fp16,nan\n", "operator\n"),
    "design": (SPACE.replace("1K", "3"), SPACE.replace("1K", "4Q"), SPACE.replace("ring", "x")),
    "--input": ("no array",),
}
"""By the first word of :data:`READ`, contents of which some value cannot be used."""


def inputs_of(name):
    """The command, and the files of the user's that it reads."""
    word = next((word for word in READ[name] if word.startswith("FILE")), "FILE.toml")
    return READ[name], list(dict.fromkeys(Path(word.replace("[01]", digit)) for digit in "01"))


@pytest.fixture
def beside_input(tmp_path, monkeypatch):
    """In the folder of the files that are read, a description that names another."""
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(SPACE.replace('"tiny"', '"FILE.toml"'))


@pytest.mark.parametrize("name", READ)
def test_what_is_wrong_with_an_input_names_it(name, beside_input):
    """Once, whether a value is wrong or the file is not there; without a number of an error."""
    given, files = inputs_of(name)

    def refused(word):
        result = CliRunner().invoke(main, given)
        assert result.exit_code == BAD_INPUT, result.output
        assert_one_line(result)
        assert result.stderr.count(str(word)) == 1, result.stderr
        assert "Errno" not in result.stderr
        return result.stderr

    for text in WRONG[name.split()[0]]:
        for path in files:
            path.write_text(text)
        refused(files[0])
    for path in files:
        path.unlink()
    refused(files[0] if len(files) == 1 else "FILE[01].npy")
    for path in files:
        path.symlink_to("nowhere")
    told = refused(files[0])
    # What a name without a file may have meant is said instead.
    assert name == "--model" or "no such file or directory" in told


def test_what_is_set_is_not_what_a_file_says(beside_input):
    """Nor what a design space varies."""
    Path("FILE.toml").write_text("[isa]\nwaves = 4\n")
    Path("space.toml").write_text(f'{Path("space.toml").read_text()}[fields]\n"isa.waves" = [3]\n')
    for given, told in (
        (("compare", "--config", "FILE.toml", "--set", "isa.waves=3"), ""),
        (READ["its configuration"], "space.toml: "),
    ):
        result = CliRunner().invoke(main, given)
        assert result.exit_code == BAD_INPUT, result.output
        assert_one_line(result)
        assert result.stderr == f"scin: {told}isa.waves = 3: must be a power of two\n"


def test_every_input_is_tried():
    """Each parameter that says it is read from a file."""
    words = ("FILE.toml", "FILE.csv", "GLOB", "PARTITION")

    def search(group, path):
        for name, command in commands_of(group):
            if isinstance(command, click.Group):
                search(command, (*path, name))
                continue
            for item in command.params:
                if any(word in f"{item.metavar} {getattr(item, 'help', '')}" for word in words):
                    option = item.opts[0] if isinstance(item, click.Option) else "FILE.toml"
                    tried = [
                        given for given in READ.values() if given[: len(path) + 1] == (*path, name)
                    ]
                    assert any(option in given for given in tried), (path, name, option)

    search(main, ())


@pytest.mark.parametrize("name", READ)
def test_inputs_that_never_end_or_begin(name, beside_input, tmp_path):
    """A device, a pipe without a writer, a folder, and what is too large to be meant."""
    given, files = inputs_of(name)

    def large(path):
        with path.open("wb") as file:
            file.truncate((1 << 40) + 1)

    for make, message in (
        (lambda path: path.symlink_to("/dev/zero"), "must be a regular file"),
        (os.mkfifo, "must be a regular file"),
        (os.mkdir, "must be a regular file"),
        (large, "takes 1099511627777 B: must be at most "),
    ):
        for path in files:
            make(path)
        result = CliRunner().invoke(main, given)
        assert result.exit_code == BAD_INPUT, result.output
        assert_one_line(result, files[0], message)
        for path in files:
            path.rmdir() if path.is_dir() else path.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["space.toml"]


def test_profile_that_is_no_table(tmp_path):
    profile = tmp_path / "profile.csv"
    profile.write_text("operator,shape,precision,seconds\n" + "x" * 200_000)
    result = CliRunner().invoke(main, ["llm", "--profile", str(profile)])
    assert result.exit_code == BAD_INPUT, result.output
    assert_one_line(result, f"profile {profile}: field larger than field limit")


def test_platforms_are_presets(tmp_path):
    (tmp_path / "x.toml").write_text("[")
    result = CliRunner().invoke(main, ["dma", "p2p", "--platform", str(tmp_path / "x")])
    assert result.exit_code == BAD_INPUT, result.output
    assert_one_line(result, "must be one of fpga4, mi300x")


ONE_FILE = {
    "tensors": (("run", "allreduce", *TINY, "--output", "o", "--json", "o/endpoint0.npy"), "json"),
    "waveform": (
        ("run", "allreduce", *TINY, "--output", "o", "--wave", "o/link.fst"),
        "wave",
    ),
    "tensors of one run": (("run", "allreduce", *TINY, "--output", "twins"), "output"),
    "save file": (("run", "allreduce", *TINY, "--wave", "w.fst", "--json", "w.gtkw"), "json"),
    "fallback": (("run", "allreduce", *TINY, "--wave", "w.fst", "--json", "w.vcd"), "json"),
    "save file of the fallback": (
        ("run", "allreduce", *TINY, "--wave", "w.fst", "--json", "./o/../w.gtkw"),
        "json",
    ),
    "manifest": (("emit", *TINY, "--output", "o", "--json", "o/tiny_switch.json"), "json"),
    "Verilog": (("emit", *TINY, "--output", "new", "--json", "o/later"), "json"),
    "journal": (("explore", "s.toml", "--output", "x.csv", "--json", ".x.csv.journal"), "json"),
    "hard link": (
        ("compare", "--algo", "ring", "--json", "hard1.svg", "--plot", "hard2.svg"),
        "json",
    ),
}
"""Commands two of whose outputs are one file, and the option that comes first."""


@pytest.mark.parametrize("name", ONE_FILE)
def test_outputs_in_folders_and_beside_others_are_distinct(name, quick, tmp_path, monkeypatch):
    """Files that a folder or a waveform brings along are outputs as well."""
    for stage in (
        "scin.commands.run.Simulator",
        "scin.commands.explore._run",
        "scin.commands.emit.emitted",
    ):
        monkeypatch.setattr(stage, never)
    monkeypatch.setattr("scin.commands.compare.predict", never)
    monkeypatch.chdir(tmp_path)
    for folder in ("o", "twins", "new"):
        os.mkdir(folder)
    os.symlink("endpoint0.npy", "o/link.fst")
    os.symlink("endpoint0.npy", "twins/endpoint1.npy")
    os.symlink("../new/tiny_switch.v", "o/later")
    Path("hard1.svg").touch()
    os.link("hard1.svg", "hard2.svg")
    Path("s.toml").write_text(SPACE)
    given, first = ONE_FILE[name]
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(main, given)
    assert result.exit_code == BAD_INPUT, result.output
    assert result.stdout == ""
    assert_one_line(result, f"is where --{first} is written")
    assert sorted(tmp_path.rglob("*")) == before


def test_older_results_are_not_mixed_with_new_ones(tmp_path, monkeypatch):
    """A reduction to one endpoint, or of fewer of them, leaves no file that it did not write."""
    monkeypatch.setattr("scin.commands.run.Simulator", never)
    folder = tmp_path / "out"
    folder.mkdir()
    for operation, stale in (("reduce", "endpoint1.npy"), ("allreduce", "endpoint2.npy")):
        (folder / stale).write_bytes(b"older")
        given = ("run", operation, *TINY, "--size", "256", "--output", str(folder))
        result = CliRunner().invoke(main, given)
        assert result.exit_code == BAD_INPUT, result.output
        assert_one_line(result, f"output {folder}: holds {stale} of another run")
        assert [path.name for path in folder.iterdir()] == [stale]
        (folder / stale).unlink()


WITH_RECORDS = [item.command for item in OUTPUTS if item.option == "--json"]


def words_of(command, folder):
    """Arguments with which a command ends soon, and records something."""
    space = folder / "space.toml"
    space.write_text(SPACE)
    given = ("star5",) if command == ("fpga", "build") else COMMANDS[command]
    return [*command, *(str(space) if word == "SPACE" else word for word in given)]


def beside_records(item):
    """Whether an output is one of several of a command."""
    # A Vivado project has no records: its bitstreams are built elsewhere.
    several = item.command in WITH_RECORDS and item.command != ("fpga", "build")
    return several and sum(other.command == item.command for other in OUTPUTS) > 1


def written(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.parametrize("failing", list(filter(beside_records, OUTPUTS)), ids=str)
def test_an_output_that_fails_loses_no_other(failing, quick, tmp_path, device, monkeypatch):
    """Records, plots, waveforms and tensors are written, whichever of the others cannot be."""
    monkeypatch.setitem(matplotlib.rcParams, "svg.hashsalt", "the same in every drawing")
    given, full = words_of(failing.command, tmp_path), device(7)
    places = {}
    for item in OUTPUTS:
        if item.command == failing.command:
            place = tmp_path / "out" / item.option.lstrip("-")
            places[item] = place if isinstance(item.kind, OutputFolder) else named(place, item)
            given += [item.option, str(places[item])]
    for item in places:
        (tmp_path / "out" / item.option.lstrip("-")).mkdir(parents=True)
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.output
    before = written(tmp_path / "out")
    target = places[failing]
    if isinstance(failing.kind, OutputFolder):
        target = next(path for path in sorted(target.iterdir()))
    for path in before:
        (tmp_path / "out" / path).unlink()
    target.symlink_to(full)
    result = CliRunner().invoke(main, given)
    assert result.exit_code == BAD_INPUT, result.output
    assert_one_line(result, f"cannot write {target}: no space left on device")
    target.unlink()
    after = written(tmp_path / "out")
    own = failing.option.lstrip("-")
    lost = {path.parts[0] for path in before if after.get(path) != before[path]} - {own}
    # What is not written is not emitted: the record would name a file that is not there.
    assert lost == ({"json"} if str(failing) == "emit --output" else set())


@pytest.mark.parametrize("command", WITH_RECORDS, ids=" ".join)
def test_records_outlive_a_table_that_cannot_be_printed(command, quick, tmp_path, monkeypatch):
    """stdout is full as soon as something is computed: its head was printed before."""
    real = Console.print

    def full(self, *given, **rest):
        if not self.stderr and not str(given[0]).startswith("#"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, *given, **rest)

    monkeypatch.setattr(Console, "print", full)
    monkeypatch.setattr("scin.commands.emit.click.echo", full_echo)
    given = words_of(command, tmp_path)
    if command in (("run",), ("emit",)):
        given += ["--output", str(tmp_path / "folder")]
    if command == ("explore",):
        given += ["--output", str(tmp_path / "points.csv")]
    target = tmp_path / "x.json"
    result = CliRunner().invoke(main, [*given, "--json", str(target)])
    # An exploration prints nothing.
    assert result.exit_code == (0 if command == ("explore",) else BAD_INPUT), result.output
    assert checked_records(target.read_text())
    assert command != ("run",) or (tmp_path / "folder" / "endpoint1.npy").is_file()


def full_echo(text, err=False):
    if not err:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    print(text, file=sys.stderr)


SERIES = {
    "run": (
        ("allreduce", *TINY, "--size", "256", "--size", "512", "--size", "1K"),
        "scin.commands.run.run_tensors",
        2,
        2,
    ),
    "sweep": (
        ("allreduce", *TINY, "--backend", "sim", "--min", "256", "--max", "1K"),
        "scin.commands.sweep.predict",
        2,
        2,
    ),
    "dma": (("p2p", "--platform", "mi300x"), "scin.commands.dma.predict", 2, 2),
    "dma kvfetch": (("--platform", "mi300x"), "scin.commands.kvfetch.fetch_time", 2, 2),
    "compare": (("--algo", "ring,nvls,tree", "--max", "2K"), "scin.commands.compare.predict", 2, 2),
    "study": (("buffer",), "scin.commands.study.predict", 2, 2),
    "llm": (
        (*COMMANDS["llm",], "--against", "ring,nvls,tree"),
        "scin.commands.llm.step_time",
        2,
        2,
    ),
    "explore": (("SPACE",), "scin.commands.explore.compute", 2, 2),
    "validate": (COMMANDS["validate",], "scin.commands.validate.observe", 2, 2),
    "accuracy": (COMMANDS["accuracy",], "scin.commands.accuracy.sqnr_of", 2, 6),
    "fpga build": (("star5",), "fpga.build.build_design", 1, 1),
}
"""Commands that compute one record after the other: arguments, a stage that each record takes, how
often it goes well before it fails, and the records that this is worth."""

AT_ONCE = {
    ("explain",): "the steps of one collective",
    ("soak",): "one soak",
    ("emit",): "one file",
    ("fpga", "plan"): "arithmetic alone",
    ("fpga", "run"): "one collective",
}
"""Commands that compute everything at once, and what that is."""


@pytest.mark.parametrize(
    ("error", "status"), [(HangError("waited for ever"), 1), (KeyboardInterrupt(), 130)], ids=str
)
@pytest.mark.parametrize("name", SERIES)
def test_results_outlive_a_failure(name, error, status, quick, tmp_path, monkeypatch):
    """Records before the one that failed, or was interrupted, are written."""
    words, stage, good, kept = SERIES[name]
    space, target = tmp_path / "space.toml", tmp_path / "x.json"
    space.write_text(SPACE.replace('"1K"', '"1K", "2K", "4K"'))
    given = [*name.split(), *(str(space) if word == "SPACE" else word for word in words)]
    if name == "explore":
        given += ["--output", str(tmp_path / "points.csv")]
    given += ["--json", str(target)]
    assert CliRunner().invoke(main, given).exit_code == 0
    everything = checked_records(target.read_text())
    target.unlink()
    calls = itertools.count()
    module, _, function = stage.rpartition(".")
    real = getattr(importlib.import_module(module), function)

    def fails(*given, **rest):
        if next(calls) >= good:
            raise error
        return real(*given, **rest)

    monkeypatch.setattr(stage, fails)
    result = CliRunner().invoke(main, given)
    assert result.exit_code == status, result.output
    records = checked_records(target.read_text())
    assert len(records) == kept < len(everything)
    # Designs are built side by side, and either of two may fail.
    either = [everything[:kept]] + [everything[kept:]] * (name == "fpga build")
    assert records in either


def test_every_command_with_records_is_tried():
    names = {" ".join(command) for command in WITH_RECORDS}
    assert names <= set(SERIES) | {" ".join(command) for command in AT_ONCE}
    assert not set(SERIES) & {" ".join(command) for command in AT_ONCE}


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
