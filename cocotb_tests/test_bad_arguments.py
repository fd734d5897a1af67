"""Bad input on the command line: each names what is wrong, and writes nothing."""

import json
import pickle

import click
import numpy as np
import pytest

from cocotb_tests.support.commands import TINY, commands_of, scin
from hw.spec.config import ConfigError, load
from scin.main import main
from scin.report.files import OutputFile, OutputFolder

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
