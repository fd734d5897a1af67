"""The command line: contract of the output, bad input, exit status."""

import json
import pickle
import re
from contextlib import ExitStack
from unittest import mock

import click
import numpy as np
import pytest
from click.testing import CliRunner

from cocotb_tests.support.commands import commands_of
from cocotb_tests.support.records import RECORD_FIELDS, checked, checked_records
from cocotb_tests.support.stages import light_stages
from hw.spec.config import ConfigError, load
from hw.spec.instruction import DataType, ReduceOp
from models.collective import collective
from models.formats.floating import reduce
from models.llm.accelerator import Roofline
from scin.commands.study import STUDIES
from scin.errors import BuildError
from scin.main import main
from scin.report.dma_measurement import DmaMeasurement
from scin.report.files import OutputFile, OutputFolder
from scin.report.measurement import Measurement

TINY = ("--config", "tiny")


def scin(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def ranks(tmp_path):
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal((6, 10)).astype(np.float16) for _ in range(2)]
    for index, array in enumerate(arrays):
        np.save(tmp_path / f"rank{index}.npy", array)
    return tmp_path, arrays


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


BAD = {
    "operation": (("run", "alltoall"), "supported here are allreduce"),
    "preset": (("run", "allreduce", "--config", "nope"), "there are dgx8, ecp5, fpga4, tiny"),
    "field": (("run", "allreduce", "--set", "isa.nope=1"), "isa.nope: unknown field"),
    "old name": (
        ("run", "allreduce", "--set", "link.patience_cycles=300"),
        "link.patience_cycles: this field is called link.dead_peer_cycles",
    ),
    "section": (("run", "allreduce", "--set", "nope.x=1"), "nope: unknown section"),
    "low": (("run", "allreduce", "--set", "system.endpoints=1"), "must be at least 2"),
    "high": (("run", "allreduce", "--set", "isa.waves=128"), "isa.waves = 128: must be at most 64"),
    "power": (("run", "allreduce", "--set", "isa.waves=3"), "must be a power of two"),
    "type": (("run", "allreduce", "--set", "isa.waves='a'"), "must be of type int"),
    "relation": (("run", "allreduce", "--set", "fabric.header_bytes=64"), "must equal"),
    "rate": (("run", "allreduce", "--set", "link.gigabytes_per_second=9.0"), "= 8 GB/s"),
    "fault": (("soak", "--fault", "bits=1e-6"), "fault 'bits': must be one of ber, burst"),
    "fault rate": (("soak", "--fault", "ber=2"), "fault ber = 2: must be between 0 and 1"),
    "fault text": (("run", "allreduce", "--fault", "ber"), "must be written kind=rate"),
    "fault of soaks": (("run", "allreduce", "--fault", "cut=1"), "fault cut: only for scin soak"),
    "cycles": (("soak", "--cycles", "0"), "cycles 0: must be between 1 and 1000000000000"),
    "switches": (("run", "allreduce", "--config", "dgx8"), "system.switches = 4"),
    "override": (("run", "allreduce", "--set", "isa.waves"), "section.field=value"),
    "size": (("run", "allreduce", *TINY, "--size", "7"), "multiple of 2 B"),
    "size text": (("run", "allreduce", *TINY, "--size", "4Q"), "size '4Q'"),
    "much": (("run", "allreduce", *TINY, "--size", "9" * 5000), "must be less than 1152"),
    "memory": (
        ("run", "allreduce", "--size", "64G", "--set", "endpoint.memory_bytes=274877906944"),
        "size = 68719476736: the tensors of 4 endpoints take about",
    ),
    "copy": (("dma", "p2p", "--max", "64G"), "size 68719476736: needs 68719476736 B of every endp"),
    "negative seed": (("run", "allreduce", "--seed", "-1"), "seed -1: must be between 0 and 2147"),
    "large seed": (("soak", "--seed", "9" * 20), "must be between 0 and 2147483647"),
    "synthetic seed": (("accuracy", "--seed", "-1"), "seed -1: must be between 0 and"),
    "seed text": (("sweep", "allreduce", "--seed", "x"), "seed 'x': must be a whole number"),
    "nan": (("run", "allreduce", "--set", "isa.clock_MHz=nan"), "= nan: must be a finite number"),
    "inf": (("compare", "--set", "link.gigabytes_per_second=inf"), "must be a finite number"),
    "minus inf": (("study", "inq", "--set", "isa.clock_MHz=-inf"), "must be a finite number"),
    "fault nan": (("soak", "--fault", "ber=nan"), "fault ber = nan: must be between 0 and 1"),
    "parameter nan": (("compare", "--parameter", "software_us=nan"), "software_us = nan: must be"),
    "parameter inf": (("llm", "--parameter", "dma_start_ns=inf"), "dma_start_ns = inf: must be"),
    "host nan": (("dma", "p2p", "--host-command", "nan"), "host-command nan: must be between 1"),
    "nested": (("run", "allreduce", "--set", "isa.waves=" + "[" * 5000), "not a TOML value"),
    "digits": (("run", "allreduce", "--set", "isa.waves=" + "9" * 5000), "not a TOML value"),
    "zero": (("run", "allreduce", *TINY, "--size", "0"), "positive multiple"),
    "gather size": (("run", "allgather", *TINY, "--size", "6"), "multiple of 4 B"),
    "too large": (("run", "allreduce", *TINY, "--size", "1G"), "must be at most 1044480"),
    "dtype": (("run", "allreduce", *TINY, "--dtype", "int7"), "dtype 'int7'"),
    "redop": (("run", "allreduce", *TINY, "--redop", "prod"), "redop 'prod'"),
    "backend": (("sweep", "allreduce", "--backend", "x"), "backend 'x'"),
    "range": (("sweep", "allreduce", *TINY, "--min", "4K", "--max", "1K"), "at most max"),
    "factor": (("sweep", "allreduce", *TINY, "--factor", "1"), "at least 2"),
    "plot": (
        ("sweep", "allreduce", *TINY, "--max", "4K", "--plot", "x.pdf"),
        "must end in .png or .svg",
    ),
    "no files": (("run", "allreduce", *TINY, "--input", "/nowhere/*.npy"), "names 0 files"),
    "wave": (("run", "allreduce", *TINY, "--wave", "/nowhere/x.fst"), "does not exist"),
    "quantized max": (("run", "allreduce", *TINY, "--dtype", "int8", "--redop", "max"), "be sum"),
    "quantized copy": (("run", "allgather", *TINY, "--dtype", "int8"), "supported are allreduce"),
    "half": (("run", "allreduce", *TINY, "--dtype", "int8", "--size", "95"), "multiple of 2 B"),
    "format": (
        ("run", "allreduce", "--config", "ecp5", "--dtype", "mxfp4"),
        "not among isa.block_formats of ecp5: int8",
    ),
    "format name": (("run", "allreduce", "--set", "isa.block_formats=['x']"), "no such format"),
    "formats of a system": (
        ("run", "allreduce", "--set", "isa.block_formats='int8'"),
        "a list of names",
    ),
    "wave of scales": (("run", "allreduce", "--set", "isa.wave_bytes=512"), "multiple of 1024"),
    "algorithm": (("sweep", "allreduce", *TINY, "--algo", "scin,token-ring"), "algo 'token-ring'"),
    "wire": (
        ("sweep", "allreduce", *TINY, "--algo", "scin-inq", "--inq-format", "fp16"),
        "block-scaled format",
    ),
    "data": (("accuracy", "--data", "weather"), "data 'weather'"),
    "ranks": (("accuracy", "--ranks", "1"), "ranks 1: must be between 2 and 72"),
    "blocks": (("accuracy", "--blocks", "48"), "power of two"),
    "formats": (("accuracy", "--formats", "int7"), "formats 'int7'"),
    "nothing to plot": (
        ("accuracy", "--formats", "nvfp4", "--plot", "x.svg"),
        "formats must name one",
    ),
    "bytes are not added": (
        ("run", "allreduce", *TINY, "--dtype", "bytes"),
        "supported are broadcast, allgather",
    ),
    "twice": (("run", "allreduce", *TINY, "--dtype", "fp16", "--dtype", "bf16"), "given 2 times"),
    "same fault": (("run", "allreduce", "--fault", "ber=0", "--fault", "ber=1"), "more than once"),
    "same algorithm": (("sweep", "allreduce", *TINY, "--algo", "scin,scin"), "is named 2 times"),
    "operator": (("run", "broadcast", *TINY, "--redop", "max"), "broadcast does not reduce"),
    "seed": (("compare", "--seed", "2"), "--seed: does nothing here"),
    "steps": (("run", "reduce", *TINY, "--steps"), "only for an unquantized allreduce"),
    "silent steps": (
        ("run", "allreduce", *TINY, "--size", "128", "--steps", "--quiet"),
        "--steps: does nothing here: --quiet prints nothing",
    ),
    "fetch": (("dma", "kvfetch", "--min", "1K"), "--min: does nothing here"),
    "fetch on RTL": (("dma", "kvfetch", "--backend", "rtl"), "by the timing model only"),
    "chunks": (
        ("dma", "allgather", *TINY, "--min", "1", "--max", "7", "--factor", "2"),
        "size 1: must be a multiple of 2 B, one per endpoint",
    ),
    "chunks of the model": (
        ("dma", "alltoall", "--platform", "mi300x", "--min", "4", "--max", "64"),
        "size 4: must be a multiple of 8 B, one per endpoint",
    ),
    "platform": (
        ("dma", "p2p", "--platform", "mi300x", "--set", "system.endpoints=2"),
        "--set: does nothing here",
    ),
    "half of an element": (("compare", "--min", "3", "--max", "3"), "size 3: must be a positive"),
    "cores": (("sweep", "allreduce", *TINY, "--algo", "ring", "--backend", "rtl"), "RTL runs scin"),
    "top": (("emit", *TINY, "--top", "moon"), "top 'moon'"),
}


WITH_FAULTS = {
    "run": ("run", "allreduce", *TINY, "--fault", "ber=1e-3"),
    "soak": ("soak", *TINY, "--cycles", "1000"),
    "soak with answers that are wrong": ("soak", *TINY, "--fault", "wrong=1"),
}


@pytest.mark.parametrize("name", WITH_FAULTS)
def test_faults_and_the_circuits_that_they_need(name):
    """What is set is not changed without a word, and the configuration shown is what would run."""
    command = WITH_FAULTS[name]
    needed = ["link.reliable", "link.fault_injection"]
    if "wrong=1" in command:
        needed.append("endpoint.fault_injection")
    result = scin(*command, "--show-config")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    for field in needed:
        section, _, item = field.partition(".")
        assert shown[section][item] is True
        for more in ((), ("--show-config",)):
            refused = scin(*command, "--set", f"{field}=false", *more)
            assert refused.exit_code == 2
            assert refused.output == f"scin: set {field} = false: must be true for this command\n"
    plain = json.loads(scin("run", "allreduce", *TINY, "--show-config").stdout)
    assert plain["link"]["reliable"] is False


def test_showing_a_configuration_writes_nothing(tmp_path):
    """An output beside --show-config is refused, by every command that has both."""
    seen = set()
    for name, command in commands_of(main):
        names = {item.name for item in command.params}
        for item in command.params if "show_config" in names else ():
            if not isinstance(item.type, OutputFile | OutputFolder):
                continue
            target = tmp_path / f"x{(getattr(item.type, 'endings', ()) or ('.json',))[0]}"
            words = ["x"] * sum(isinstance(other, click.Argument) for other in command.params)
            result = scin(name, *words, *TINY, "--show-config", item.opts[0], target)
            assert result.exit_code == 2, (name, result.output)
            expected = f"scin: {item.opts[0]}: does nothing here: --show-config only prints\n"
            assert result.output == expected
            seen.add((name, item.opts[0]))
    assert {("run", "--json"), ("run", "--wave"), ("emit", "--output"), ("dma", "--plot")} <= seen
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    arguments, message = BAD[name]
    result = scin(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output


def test_bad_files(ranks):
    folder, arrays = ranks
    second = folder / "rank1.npy"

    def refused(message):
        out = folder / "out"
        result = scin("run", "allreduce", *TINY, "--input", folder / "rank*.npy", "--output", out)
        assert result.exit_code == 2, result.output
        assert message in result.output
        assert not out.exists(), "something was written"

    np.save(second, arrays[1][:5])
    refused("shape (5, 10): must equal (6, 10)")
    np.save(second, arrays[1].astype(np.float32))
    refused("type float32: must be float16")
    second.write_bytes(b"not an array")
    refused("not a readable .npy file")
    second.unlink()
    refused("names 1 files: must be 2")


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


def test_files_that_are_no_tensors(tmp_path):
    """Objects, archives, pickles, and files that promise more than they hold: a line each."""
    good = tmp_path / "rank0.npy"
    np.save(good, np.zeros(8, np.float16))
    bad = tmp_path / "rank1.npy"

    def refused(message):
        result = scin("run", "allreduce", *TINY, "--input", tmp_path / "rank*.npy")
        assert result.exit_code == 2, result.output
        assert result.output.startswith(f"scin: {bad}: ")
        assert message in result.output

    np.save(bad, np.array([{}] * 8, dtype=object), allow_pickle=True)
    refused("Object arrays cannot be loaded")
    bad.write_bytes(pickle.dumps([1.0] * 8))
    refused("not a readable .npy file")
    with bad.open("wb") as file:
        np.savez(file, np.zeros(8, np.float16))
    refused("an archive: must be one array")
    bad.write_bytes(b"PK\x03\x04 and no more")
    refused("not a readable .npy file")
    bad.write_bytes(good.read_bytes().replace(b"(8,)", b"(8000000000000,)"))
    refused("not a readable .npy file")
    bad.write_bytes(good.read_bytes()[:-2])
    refused("not a readable .npy file")
    np.save(bad, np.zeros(8, np.dtype([("a", "u1"), ("b", "u1")])))
    refused("must be float16")


def test_unwritable_output_leaves_nothing(ranks):
    folder, _ = ranks
    result = scin("run", "allreduce", *TINY, "--size", "256", "--json", folder / "no" / "x.json")
    assert result.exit_code == 2
    assert f"its folder does not exist: {folder / 'no'}" in result.output


def test_emit_writes_verilog_and_manifest(tmp_path):
    assert scin("emit", *TINY, "--output", tmp_path).exit_code == 0
    manifest = json.loads((tmp_path / "tiny_switch.json").read_text())
    assert "module tiny_switch" in (tmp_path / manifest["file"]).read_text()


def test_doctor():
    result = scin("doctor")
    assert result.exit_code == 0, result.output
    assert "verilator" in result.output


@pytest.mark.parametrize("command", [("compare",), ("run", "allreduce"), ("study", "inq")])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[isa]\nclock_MHz = nan\n", "isa.clock_MHz = nan: must be a finite number"),
        ("[link]\ngigabytes_per_second = +inf\n", "gigabytes_per_second = inf: must be a finite"),
        ("system = 3\n", "system: unknown section"),
        ("[isa]\nwaves = " + "9" * 5000, "configuration"),
    ],
)
def test_bad_configuration_files(tmp_path, command, text, message):
    path = tmp_path / "x.toml"
    path.write_text(text)
    result = scin(*command, "--config", path)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert len(result.output.splitlines()) == 1


def test_override_of_no_section(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("system = 3\n")
    result = scin("compare", "--config", path, "--set", "system.endpoints=2")
    assert result.exit_code == 2
    assert result.output.startswith(f"scin: {path}: system: unknown section")
    with pytest.raises(ConfigError, match="system = 3: must be a section of fields"):
        load(path, {"system.endpoints": 2})


MODES = {
    "run": (
        "allreduce",
        "allreduce --dtype int8",
        "allreduce --fault ber=1e-6",
        "allreduce --size 128 --set endpoint.shuffle_slots=1",
        "allreduce --input rank*.npy",
        "allreduce --input rank*.npy --fault ber=1e-6",
        "broadcast",
        "broadcast --input rank*.npy",
    ),
    "sweep": (
        "allreduce --max 16K",
        "allreduce --max 16K --algo scin-inq",
        "allreduce --max 16K --algo dma-ring",
        "allreduce --max 16K --algo ring",
        "allreduce --max 16K --backend sim",
        "allreduce --max 16K --backend sim --algo scin-inq",
        "broadcast --max 16K",
    ),
    "dma": (
        "p2p --max 16K",
        "allgather --max 16K --prelaunch off",
        "p2p --max 16K --backend model",
        "p2p --max 16K --platform mi300x",
        "kvfetch",
    ),
    "compare": ("", "--algo ring,nvls", "--algo scin-inq"),
    "study": tuple(STUDIES),
    "llm": ("", "--prefill-algo ring --decode-algo ring --against ring", "--profile measured.csv"),
    "explain": ("allreduce", "allreduce --backend rtl"),
    "explore": (
        "space.toml --output x.csv",
        "space.toml --output x.csv --scheduler tcp://localhost:1",
    ),
    "validate": ("",),
    "soak": ("", "--fault ber=1e-6"),
    "accuracy": (
        "--data model",
        "--data synthetic",
        "--data normal",
        "--data normal --formats int8,nvfp4",
        "--data normal --formats nvfp4",
        "--data normal --formats mxfp8,nvfp4-up",
    ),
    "emit": ("",),
    "build": ("",),
    "doctor": ("",),
    "fpga plan": ("star5",),
    "fpga wiring": ("star5",),
    "fpga build": ("star5", "xcvu13p5 --vivado project"),
    "fpga simulate": ("star5",),
    "fpga run": (
        "single --port all=x",
        "single --simulate",
        "single --port all=x --status",
        "single --simulate --status",
    ),
}
"""Ways to run each command, in some of which some option has nothing to change."""

VALUES = {
    **{"--config": ("ecp5", "tiny"), "--set": ("link.latency_cycles=40",), "--seed": ("7",)},
    **{"--size": ("1K",), "--min": ("8K",), "--max": ("8K",), "--factor": ("3",)},
    **{"--dtype": ("bf16",), "--redop": ("max",), "--inq-format": ("mxfp8",)},
    **{"--input": ("rank?.npy",), "--fault": ("drop=1e-6",), "--backend": ("sim", "rtl", "model")},
    **{"--algo": ("scin", "twoshot"), "--parameter": ("software_us=3",), "--variant": ("b2b",)},
    **{"--prelaunch": ("on",), "--platform": ("mi300x", "fpga4"), "--host-command": ("9",)},
    **{"--host-access": ("9",), "--block": ("4K",), "--model": ("llama2-7b",)},
    **{"--precision": ("fp8",), "--prefill-batch": ("2",), "--decode-batch": ("2",)},
    **{"--prompt": ("9",), "--context": ("9",), "--prefill-algo": ("nvls",)},
    **{"--decode-algo": ("nvls",), "--against": ("tree",), "--profile": ("other.csv",)},
    **{"--workers": ("2",), "--scheduler": ("tcp://localhost:2",), "--cycles": ("9",)},
    **{"--data": ("normal", "synthetic"), "--ranks": ("3",), "--formats": ("int4",)},
    **{"--blocks": ("1024",), "--top": ("system",), "--board": ("node0",), "--port": ("all=y",)},
    **{"--baud": ("9600",)},
}
"""Of each option, values of which one is neither its default nor what a mode says."""

UNSEEN = {
    "--quiet": "changes only what is printed",
    "--show-config": "prints the configuration and stops",
}
"""Options that change neither records nor what is built, and what they do instead."""


class Asked:
    """Stages that take long, in their place: what each is asked for."""

    def __init__(self):
        self.requests = []

    def stage(self, name, answer=lambda: None):
        def noted(*given, **named):
            self.requests.append(told([name, given, sorted(named.items())]))
            return answer()

        return noted

    def runner(self, name, answer):
        return lambda: mock.Mock(run=self.stage(f"{name}.run", answer))

    def boards(self):
        made = mock.MagicMock()
        system = made.__enter__.return_value
        system.wait_links = self.stage("wait_links")
        system.links.return_value = []
        return made

    def stages(self):
        """Of RTL, of boards and of large tensors."""
        commands = "scin.commands"
        quantized = ("sqnr_of", "embeddings_of")
        tensors = ("synthetic_tensors", "normal_tensors", "model_tensors")
        answers = {
            **{f"{commands}.{name}.Simulator": mock.MagicMock for name in ("run", "sweep", "dma")},
            **{f"{commands}.{name}.Driver": mock.Mock for name in ("run", "sweep", "dma")},
            **{f"{commands}.{name}.CollectiveRunner": mock.Mock for name in ("run", "sweep")},
            **{f"{commands}.{name}.run_tensors": collective_run for name in ("run", "sweep")},
            f"{commands}.run.measured_steps": list,
            f"{commands}.sweep.DmaRunner": mock.Mock,
            f"{commands}.sweep.RingRunner": self.runner("RingRunner", lambda: collective_run()[0]),
            f"{commands}.dma.DmaRunner": self.runner("DmaRunner", dma_run),
            f"{commands}.study.simulate": lambda: mock.Mock(unsynchronised=1000),
            f"{commands}.llm.Profile.load": Roofline,
            f"{commands}.explain._on_rtl": no_hardware,
            f"{commands}.soak.run_soak": no_hardware,
            f"{commands}.build.simulator_library": str,
            f"{commands}.validate.compare": list,
            f"{commands}.emit.emitted": str,
            f"{commands}.explore._run": no_hardware,
            "fpga.build.build_design": no_hardware,
            "fpga.vivado.write_project": list,
            "fpga.simulation.SimulatedBoards": mock.MagicMock,
            "fpga.host.BoardSystem": self.boards,
            f"{commands}.fpga._all_reduce": no_hardware,
            **{f"{commands}.accuracy.{name}": list for name in (*quantized, *tensors)},
        }
        return {name: self.stage(name, answer) for name, answer in answers.items()}


def told(value):
    """The same text for the same request: without addresses, and with every element."""
    if isinstance(value, np.ndarray):
        return value.tobytes().hex()
    if isinstance(value, list | tuple):
        return str([told(item) for item in value])
    if isinstance(value, mock.Mock) or callable(value):
        return type(value).__name__
    return re.sub(r" at 0x[^>]*", "", repr(value))


def no_hardware():
    raise BuildError("no hardware here")


def collective_run():
    measured = Measurement(
        **{"op": "allreduce", "algo": "scin", "endpoints": 2, "size_bytes": 2, "count": 1},
        **{"sync_included": True, "wire_format": "fp16"},
    )
    return measured, []


def dma_run():
    return DmaMeasurement(
        **{"op": "p2p", "size_bytes": 1, "variant": "pcpy", "prelaunch": False},
        **{"platform": "fpga4", "phases": None},
    )


@pytest.fixture
def outcome(tmp_path, monkeypatch):
    """Runs a command with nothing that takes long: its exit status, what it records or prints,
    and what it asks for."""
    monkeypatch.chdir(tmp_path)
    for index in range(4):
        np.save(f"rank{index}.npy", np.arange(64, dtype=np.float16))
    (tmp_path / "space.toml").write_text('config = "tiny"\nsizes = [64]\nalgorithms = ["ring"]\n')

    def run(*arguments):
        asked = Asked()
        with ExitStack() as stack:
            stack.enter_context(light_stages(tmp_path))
            for name, stage in asked.stages().items():
                stack.enter_context(mock.patch(name, stage))
            result = scin(*arguments)
        assert isinstance(result.exception, SystemExit | None), result.exception
        found = result.stdout
        if found.startswith('{\n  "command"'):
            # The rest of the document repeats what is given, and so does the seed.
            found = [record | {"seed": None} for record in json.loads(found)["records"]]
        return result.exit_code, found, sorted(asked.requests)

    return run


def leaf(name):
    command = main
    for word in name.split():
        command = command.get_command(click.Context(command), word)
    return command


def leaves(group=main, path=""):
    for name, command in commands_of(group):
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")
        else:
            yield f"{path}{name}"


def test_modes_are_of_every_command():
    assert set(leaves()) == set(MODES)


@pytest.mark.parametrize("name", MODES)
def test_no_option_does_nothing(name, outcome):
    """In every mode, each changes the records or what is built or asked for, or is refused; and
    there is a mode in which it is taken."""
    options = [
        item
        for item in leaf(name).params
        if isinstance(item, click.Option)
        and item.opts[0] not in UNSEEN
        # What they write is in the tests of files.
        and not isinstance(item.type, OutputFile | OutputFolder)
    ]
    json_option = any(item.opts[0] == "--json" for item in leaf(name).params)
    taken, idle = set(), []
    for mode in MODES[name]:
        words = [*name.split(), *mode.split()]
        if json_option and not {"--vivado", "--status"} & set(words):
            words += ["--json", "-"]
        plain = outcome(*words)
        assert plain[0] != 2
        assert outcome(*words) == plain, "it is not the same twice"
        for item in options:
            if item.opts[0] in words:
                taken.add(item.opts[0])
                if not item.multiple:
                    continue
            given = [()] if item.is_flag else [(value,) for value in VALUES[item.opts[0]]]
            changed = [outcome(*words, item.opts[0], *value) for value in given]
            if all(found == plain for found in changed):
                idle.append((mode, item.opts[0]))
            if any(found[0] != 2 for found in changed):
                taken.add(item.opts[0])
    assert not idle
    # A hidden option is there to be refused with a reason.
    assert taken == {item.opts[0] for item in options if not item.hidden}
