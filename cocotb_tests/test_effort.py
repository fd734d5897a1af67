"""Efforts: which library a process gets, and that training changes nothing but speed."""

import os
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner

import scin.flow.effort
from hw.spec.config import load
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from scin.collectives.runner import CollectiveRunner
from scin.collectives.tensors import random_tensors
from scin.errors import InputError
from scin.flow import verilate
from scin.flow.effort import VARIABLE, Effort, effort_asked, optimisation, processor_flags
from scin.flow.verilate import simulator_library
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.main import main

ANOTHER_PROCESSOR = ("-march=another",)


@pytest.fixture
def built(monkeypatch, tmp_path):
    """Efforts in the order in which libraries are built, each an empty file in a cache of the
    test's own; instead of the hardware, a file."""
    efforts = []

    def build(verilator, options, sources, target, *, optimise, train):
        efforts.append((optimise, train is not None))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()

    monkeypatch.setattr(verilate, "cached", lambda *parts: tmp_path.joinpath(*parts))
    monkeypatch.setattr(verilate, "build", build)
    monkeypatch.delenv(VARIABLE)
    return efforts


def library(tmp_path, **options):
    source = tmp_path / "design.v"
    source.write_text("module scin; endmodule\n")
    return simulator_library(
        load("tiny"), report=lambda text: None, hardware=lambda *_: [source], **options
    )


def test_tests_build_quickly():
    assert effort_asked() == Effort.QUICK


def test_environment_names_an_effort():
    assert effort_asked({}) is None
    assert effort_asked({VARIABLE: ""}) is None
    for effort in Effort:
        assert effort_asked({VARIABLE: effort.value}) == effort
    with pytest.raises(InputError, match="must be one of quick, fast, trained"):
        effort_asked({VARIABLE: "Fast"})


def test_a_command_names_a_wrong_effort(monkeypatch):
    """In a line with exit status 2, before anything is emitted."""
    monkeypatch.setenv(VARIABLE, "faster")
    result = CliRunner().invoke(main, ["run", "allreduce", "--config", "tiny"])
    assert result.exit_code == 2
    assert f"{VARIABLE}=faster: must be one of" in result.stderr


def test_each_effort_has_a_library(built, tmp_path):
    paths = {library(tmp_path, effort=effort) for effort in Effort}
    assert len(paths) == len(Effort)
    assert built == [(optimisation(effort), effort == Effort.TRAINED) for effort in Effort]
    assert paths == {library(tmp_path, effort=effort) for effort in Effort}
    assert len(built) == len(Effort), "built again"


def test_a_trained_library_is_preferred(built, tmp_path):
    """Where one is there; none is trained unasked."""
    fast = library(tmp_path)
    assert built == [(optimisation(Effort.FAST), False)]
    trained = library(tmp_path, effort=Effort.TRAINED)
    assert library(tmp_path) == trained != fast


def test_environment_decides(built, tmp_path, monkeypatch):
    library(tmp_path, effort=Effort.TRAINED)
    monkeypatch.setenv(VARIABLE, Effort.QUICK)
    library(tmp_path)
    assert built[1:] == [(optimisation(Effort.QUICK), False)]


@pytest.mark.parametrize("trace", ["vcd", "fst"])
def test_waveforms_are_quick(built, tmp_path, trace):
    library(tmp_path, effort=Effort.FAST, trace=trace)
    assert built == [(optimisation(Effort.QUICK), False)]


@pytest.mark.parametrize("effort", [Effort.FAST, Effort.TRAINED])
def test_another_processor_has_libraries_of_its_own(built, tmp_path, monkeypatch, effort):
    """A cache that two machines share must not give one the instructions of the other."""
    here = library(tmp_path, effort=effort)
    monkeypatch.setattr(scin.flow.effort, "processor_flags", lambda: ANOTHER_PROCESSOR)
    assert library(tmp_path, effort=effort) != here
    assert built[1] == (("-O2", *ANOTHER_PROCESSOR), effort == Effort.TRAINED)


def test_quick_libraries_run_everywhere(built, tmp_path, monkeypatch):
    here = library(tmp_path, effort=Effort.QUICK)
    monkeypatch.setattr(scin.flow.effort, "processor_flags", lambda: ANOTHER_PROCESSOR)
    assert library(tmp_path, effort=Effort.QUICK) == here


def test_processor_flags_are_spelled_out(tmp_path):
    """No "native", whose meaning is another elsewhere; the compiler takes what remains."""
    flags = processor_flags()
    assert flags
    assert not any("native" in flag for flag in flags)
    source = tmp_path / "empty.cpp"
    source.touch()
    subprocess.run(["g++", *flags, "-c", source, "-o", os.devnull], check=True)


def test_a_compiler_that_does_not_know_its_processor(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="unknown value 'native'")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    processor_flags.cache_clear()
    try:
        assert processor_flags() == ()
    finally:
        processor_flags.cache_clear()


@pytest.mark.parametrize(("option", "effort"), [([], "fast"), (["--trained"], "trained")])
def test_build_command(built, monkeypatch, tmp_path, option, effort):
    source = tmp_path / "design.v"
    source.write_text("module scin; endmodule\n")
    monkeypatch.setattr(verilate, "emitted_verilog", lambda *_: source)
    result = CliRunner().invoke(main, ["build", "--config", "tiny", *option])
    assert result.exit_code == 0, result.output
    assert f"building the {effort} simulator of tiny" in result.stderr
    assert result.stdout.strip() == str(library(tmp_path, effort=Effort(effort)))


@pytest.mark.slow
def test_training_changes_nothing_but_speed():
    """A trained library, built with a profile, takes the same cycles to the same sums."""
    config = load("tiny")
    found = []
    for effort in Effort:
        path = simulator_library(config, report=lambda text: None, effort=effort)
        with Simulator(config, library=path) as simulator:
            runner = CollectiveRunner(config, simulator, Driver(simulator, config))
            inputs = random_tensors(DataType.FP16, 20_000, config.system.endpoints, seed=1)
            outcome = runner.run("allreduce", inputs, DataType.FP16, ReduceOp.SUM)
            found.append((outcome.measurement.cycles, simulator.cycle, outcome.outputs))
    for cycles, end, outputs in found[1:]:
        assert (cycles, end) == found[0][:2]
        for here, there in zip(outputs, found[0][2], strict=True):
            np.testing.assert_array_equal(here, there)
