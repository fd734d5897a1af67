"""Names and values that no user means, but some tool or typing slip makes: each command does what
it should, or says in one line what is wrong, before it computes or writes anything."""

import json
import os

import numpy as np
import pytest

import scin as python_interface
from cocotb_tests.support.commands import scin
from cocotb_tests.support.records import checked_records
from cocotb_tests.support.stages import light_stages
from hw.spec.config import PRESET_FOLDER
from scin.errors import InputError

NAMES = ["a b", "a b;[x]", "n\nl", "x[y]", "a\\b", "$x$", "b\udcff", "é日"]
"""Of configuration files; the last but one is no UTF-8."""


def refused(*arguments):
    result = scin(*arguments)
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


@pytest.fixture(params=NAMES, ids=ascii)
def named(request, tmp_path):
    path = tmp_path / f"{request.param}.toml"
    path.write_text((PRESET_FOLDER / "tiny.toml").read_text())
    return path


def test_names_of_configurations(named, tmp_path):
    """In plots and records, whose text is whole Unicode."""
    plot = tmp_path / "x.png"
    command = ("sweep", "allreduce", "--backend", "sim", "--min", "1K", "--max", "1K")
    result = scin(*command, "--config", named, "--plot", plot, "--json", "-")
    assert result.exit_code == 0, result.output
    assert plot.stat().st_size > 1000
    assert checked_records(result.stdout)
    json.loads(result.stdout)["config"]["name"].encode("utf-8")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_modules(name):
    """A name of Verilog and of a file, which needs no escape in any tool."""
    from scin.flow.emit import identifier

    text = os.fsencode(name).decode("utf-8", "replace")
    assert set(identifier(text)) <= set("abcdefghijklmnopqrstuvwxyzlxy_.-")


def test_sizes_are_ascii():
    for sign in ("\u212a", "\u0131", "\uff14"):
        assert "must be bytes" in refused("explain", "allreduce", "--size", f"4{sign}")


@pytest.mark.parametrize("command", ["compare", "build", "run allreduce", "explain allreduce"])
def test_fields_that_are_set_twice(command):
    twice = ("--set", "system.endpoints=4", "--set", "system.endpoints=8")
    assert "system.endpoints: is set more than once" in refused(*command.split(), *twice)
    two_lines = ("--set", "link.latency_cycles=20\nx=5")
    assert "must be one TOML value" in refused(*command.split(), *two_lines)


def test_options_of_build_are_given_once():
    assert "--config: is given 2 times" in refused("build", "--config", "tiny", "--config", "tiny")


def test_build_takes_the_effort_of_the_environment(monkeypatch, tmp_path):
    asked = []

    def library(config, *, effort, report):
        asked.append(effort)
        return tmp_path

    monkeypatch.setattr("scin.commands.build.simulator_library", library)
    for value, expected in (("quick", "quick"), ("", "fast"), ("trained", "trained")):
        monkeypatch.setenv("SCIN_SIMULATOR", value)
        assert scin("build", "--config", "tiny").exit_code == 0
        assert asked[-1] == expected


@pytest.mark.parametrize("value", ['["foo"]', '["int8","int8"]', '["fp16"]'])
def test_block_formats(value):
    text = refused("run", "allreduce", "--set", f"isa.block_formats={value}", "--show-config")
    assert "isa.block_formats: " in text
    names = json.loads(value)
    arrays = [np.ones(8, np.float16)] * 2
    for backend in ("golden", "sim"):
        with pytest.raises(InputError, match=r"isa\.block_formats"):
            python_interface.allreduce(
                arrays, config="tiny", backend=backend, overrides={"isa.block_formats": names}
            )


@pytest.mark.parametrize("name", ["x" * 5000, "../presets/tiny", "", "tiny\n"])
def test_presets_that_are_none(name):
    assert "no such preset" in refused("compare", "--config", name)
    with pytest.raises(InputError, match="no such preset"):
        python_interface.predict("allreduce", bytes=4096, config=name)
    assert "model" in refused("llm", "--model", name)


@pytest.mark.parametrize(
    "command",
    [
        "compare --max 1K --config {file} --json {file}",
        "sweep allreduce --backend sim --max 4K --config {file} --json {file}",
        "llm --model {model} --json {model}",
        "llm --model llama2-7b --profile {profile} --json {profile}",
        "explore {space} --output {folder}/x.csv --json {space}",
        "run allreduce --config tiny --input {folder}/r*.npy --json {folder}/r0.npy",
        "run allreduce --config tiny --input {folder}/endpoint*.npy --output {folder}",
    ],
)
def test_outputs_replace_no_input(tmp_path, command):
    from models.llm.shape import FOLDER as MODELS

    texts = {
        "c.toml": (PRESET_FOLDER / "tiny.toml").read_text(),
        "m.toml": (MODELS / "llama2-7b.toml").read_text(),
        "p.csv": "operator,shape,precision,seconds\n",
        "s.toml": 'config = ["tiny"]\nalgorithms = ["ring"]\nsizes = [1024]\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    for rank in range(2):
        for name in ("r", "endpoint"):
            np.save(tmp_path / f"{name}{rank}.npy", np.ones(8, np.float16))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    files = {"file": "c.toml", "model": "m.toml", "profile": "p.csv", "space": "s.toml"}
    paths = {key: tmp_path / name for key, name in files.items()}
    with light_stages(tmp_path):
        text = refused(*command.format(folder=tmp_path, **paths).split())
    assert "which is read" in text
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_preset_is_no_file(tmp_path, monkeypatch):
    """An output may have the name of a preset, whose file is another one."""
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "llama2-7b"):
        (tmp_path / name).write_text("an older result")
    for command in ("compare --max 1K --config tiny --json tiny", "llm --json llama2-7b"):
        result = scin(*command.split(), "--quiet")
        assert result.exit_code == 0, result.output
        assert json.loads((tmp_path / command.split()[-1]).read_text())["records"]


def test_doorbells_that_are_not_built():
    text = refused(
        "dma", "p2p", "--inline", "--prelaunch", "off", "--set", "dma.inline_doorbell=false"
    )
    assert "dma.inline_doorbell = false" in text


@pytest.mark.parametrize("cycles", ["0", "-1", str(10**29), "1e6", "nan"])
def test_cycles_of_a_soak(cycles):
    assert "cycles" in refused("soak", "--cycles", cycles)


def test_scheduler_without_certificates(tmp_path):
    (tmp_path / "s.toml").write_text('config = "tiny"\nalgorithms = ["ring"]\nsizes = ["1K"]\n')
    address = ("--scheduler", "tls://127.0.0.1:1")
    text = refused("explore", tmp_path / "s.toml", "--output", tmp_path / "x.csv", *address)
    assert "scheduler tls://127.0.0.1:1" in text


def test_predictions_that_ask_for_nothing():
    with pytest.raises(InputError, match="does nothing without algo scin-inq"):
        python_interface.predict("allreduce", bytes=4096, config="tiny", inq_format="mxfp4")
    with pytest.raises(InputError, match="is named 2 times"):
        python_interface.predict("allreduce", bytes=4096, config="tiny", algo=["ring", "ring"])
    assert "a whole number" in refused("compare", "--parameter", "nvls_outstanding_bytes=1e3")


def test_numbers_of_numpy():
    fields = {"link.latency_cycles": np.int64(20), "isa.fused_notify": np.True_}
    found = python_interface.predict("allreduce", bytes=4096, config="tiny", overrides=fields)
    assert found["scin"].seconds > 0
