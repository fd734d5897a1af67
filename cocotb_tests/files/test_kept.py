"""What was computed is kept: outputs are distinct, and outlive a failure of another."""

import errno
import importlib
import itertools
import os
import sys
from pathlib import Path

import matplotlib
import pytest
from click.testing import CliRunner

from cocotb_tests.files.cases import (
    BAD_INPUT,
    COMMANDS,
    OUTPUTS,
    SPACE,
    assert_one_line,
    named,
    never,
)
from cocotb_tests.support.commands import TINY
from cocotb_tests.support.records import checked_records
from scin.errors import HangError
from scin.main import main
from scin.report.files import OutputFolder
from scin.report.terminal import Console

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
