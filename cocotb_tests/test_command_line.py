"""The command line: contract of the output, bad input, exit status."""

import json

import numpy as np
import pytest

from cocotb_tests.support.commands import TINY, scin
from cocotb_tests.support.records import RECORD_FIELDS, checked, checked_records
from hw.spec.instruction import DataType, ReduceOp
from models.collective import collective
from models.formats.floating import reduce


def test_tensors_in_and_out(ranks):
    """The files hold what the golden reduction says, in the shape that came in."""
    folder, arrays = ranks
    result = scin(
        "run", "allreduce", *TINY, "--input", folder / "rank*.npy", "--output", folder / "out"
    )
    assert result.exit_code == 0, result.output
    bits = np.stack([array.view(np.uint16) for array in arrays])
    expected = reduce(bits, DataType.FP16, ReduceOp.SUM).view(np.float16)
    for index in range(2):
        found = np.load(folder / "out" / f"endpoint{index}.npy")
        assert found.dtype == np.float16
        assert (found == expected).all()


def test_gather_and_scatter_shapes(ranks):
    folder, arrays = ranks
    inputs = ("--input", folder / "rank*.npy", "--output", folder / "out")
    assert scin("run", "allgather", *TINY, *inputs).exit_code == 0
    gathered = np.load(folder / "out" / "endpoint1.npy")
    assert (gathered == np.stack(arrays)).all()
    assert scin("run", "reducescatter", *TINY, *inputs, "--redop", "max").exit_code == 0
    part = np.load(folder / "out" / "endpoint1.npy")
    assert (part == np.maximum(*arrays)[3:]).all()


def test_json_is_alone_on_stdout():
    result = scin("run", "allreduce", *TINY, "--size", "1K", "--size", "2KiB", "--json", "-")
    document = checked(result.stdout)
    assert set(document) == {"command", "version", "config", "records"}
    assert document["config"]["system"]["endpoints"] == 2
    assert [record["size_bytes"] for record in document["records"]] == [1024, 2048]
    for record in document["records"]:
        assert set(record) >= RECORD_FIELDS
        assert (record["wrong"], record["status"]) == (0, "OK")
        assert record["algbw_GBps"] == pytest.approx(record["size_bytes"] / record["time_s"] / 1e9)


def test_sweep_and_plot(tmp_path):
    target, plot = tmp_path / "sweep.json", tmp_path / "sweep.svg"
    result = scin(
        *("sweep", "allreduce", *TINY, "--min", "256", "--max", "4K", "--factor", "4"),
        *("--json", target, "--plot", plot, "--no-sync"),
    )
    assert result.exit_code == 0, result.output
    records = checked_records(target.read_text())
    assert [record["size_bytes"] for record in records] == [256, 1024, 4096]
    assert "<svg" in plot.read_text()


@pytest.mark.parametrize("operation", ["reduce", "broadcast", "allgather", "reducescatter"])
@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_every_operation(operation, dtype):
    operator = ("--redop", "min") if not collective(operation).copies else ()
    result = scin("run", operation, *TINY, "--size", "1000", "--dtype", dtype, *operator)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("operation", ["allreduce", "reduce", "reducescatter"])
@pytest.mark.parametrize("dtype", ["int8", "nvfp4"])
def test_quantized_tensors_in_and_out(tmp_path, operation, dtype):
    """FP16 files in and out; the error printed is that of the files, against numpy's sum."""
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal((6, 50)).astype(np.float16) for _ in range(2)]
    for index, array in enumerate(arrays):
        np.save(tmp_path / f"rank{index}.npy", array)
    files = ("--input", tmp_path / "rank*.npy", "--output", tmp_path / "out", "--json", "-")
    result = scin("run", operation, *TINY, "--dtype", dtype, *files)
    assert result.exit_code == 0, result.output
    record = checked_records(result.stdout)[0]
    assert (record["wrong"], record["status"], record["algo"]) == (0, "OK", "scin-inq")
    assert record["payload_flits_sent"] > 0
    exact = np.sum([array.astype(np.float64) for array in arrays], axis=0)
    found = np.load(tmp_path / "out" / "endpoint0.npy").astype(np.float64)
    if operation == "reducescatter":
        exact = exact[:3]
    assert found.shape == exact.shape
    noise = found - exact
    assert np.abs(noise).max() <= record["error"]["maximum"] * 1.01 + 1e-3
    assert record["error"]["sqnr_db"] > (35 if dtype == "int8" else 12)


def test_sweep_of_both_algorithms(tmp_path):
    """Sizes and bandwidths of scin-inq are those of the FP16 data it stands for."""
    plot = tmp_path / "both.svg"
    sizes = ("--min", "4K", "--max", "16K", "--factor", "4", "--json", "-", "--plot", plot)
    result = scin("sweep", "allreduce", *TINY, "--algo", "scin,scin-inq", *sizes)
    assert result.exit_code == 0, result.output
    records = checked_records(result.stdout)
    assert [(r["algo"], r["size_bytes"], r["wire_format"]) for r in records] == [
        ("scin", 4096, "fp16"),
        ("scin", 16384, "fp16"),
        ("scin-inq", 4096, "int8/64"),
        ("scin-inq", 16384, "int8/64"),
    ]
    for record in records:
        assert (record["wrong"], record["dtype"]) == (0, "fp16")
        assert record["algbw_GBps"] == pytest.approx(record["size_bytes"] / record["time_s"] / 1e9)
    assert records[3]["cycles"] < records[1]["cycles"]
    assert "scin-inq int8/64" in plot.read_text()


def test_accuracy(tmp_path):
    """The switch beats the ring as theory says, and is as good as two shots: both round twice."""
    target, plot = tmp_path / "accuracy.json", tmp_path / "accuracy.svg"
    given = ("--data", "synthetic", "--ranks", "2,8", "--blocks", "64", "--formats", "int8,nvfp4")
    result = scin("accuracy", *given, "--quiet", "--json", target, "--plot", plot)
    assert result.exit_code == 0, result.output
    records = checked_records(target.read_text())
    assert {(r["format"], r["block"], r["endpoints"]) for r in records} == {
        *(("int8", 64, 2), ("int8", 64, 8), ("nvfp4", 16, 2), ("nvfp4", 16, 8))
    }
    found = {
        r["algo"]: r["sqnr_db"] for r in records if (r["endpoints"], r["format"]) == (8, "int8")
    }
    assert found["scin-inq"] - found["ring-quantized"] > 2
    assert found["scin-inq"] == pytest.approx(found["two-shot-quantized"], abs=0.01)
    assert "<svg" in plot.read_text()


def test_steps_are_the_closed_form():
    """docs/microarchitecture.md: formula and measurement agree on every step."""
    ordered = ("--set", "endpoint.shuffle_slots=1", "--size", "128", "--steps")
    for variant in (
        (),
        ("--no-sync",),
        ("--set", "isa.fused_notify=false"),
        ("--set", "isa.streaming_reduction=false"),
    ):
        result = scin("run", "allreduce", *TINY, *ordered, *variant)
        lines = [line.split() for line in result.output.splitlines() if "→" in line]
        assert len(lines) >= 2, result.output
        for words in lines:
            assert words[-1] == words[-2], " ".join(words)


def test_waveform(tmp_path):
    wave = tmp_path / "run.fst"
    result = scin("run", "allreduce", *TINY, "--size", "256", "--wave", wave)
    assert result.exit_code == 0, result.output
    written = [path for path in tmp_path.iterdir() if path.suffix in (".fst", ".vcd")]
    assert len(written) == 1
    assert written[0].stat().st_size > 10_000
    assert "scheduler" in wave.with_suffix(".gtkw").read_text()


def test_ranks_in_the_order_of_their_numbers(tmp_path):
    """rank2 is before rank10, whatever their digits."""
    names = [f"node1_rank{index}" for index in (2, 10)]
    for value, name in enumerate(names):
        np.save(tmp_path / f"{name}.npy", np.full(8, value, np.float16))
    given = ("--input", tmp_path / "*.npy", "--output", tmp_path / "out")
    assert scin("run", "allgather", *TINY, *given).exit_code == 0
    gathered = np.load(tmp_path / "out" / "endpoint0.npy")
    assert gathered[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [">f2", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_tensors_of_any_layout(tmp_path, dtype, order):
    """Big-endian files and such in Fortran's order mean what numpy reads."""
    rng = np.random.default_rng(9)
    arrays = [rng.standard_normal((5, 8)).astype(np.float16) for _ in range(2)]
    for index, array in enumerate(arrays):
        np.save(tmp_path / f"rank{index}.npy", np.asarray(array, dtype=dtype, order=order))
    given = ("--input", tmp_path / "rank*.npy", "--output", tmp_path / "out")
    result = scin("run", "allreduce", *TINY, *given, "--redop", "max")
    assert result.exit_code == 0, result.output
    assert (np.load(tmp_path / "out" / "endpoint1.npy") == np.maximum(*arrays)).all()


def test_emit_writes_verilog_and_manifest(tmp_path):
    assert scin("emit", *TINY, "--output", tmp_path).exit_code == 0
    manifest = json.loads((tmp_path / "tiny_switch.json").read_text())
    assert "module tiny_switch" in (tmp_path / manifest["file"]).read_text()


def test_doctor():
    result = scin("doctor")
    assert result.exit_code == 0, result.output
    assert "verilator" in result.output
