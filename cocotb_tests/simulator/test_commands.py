"""compare, study, llm, explain, explore, sweep --backend sim: output, plots, bad input."""

import csv
import dataclasses
import itertools
import json

import pyarrow.parquet
import pytest

from cocotb_tests.support.commands import scin
from cocotb_tests.support.records import checked_records
from cocotb_tests.support.stages import light_stages
from hw.spec.config import PRESET_FOLDER, load
from models.baselines.algorithms import BASELINES
from models.baselines.parameters import Parameters
from models.prediction import known_algorithms, predict
from models.simulator.collective import allreduce
from scin.commands import explore
from scin.commands.study import STUDIES
from scin.errors import InputError


def records(*arguments):
    result = scin(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    return checked_records(result.stdout)


def test_compare(tmp_path):
    plot = tmp_path / "compare.svg"
    algorithms = ["scin", "scin-inq", *BASELINES]
    found = records(
        *("compare", "--algo", ",".join(algorithms), "--min", "1K", "--max", "64M"),
        *("--factor", "16", "--plot", plot),
    )
    assert [item["algo"] for item in found[: len(algorithms)]] == algorithms
    assert {item["size_bytes"] for item in found} == {1 << 10, 1 << 14, 1 << 18, 1 << 22, 1 << 26}
    for item in found:
        assert item["algbw_GBps"] == pytest.approx(item["size_bytes"] / item["time_s"] / 1e9)
        assert item["busbw_GBps"] == pytest.approx(item["algbw_GBps"] * 14 / 8)
    text = plot.read_text()
    assert all(label in text for label in ("size", "algorithm bandwidth (GB/s)", "ring"))


def test_parameters_name_the_algorithms_that_they_change(tmp_path):
    """All of them, and no other."""
    config, plain = load("tiny"), Parameters()
    other = {"fence": "endpoint", "nvls_outstanding_bytes": 1}
    with light_stages(tmp_path):
        for item in dataclasses.fields(Parameters):
            value = other.get(item.name, 3.0)
            changed = dataclasses.replace(plain, **{item.name: value})
            found = {
                name
                for name in known_algorithms()
                if predict(config, name, 4096, plain).seconds
                != predict(config, name, 4096, changed).seconds
            }
            assert found == set(item.metadata["algorithms"]), item.name


def test_compare_beside_measured_gpus(tmp_path):
    plot = tmp_path / "measured.svg"
    parameters = ("--parameter", "software_us=6", "--plot", plot)
    found = records("compare", "--algo", "ring,nvls", "--max", "1M", *parameters)
    assert all(item["time_s"] > 6e-6 for item in found)
    assert "measured" in plot.read_text()


@pytest.mark.parametrize(
    "command",
    [
        "compare --max 1K",
        "sweep allreduce --backend sim --max 4K",
        "study latency",
        "llm --model llama2-7b",
        "explain allreduce --size 1K --backend sim",
    ],
)
def test_dollar_signs_are_no_formula(tmp_path, command):
    """In the name of a configuration, which titles say."""
    config, plot = tmp_path / r"$\not_a_formula$.toml", tmp_path / "x.svg"
    config.write_text((PRESET_FOLDER / "fpga4.toml").read_text())
    result = scin(*command.split(), "--config", config, "--plot", plot)
    assert result.exit_code == 0, result.output
    # A formula would be drawn sign by sign.
    assert config.stem in plot.read_text()


@pytest.mark.parametrize("name", STUDIES)
def test_study(tmp_path, name):
    plot = tmp_path / "study.png"
    found = records("study", name, "--config", "fpga4", "--plot", plot)
    assert len({item["line"] for item in found}) > 1
    assert all(item["time_s"] > 0 for item in found)
    assert plot.stat().st_size > 10_000


@pytest.mark.parametrize("name", STUDIES)
def test_study_refuses_to_vary_what_is_set(name, monkeypatch, tmp_path):
    """Every field in which the systems of a study differ is its own; others may be set."""
    base, systems = load("tiny"), []

    def seen(config, algorithm, size, *rest):
        systems.append(config)
        return predict(config, "ring", size, *rest)

    with light_stages(tmp_path):
        monkeypatch.setattr("scin.commands.study.predict", seen)
        list(STUDIES[name].points(base))
    flat = [fields_of(system) for system in systems]
    varied = {field for field in fields_of(base) if len({str(each[field]) for each in flat}) > 1}
    assert varied == set(STUDIES[name].varies)
    monkeypatch.setattr("scin.commands.study.compile_simulator", None)
    for field in STUDIES[name].varies:
        value = str(fields_of(base)[field]).lower()
        result = scin("study", name, "--config", "tiny", "--set", f"{field}={value}")
        assert result.exit_code == 2, result.output
        assert result.output == f"scin: set {field}: study {name} varies it\n"


def fields_of(config):
    return {
        f"{section}.{name}": value
        for section, values in config.as_dict().items()
        if section != "name"
        for name, value in values.items()
    }


def test_study_of_latencies_that_no_cycle_can_tell_apart(monkeypatch):
    """Each point is at the latency that was simulated, and no latency is there twice."""
    monkeypatch.setattr("scin.commands.study.predict", quick)
    monkeypatch.setattr("scin.commands.study.compile_simulator", lambda *given: None)
    slow = ("--set", "isa.clock_MHz=10", "--set", "link.gigabytes_per_second=0.16")
    found = records("study", "latency", "--config", "tiny", *slow)
    # Six cycles are the least: 100, 200 and 400 ns are fewer.
    assert [item["x"] for item in found] == [600, 800] * 4
    found = records("study", "latency", "--config", "ecp5")
    assert [item["x"] for item in found[:4]] == pytest.approx([100, 200, 400, 800])


def quick(config, algorithm, *rest):
    return predict(config, "ring", *rest)


def test_llm(tmp_path):
    plot = tmp_path / "llm.svg"
    found = records("llm", "--model", "llama2-7b", "--plot", plot)
    assert {(item["precision"], item["prefill"]) for item in found} == {
        (precision, prefill) for precision in ("fp16", "fp8") for prefill in (True, False)
    }
    for item in found:
        total, other = item["ttft_s"], item["tpot_s"]
        if not item["prefill"]:
            total, other = other, total
        assert total == pytest.approx(item["compute_s"] + item["communication_s"])
        assert other is None
        if item["algo"].startswith("scin"):
            assert item["speedup_vs_ring"] > 1
    assert "time (us)" in plot.read_text()


def test_llm_with_a_measured_profile(tmp_path):
    """The profile's times count, and what it lacks is named."""
    model = tmp_path / "small.toml"
    model.write_text(
        "layers = 2\nhidden = 64\nheads = 4\nkv_heads = 4\nffn = 128\nvocabulary = 100\n"
    )
    lines = ["operator,shape,precision,seconds"]
    for name, shape in (
        ("norm", "2x64"),
        ("qkv", "2x64x96"),
        ("attention", "2x2x32"),
        ("out", "2x32x64"),
        ("gate_up", "2x64x128"),
        ("silu", "2x64"),
        ("down", "2x64x64"),
        ("head", "1x64x50"),
    ):
        lines.append(f"{name},{shape},fp16,0.001")
    decode = [
        line.replace("2x", "1x", 1).replace("attention,1x2", "attention,1x2") for line in lines[1:]
    ]
    profile = tmp_path / "profile.csv"
    profile.write_text("\n".join(dict.fromkeys([*lines, *decode])) + "\n")
    options = (
        *("llm", "--config", "tiny", "--model", model, "--precision", "fp16"),
        *("--prompt", 2, "--decode-batch", 1, "--context", 2, "--profile", profile),
    )
    for item in records(*options):
        # Two norms and six other operators in each of two layers, and the head.
        assert item["compute_s"] == pytest.approx(2 * 8e-3 + 1e-3)
    profile.write_text("\n".join(lines[:-1]) + "\n")
    result = scin(*options)
    assert result.exit_code == 2
    assert f"profile {profile}: the profile lacks head, 1x64x50, fp16" in result.output


@pytest.mark.parametrize(
    ("accelerators", "what"),
    [
        (12, "kv_heads = 8 can be neither divided by nor replicated evenly over 12 accelerators"),
        (9, "heads = 24 cannot be divided by 9 accelerators: system.endpoints must divide it"),
        (48, "heads = 24 cannot be divided by 48 accelerators: system.endpoints must divide it"),
    ],
)
def test_llm_refuses_heads_that_cannot_be_split(tmp_path, accelerators, what):
    """The KV heads of 24 heads, too, where neither they nor the accelerators are a multiple of
    the others; of 2, 4, 8 and 24 accelerators they are."""
    model = tmp_path / "m.toml"
    model.write_text(
        "layers = 2\nhidden = 48\nheads = 24\nkv_heads = 8\nffn = 1440\nvocabulary = 9\n"
    )
    given = ("llm", "--config", "tiny", "--model", model, "--set")
    result = scin(*given, f"system.endpoints={accelerators}")
    assert result.exit_code == 2, result.output
    assert result.output.startswith(f"scin: {model}: model m: {what}")
    with light_stages(tmp_path):
        for count in (2, 4, 8, 24):
            result = scin(*given, f"system.endpoints={count}")
            assert result.exit_code == 0, result.output


@pytest.mark.parametrize("backend", ["sim", "rtl"])
def test_explain(tmp_path, backend):
    """Steps without gaps; links, memory and rows are part of each; the same total."""
    plot = tmp_path / "waterfall.svg"
    found = records(
        *("explain", "allreduce", "--size", "1K", "--backend", backend, "--plot", plot),
    )
    assert found[0]["start_cycle"] == 0
    for before, after in itertools.pairwise(found):
        assert before["end_cycle"] == after["start_cycle"]
    for item in found:
        parts = item["links_cycles"] + item["memory_cycles"] + item["rows_cycles"]
        assert 0 <= parts <= item["cycles"] == item["end_cycle"] - item["start_cycle"]
    assert found[-1]["end_cycle"] == allreduce(load("fpga4"), 1024).cycles
    assert "cycles after the last arrival" in plot.read_text()


def test_sweep_in_the_simulator():
    found = records(
        *("sweep", "allreduce", "--backend", "sim", "--config", "dgx8"),
        *("--algo", "scin,scin-inq", "--min", "1M", "--max", "1G", "--factor", "32"),
    )
    assert [item["algo"] for item in found] == 3 * ["scin"] + 3 * ["scin-inq"]
    assert all(item["backend"] == "sim" and item["wrong"] is None for item in found)


SPACE = """
config = "tiny"
sizes = ["1K", 4096]
algorithms = ["scin", "ring"]

[fields]
"isa.waves" = [4, 8]
"link.latency_cycles" = [8, 20]
"""


def test_explore_on_a_cluster(tmp_path):
    """Points spread over a Dask cluster that is already there; every combination once."""
    from dask.distributed import LocalCluster

    description, output = tmp_path / "space.toml", tmp_path / "points.parquet"
    description.write_text(SPACE)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        result = scin(
            "explore", description, "--output", output, "--scheduler", cluster.scheduler_address
        )
    assert result.exit_code == 0, result.output
    rows = pyarrow.parquet.read_table(output).to_pylist()
    assert len(rows) == 16
    varied = ("isa.waves", "link.latency_cycles", "size_bytes", "algo")
    assert len({tuple(row[name] for name in varied) for row in rows}) == 16
    assert all(row["time_s"] > 0 for row in rows)


def test_explore_goes_on_after_an_interruption(tmp_path, monkeypatch):
    """What is in the journal is not computed again, and the journal is gone in the end."""
    description, output = tmp_path / "space.toml", tmp_path / "points.csv"
    description.write_text(SPACE)
    computed = []

    def here(points, scheduler, workers):
        for first in range(0, len(points), 6):
            batch = points[first : first + 6]
            computed.extend(batch)
            yield batch, explore.compute(batch)
            if len(computed) == 6:
                raise KeyboardInterrupt

    monkeypatch.setattr(explore, "_run", here)
    arguments = ("explore", description, "--output", output, "--quiet")
    assert scin(*arguments).exit_code == 130
    assert not output.exists()
    journal = explore.Journal(output).path
    # As if the machine had stopped within a line.
    journal.write_text(journal.read_text() + '{"key": "cut')
    result = scin(*arguments)
    assert result.exit_code == 0, result.output
    assert len(computed) == 16
    with output.open() as file:
        assert len(list(csv.DictReader(file))) == 16
    assert not journal.exists()


def test_explore_goes_on_only_from_the_same_contents(tmp_path, monkeypatch):
    """A configuration of the same name that says something else is computed anew."""
    config, description = tmp_path / "mine.toml", tmp_path / "space.toml"
    text = (PRESET_FOLDER / "tiny.toml").read_text(encoding="utf-8")
    config.write_text(text)
    description.write_text(f'config = "{config}"\nsizes = [1024]\nalgorithms = ["ring", "nvls"]\n')
    computed = []

    def here(points, scheduler, workers):
        for point in points:
            computed.append(point)
            yield [point], explore.compute([point])
            if len(computed) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(explore, "_run", here)
    output = tmp_path / "points.csv"
    arguments = ("explore", description, "--output", output, "--quiet")
    assert scin(*arguments).exit_code == 130
    config.write_text(text.replace("endpoints = 2", "endpoints = 8"))
    result = scin(*arguments)
    assert result.exit_code == 0, result.output
    assert len(computed) == 3
    first, second = (point.key for point in computed[:2])
    assert first != second
    explore.Journal(output).path.write_text("not a journal\n")
    refused = scin(*arguments)
    assert refused.exit_code == 2
    assert "is no journal of an exploration" in refused.output


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_explore_values_of_every_type(tmp_path, monkeypatch, ending):
    """Lists, also empty ones, truth values, and whole numbers beside others."""
    monkeypatch.setattr(explore, "_run", lambda points, *_: [(points, explore.compute(points))])
    description, output = tmp_path / "space.toml", tmp_path / f"points.{ending}"
    description.write_text(
        'config = "tiny"\nsizes = [1024]\nalgorithms = ["ring"]\n[fields]\n'
        '"isa.block_formats" = [[], ["int8", "nvfp4"]]\n'
        '"link.gigabytes_per_second" = [1, 1.5]\n"isa.average" = [true, false]\n'
    )
    result = scin("explore", description, "--output", output, "--quiet", "--json", "-")
    assert result.exit_code == 0, result.output
    assert len(checked_records(result.stdout)) == 8
    if ending == "parquet":
        lists = [row["isa.block_formats"] for row in pyarrow.parquet.read_table(output).to_pylist()]
    else:
        with output.open() as file:
            lists = [json.loads(row["isa.block_formats"]) for row in csv.DictReader(file)]
    assert lists == [[]] * 4 + [["int8", "nvfp4"]] * 4


def test_explore_refuses_what_no_file_can_hold(tmp_path):
    """Before anything is computed."""
    target = tmp_path / "x.parquet"
    with pytest.raises(InputError, match=r"output .*x.parquet: cannot hold the values: "):
        explore.encoded(target, [{"a": 1}, {"a": ["x"]}])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "--algo", "star"), "algo 'star': must be among scin"),
        (("compare", "--parameter", "fence=x"), "must be one of none, switch, endpoint"),
        (
            ("compare", "--algo", "scin", "--parameter", "nvls_outstanding_bytes=5"),
            "parameter nvls_outstanding_bytes: does nothing here: it changes nvls, and shown are "
            "scin, ring",
        ),
        (
            ("compare", "--algo", "nvls", "--parameter", "dma_start_ns=1"),
            "it changes dma-ring, and",
        ),
        (("llm", "--parameter", "dma_start_ns=1"), "and shown are ring, nvls, scin-inq, scin"),
        (("compare", "--inq-format", "fp16"), "must be a block-scaled format"),
        (("compare", "--min", "0"), "min 0: must be positive"),
        (("compare", "--set", "system.endpoints=1"), "system.endpoints = 1: must be at least 2"),
        (("compare", "--set", "link.gigabytes_per_second=500"), "a flit per cycle"),
        (("compare", "--plot", "x.pdf"), "must end in .png or .svg"),
        (("study", "weather"), "study 'weather': must be one of ablation"),
        (("llm", "--model", "gpt9"), "model 'gpt9': must be a .toml file or one of llama2-13b"),
        (("llm", "--precision", "fp4"), "precision 'fp4': must be among fp16, fp8"),
        (("llm", "--prompt", "0"), "prompt 0: must be between 1 and 16777216"),
        (("llm", "--profile", "absent.csv"), "profile absent.csv"),
        (("explain", "reduce"), "operation 'reduce': supported here is allreduce"),
        (("explain", "allreduce", "--size", "0"), "size 0: must be a positive multiple of 2 B"),
        (("explain", "allreduce", "--backend", "x"), "backend 'x': must be one of sim, rtl"),
        (("sweep", "reduce", "--backend", "sim"), "backend sim: only allreduce, with"),
        (("validate", "--config", "dgx8"), "config 'dgx8': must be among fpga4, tiny, ecp5"),
        (("explore", "absent.toml", "--output", "x.csv"), "absent.toml"),
        (("explore", "absent.toml", "--output", "x.txt"), "must end in .parquet or .csv"),
    ],
)
def test_bad_input(arguments, message):
    result = scin(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"scin", "ring"', '"scin", "star"'), "algorithm 'star'"),
        (("[4, 8]", "[3]"), "isa.waves = 3: must be a power of two"),
        (("[4, 8]", "[]"), "must be a list of values"),
        (("[4, 8]", "[4, 8, 4]"), "fields.'isa.waves': value 4: is named 2 times"),
        (("[4, 8]", "[2026-11-27]"), "must be of type int"),
        (("[4, 8]", "[{}]"), "must be of type int"),
        (('"isa.waves"', '"isa.wave"'), "isa.wave: unknown field"),
        (("sizes", "size"), "size, sizes"),
    ],
)
def test_bad_design_space(tmp_path, change, message):
    description = tmp_path / "space.toml"
    description.write_text(SPACE.replace(*change))
    result = scin("explore", description, "--output", tmp_path / "x.csv")
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert list(tmp_path.iterdir()) == [description]
