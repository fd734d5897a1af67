"""What docs/extending.md says: adding one thing is one file and one registration. The files are
those of ``cocotb_tests/toys``."""

from pathlib import Path

import numpy as np
import pytest

import fpga.boards
from cocotb_tests.support.commands import scin
from cocotb_tests.support.records import checked_records
from cocotb_tests.toys import baseline, collective, study
from fpga.boards import board_names, load_board
from hw.spec.config import load
from models import collective as collectives
from models.baselines.algorithms import BASELINES
from scin import main as command_line
from scin.collectives.runner import GoldenRunner
from scin.collectives.tensor_runs import run_tensors
from scin.commands.study import STUDIES

TOYS = Path(__file__).with_name("toys")


@pytest.fixture
def two_collectives():
    toys = (collective.SCATTER, collective.GATHER)
    for toy in toys:
        collectives.register(toy)
    yield
    for toy in toys:
        del collectives.OPERATIONS[toy.name]


def test_collective(two_collectives):
    """In the golden model: what every rank gets, and how it is counted."""
    runner = GoldenRunner(load("tiny", {"system.endpoints": 4}))
    brought = [np.arange(40, dtype=np.uint8) + rank for rank in range(4)]
    options = {"synchronise": True, "seed": None}
    measurement, got = run_tensors(runner, "scatter", brought, None, None, **options)
    assert [list(part) for part in got] == [list(range(10 * i, 10 * i + 10)) for i in range(4)]
    assert (measurement.op, measurement.size_bytes, measurement.redop) == ("scatter", 40, None)
    measurement, got = run_tensors(runner, "gather", brought, None, None, **options)
    assert list(got[0]) == list(np.concatenate(brought))
    assert not any(part.size for part in got[1:])
    assert measurement.size_bytes == 160


def test_collective_on_rtl(two_collectives, tmp_path):
    """The command runs it, checks it, writes its results, and refuses what it cannot do."""
    for rank in range(2):
        np.save(tmp_path / f"rank{rank}.npy", np.arange(64, dtype=np.int32) + 1000 * rank)
    result = scin(
        *("run", "scatter", "--config", "tiny"),
        *("--input", tmp_path / "rank*.npy", "--output", tmp_path / "out", "--json", "-"),
    )
    assert result.exit_code == 0, result.output
    (record,) = checked_records(result.stdout)
    assert (record["wrong"], record["size_bytes"], record["dtype"]) == (0, 256, "bytes")
    assert record["busbw_GBps"] == pytest.approx(record["algbw_GBps"] / 2)
    for rank in range(2):
        part = np.load(tmp_path / "out" / f"endpoint{rank}.npy")
        assert list(part) == list(range(32 * rank, 32 * rank + 32))
    refused = scin("run", "scatter", "--config", "tiny", "--dtype", "int8")
    assert refused.exit_code == 2
    assert "operation 'scatter' with dtype int8: supported are allreduce" in refused.output


def test_collective_that_moves_nothing():
    owner = collectives.Ranks.OWNER
    with pytest.raises(ValueError, match="must not stay with their owners"):
        collectives.Collective("stay", owner, owner, lambda ranks: 1.0)
    with pytest.raises(ValueError, match="registered already"):
        collectives.register(collectives.collective("reduce"))


def test_baseline(monkeypatch):
    monkeypatch.setitem(BASELINES, "star", baseline.STAR)
    result = scin("compare", "--algo", "ring,star", "--max", "1M", "--json", "-")
    assert result.exit_code == 0, result.output
    found = checked_records(result.stdout)
    ring, star = ([item for item in found if item["algo"] == name] for name in ("ring", "star"))
    # Its root sends everything to everyone, one after the other.
    assert star[-1]["time_s"] > 2 * ring[-1]["time_s"]
    assert star[-1]["wire_bytes"] == 7 << 20


def test_study(monkeypatch):
    monkeypatch.setitem(STUDIES, "payload", study.PAYLOAD)
    result = scin("study", "payload", "--config", "fpga4", "--json", "-")
    assert result.exit_code == 0, result.output
    assert [item["x"] for item in checked_records(result.stdout)] == [64, 128]
    refused = scin("study", "payload", "--set", "fabric.max_payload_bytes=64")
    assert "study payload varies it" in refused.output


def test_board(monkeypatch, tmp_path):
    monkeypatch.setattr(fpga.boards, "__path__", [*fpga.boards.__path__, str(TOYS / "boards")])
    assert "toyboard" in board_names()
    assert load_board("toyboard").title == "Toy board"
    partition = tmp_path / "toy.toml"
    single = Path(fpga.__file__).with_name("partitions") / "single.toml"
    partition.write_text(single.read_text().replace('"ulx3s"', '"toyboard"'))
    result = scin("fpga", "plan", partition)
    assert result.exit_code == 0, result.output
    assert "toyboard" in result.output


def test_command(monkeypatch):
    monkeypatch.setitem(command_line.COMMANDS, "ranks", "cocotb_tests.toys.ranks")
    assert "Say how many ranks a system has." in scin("--help").output
    result = scin("ranks", "--set", "system.endpoints=3")
    assert (result.exit_code, result.output) == (0, "tiny: 3 ranks\n")
    assert "no: unknown section" in scin("ranks", "--set", "no.field=1").output
