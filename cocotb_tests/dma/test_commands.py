"""scin dma: every variant on RTL and by the model, records, bad input."""

import pytest
from click.testing import CliRunner

from cocotb_tests.support.records import RECORD_FIELDS, checked_records
from scin.collectives.dma_plans import OPERATIONS
from scin.main import main

DMA_FIELDS = {"variant", "prelaunch", "phases_s", "speedup_vs_pcpy"}


def scin_dma(*arguments):
    return CliRunner().invoke(main, ["dma", *arguments])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_variant_on_rtl(operation):
    """Contents are checked at every endpoint, from 1 byte of each on, unaligned sizes included."""
    least = "1" if operation == "p2p" else "2"
    sizes = ("--min", least, "--max", "30000", "--factor", "7")
    result = scin_dma(operation, "--config", "tiny", *sizes, "--json", "-")
    assert result.exit_code == 0, result.output
    records = checked_records(result.stdout)
    variants = OPERATIONS[operation][1]
    assert {(r["variant"], r["prelaunch"]) for r in records} == {
        (name, ahead) for name in variants for ahead in (False, True)
    }
    for record in records:
        assert set(record) >= RECORD_FIELDS | DMA_FIELDS
        assert record["wrong"] == 0
        assert record["status"] == "OK"
        assert sum(record["phases_s"].values()) == pytest.approx(record["time_s"], rel=0.02)
        assert all(value >= 0 for value in record["phases_s"].values())


def test_inline_doorbell_saves_the_fetch():
    """Against the same copy through the ring; both by the engine's own clock."""
    sizes = ("--min", "64", "--max", "64", "--prelaunch", "off", "--variant", "pcpy")
    records = []
    for options in ((), ("--inline",)):
        result = scin_dma("p2p", "--config", "tiny", *sizes, *options, "--json", "-")
        assert result.exit_code == 0, result.output
        records += checked_records(result.stdout)
    fetched, inline = records
    assert inline["wrong"] == fetched["wrong"] == 0
    assert inline["phases_s"]["schedule"] < 0.6 * fetched["phases_s"]["schedule"]


def test_prediction_table():
    result = scin_dma("alltoall", "--platform", "mi300x", "--max", "4K")
    assert result.exit_code == 0, result.output
    assert "timing model, mi300x" in result.output
    assert "swap_pl" in result.output


def test_plot(tmp_path):
    target = tmp_path / "dma.svg"
    result = scin_dma("allgather", "--platform", "mi300x", "--plot", str(target), "--quiet")
    assert result.exit_code == 0, result.output
    assert b"<svg" in target.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("allreduce",), "supported here are allgather, alltoall, p2p, kvfetch"),
        (("allgather", "--variant", "swap"), "must be among pcpy, bcst, b2b, mcast"),
        (("allgather", "--prelaunch", "maybe"), "must be one of off, on, both"),
        (("p2p", "--platform", "abacus"), "must be one of fpga4, mi300x"),
        (("p2p", "--platform", "mi300x", "--backend", "rtl"), "RTL runs --config fpga4"),
        (("p2p", "--backend", "guess"), "must be one of rtl, model"),
        (("allgather", "--platform", "mi300x", "--variant", "mcast"), "not on platform mi300x"),
        (("p2p", "--min", "0"), "must be positive"),
        (("p2p", "--factor", "1"), "must be at least 2"),
        (("p2p", "--inline"), "only with --prelaunch off"),
        (("p2p", "--host-command", "0"), "must be between 1 and 1e6 ns"),
        (("alltoall", "--config", "tiny", "--min", "1M", "--max", "1M"), "memory_bytes"),
    ],
)
def test_bad_input(arguments, message):
    result = scin_dma(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_kv_fetch():
    """More blocks take longer, and chaining them never does."""
    result = scin_dma("kvfetch", "--platform", "mi300x", "--block", "64K", "--json", "-")
    assert result.exit_code == 0, result.output
    records = checked_records(result.stdout)
    assert len(records) == 12 * 3
    for one, chained, ahead in zip(*[iter(records)] * 3, strict=True):
        assert [one["variant"], chained["variant"], ahead["variant"]] == ["pcpy", "b2b", "b2b"]
        assert (one["prelaunch"], chained["prelaunch"], ahead["prelaunch"]) == (False, False, True)
        assert one["time_s"] > chained["time_s"] > ahead["time_s"] > 0
        assert one["blocks"] == one["tokens"] * one["hit_rate"] * 8
    assert scin_dma("kvfetch", "--block", "3").exit_code == 2
