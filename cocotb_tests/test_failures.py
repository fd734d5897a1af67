"""What a command says of a collective that fails: a status, exit 1, and no number that is none."""

import pytest
from click.testing import CliRunner

from cocotb_tests.support.records import checked_records
from scin.main import main

SOON = ("--set", "isa.timeout_cycles=16")
"""Too soon for any answer from a memory."""
DMA = ("dma", "allgather", "--set", "dma.timeout_cycles=16", "--min", "1K", "--max", "1K")
SWEEP = ("sweep", "allreduce", "--min", "128", "--max", "256", "--factor", "2", *SOON)

FAILURES = {
    "run": (("run", "allreduce", "--size", "128", *SOON), "TIMEOUT"),
    "run, no sync": (
        ("run", "allreduce", "--size", "128", "--no-sync", "--dtype", "bf16", *SOON),
        "TIMEOUT",
    ),
    "barrier": (
        ("run", "reduce", "--size", "1K", "--set", "isa.barrier_timeout_cycles=1"),
        "BARRIER_TIMEOUT",
    ),
    "flags": (
        ("run", "allreduce", "--size", "128", "--set", "endpoint.wait_timeout_cycles=10"),
        "FLAG_TIMEOUT",
    ),
    "quantized": (("run", "allreduce", "--size", "1K", "--dtype", "int8", *SOON), None),
    "agreement": (("run", "allreduce", "--size", "64K", "--dtype", "nvfp4", *SOON), "TIMEOUT"),
    "sweep": (SWEEP, "TIMEOUT"),
    "explain": (("explain", "allreduce", "--size", "128", "--backend", "rtl", *SOON), "TIMEOUT"),
    "dma": ((*DMA, "--prelaunch", "off"), "TIMEOUT"),
    "dma, ahead": ((*DMA, "--variant", "bcst", "--prelaunch", "on"), "TIMEOUT"),
    "dma, inline": ((*DMA, "--inline", "--prelaunch", "off"), "TIMEOUT"),
}

NUMBERS = (
    *("cycles", "time_s", "algbw_GBps", "busbw_GBps", "wire_GBps", "util", "error"),
    *("agreement_cycles", "phases_s", "speedup_vs_pcpy", "start_cycle", "end_cycle"),
)
"""What nothing that failed has: registers keep the times of whatever ran before."""


@pytest.mark.parametrize(("arguments", "status"), FAILURES.values(), ids=FAILURES)
def test_a_failure_has_no_numbers(arguments, status):
    result = CliRunner().invoke(main, [*arguments, "--config", "tiny", "--json", "-"])
    assert result.exit_code == 1, result.output
    records = checked_records(result.stdout)
    assert records
    for record in records:
        assert record["status"] != "OK"
        assert status in (None, record["status"])
        assert {name: record[name] for name in NUMBERS if record.get(name) is not None} == {}
        assert f"status {record['status']}" in result.stderr


def test_a_failed_agreement_is_the_collective_that_was_asked_for():
    arguments, _ = FAILURES["agreement"]
    result = CliRunner().invoke(main, [*arguments, "--config", "tiny", "--json", "-"])
    (record,) = checked_records(result.stdout)
    found = [record[name] for name in ("op", "algo", "size_bytes", "count", "redop", "wrong")]
    assert found == ["allreduce", "scin-inq", 65536, 32768, "sum", None]


@pytest.mark.parametrize("arguments", [SWEEP, FAILURES["dma"][0]], ids=["sweep", "dma"])
def test_a_plot_of_nothing(arguments, tmp_path):
    result = CliRunner().invoke(
        main, [*arguments, "--config", "tiny", "--plot", str(tmp_path / "plot.svg")]
    )
    assert result.exit_code == 1, result.output
    assert "no results" in (tmp_path / "plot.svg").read_text()


def test_tensors_of_a_failed_run_are_not_written(tmp_path):
    arguments, _ = FAILURES["run"]
    result = CliRunner().invoke(
        main, [*arguments, "--config", "tiny", "--output", str(tmp_path / "out")]
    )
    assert result.exit_code == 1
    assert "nothing written" in result.stdout
    assert not (tmp_path / "out").exists()


def test_no_steps_of_memories_that_answer_in_any_order():
    arguments = ["run", "allreduce", "--config", "tiny", "--size", "128", "--steps"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "endpoint.shuffle_slots = 1" in result.output
