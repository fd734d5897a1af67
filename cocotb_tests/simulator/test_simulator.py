"""The simulator and its baselines against closed forms, themselves, and published figures."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from hw.spec.config import ConfigError, load
from hw.spec.formats.data_type import DataType
from hw.spec.registers import FEATURE_BITS
from models.baselines import parameters as parameters_module
from models.baselines.algorithms import BASELINES
from models.baselines.fabric import Fabric
from models.baselines.parameters import ParameterError, Parameters, parse
from models.csv_table import read_table
from models.isa.latency import steps
from models.llm.accelerator import Roofline
from models.llm.inference import Workload, step_time
from models.llm.shape import load_shape
from models.prediction import predict
from models.simulator.collective import STEADY_BYTES, allreduce
from models.simulator.simulation import SimulationError, simulate
from models.simulator.work import Instruction, Traffic

SMALL, LARGE = 4 << 10, 1 << 30


def published():
    folder = Path(parameters_module.__file__).parent / "reference"
    rows = read_table(folder / "published.csv")
    return {row["figure"]: float(row["value"]) for row in rows}


def without_improvements(config):
    return replace(config, isa=replace(config.isa, **dict.fromkeys(FEATURE_BITS, False)))


@pytest.mark.parametrize("size", [32, 1024, 4096])
@pytest.mark.parametrize("improved", [True, False])
def test_one_wave_takes_what_the_closed_form_says(size, improved):
    config = load("fpga4") if improved else without_improvements(load("fpga4"))
    expected = sum(step.cycles for step in steps(config, size, synchronise=True))
    assert allreduce(config, size).cycles == expected


@pytest.mark.parametrize(("preset", "data_type"), [("fpga4", "FP16"), ("dgx8", "INT8")])
def test_the_steady_state_goes_on(preset, data_type):
    """Extended by its slope, a long collective takes what simulating all of it takes."""
    config, data_type = load(preset), DataType[data_type]
    length = 4 * STEADY_BYTES + 3 * config.isa.wave_bytes // 2
    whole = simulate(config, [Instruction(length, data_type)]).visible
    extended = allreduce(config, length * config.system.switches, data_type)
    assert not extended.simulated
    assert extended.cycles == pytest.approx(whole, rel=1e-3)


def test_time_grows_at_most_with_size():
    """Per byte, larger messages never cost more."""
    config = load("dgx8")
    times = [allreduce(config, 1 << exponent).cycles for exponent in range(10, 34)]
    for smaller, larger in itertools.pairwise(times):
        assert smaller <= larger <= 2.001 * smaller


def test_published_speedups_over_ring():
    """Within 15 %, from stated parameters, all improvements off."""
    config, given = without_improvements(load("dgx8")), Parameters()
    figures = published()
    for algorithm, size, figure in (
        ("scin", SMALL, "speedup_over_ring_small"),
        ("scin", LARGE, "speedup_over_ring_large"),
        ("scin-inq", LARGE, "speedup_over_ring_large_inq"),
    ):
        ring = predict(config, "ring", size, given).seconds
        ours = predict(config, algorithm, size, given).seconds
        assert ring / ours == pytest.approx(figures[figure], rel=0.15), figure


def test_published_payload_ceiling():
    config = without_improvements(load("dgx8"))
    ceiling = published()["payload_ceiling_GBps"] * 1e9
    assert Fabric.of(config).rate() == pytest.approx(ceiling, rel=0.01)
    assert predict(config, "scin", LARGE, Parameters()).algbw == pytest.approx(ceiling, rel=0.01)


def test_what_the_improvements_gain():
    config, given = load("dgx8"), Parameters()
    for size, least in ((SMALL, 1.35), (LARGE, 1.1)):
        off = predict(without_improvements(config), "scin", size, given).seconds
        assert off / predict(config, "scin", size, given).seconds >= least


def test_ring_share_of_inference():
    """The largest share of communication over the models, as published, within 8 points."""
    config, workload, figures = load("dgx8"), Workload(), published()
    for precision in ("fp16", "fp8"):
        shares = step_time(
            config,
            load_shape("llama2-7b"),
            workload.prefill,
            precision,
            "ring",
            Roofline(),
            Parameters(),
        ).share
        assert shares == pytest.approx(figures[f"ring_share_prefill_{precision}"], abs=0.08)
        shares = step_time(
            config,
            load_shape("llama2-7b"),
            workload.decode,
            precision,
            "ring",
            Roofline(),
            Parameters(),
        ).share
        assert shares == pytest.approx(figures[f"ring_share_decode_{precision}"], abs=0.08)


def test_72_accelerators():
    config = load("dgx8", {"system.endpoints": 72})
    assert allreduce(config, SMALL).cycles == allreduce(load("dgx8"), SMALL).cycles


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_end_at_their_latency_and_their_rate(name):
    """Twice the link, nearly twice the time of a small message; a large one does not care."""
    config = load("dgx8")
    longer = load("dgx8", {"link.latency_cycles": 2 * config.link.latency_cycles})
    times = [
        [BASELINES[name].seconds(Fabric.of(item), Parameters(), size) for item in (config, longer)]
        for size in (256, 1 << 34)
    ]
    small, large = times
    assert 1.6 <= small[1] / small[0] <= 2.01
    # A load instruction holds its bytes for the whole way there and back.
    assert large[1] / large[0] == pytest.approx(2.0 if name == "nvls" else 1.0, rel=0.3)


def test_ring_ceiling():
    """N / (2 (N - 1)) of the payload bandwidth, if adding costs nothing."""
    config = load("dgx8")
    given = replace(Parameters(), reduce_gigabytes_per_second=1e9)
    algbw = predict(config, "ring", 1 << 34, given).algbw
    assert algbw == pytest.approx(8 / 14 * Fabric.of(config).rate(), rel=0.01)


def test_traffic_has_its_share():
    """Beside a saturating collective, ordinary traffic gets half of every link."""
    config = load("fpga4")
    traffic = [Traffic(i, (i + 1) % 4, 4096) for i in range(4)]
    item = Instruction(1 << 24, synchronised=False)
    outcome = simulate(config, [item], traffic, cycles=60_000)
    for core, isa in zip(outcome.core_rows, outcome.isa_rows, strict=True):
        assert core / (core + isa) == pytest.approx(0.5, abs=0.03)
        assert core + isa >= 0.95 * 60_000


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_slower_link(share):
    """Large messages take longer by as much, small ones hardly; too fast a link is refused."""
    config = load("fpga4")
    rate = config.link.gigabytes_per_second
    slower = load("fpga4", {"link.gigabytes_per_second": share * rate})
    small, large = (
        allreduce(slower, size).cycles / allreduce(config, size).cycles for size in (64, 16 << 20)
    )
    assert large == pytest.approx(1 / share, rel=0.01)
    assert 1 <= small <= 1 + 0.02 / share
    with pytest.raises(ConfigError, match=r"link.gigabytes_per_second = 9.0: must be at most"):
        allreduce(load("fpga4", {"link.gigabytes_per_second": 9.0}), 64)


def test_a_simulation_that_cannot_end():
    with pytest.raises(SimulationError, match="not complete after 100"):
        simulate(load("tiny"), [Instruction(1 << 16)], limit=100)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fence=maybe", "fence = 'maybe': must be one of none, switch, endpoint"),
        ("software_us=-1", "software_us = -1.0: must be between 0 and"),
        ("software_us=x", "software_us = 'x': must be a number"),
        ("nothing=1", "must be NAME=VALUE"),
    ],
)
def test_bad_parameters(text, message):
    with pytest.raises(ParameterError, match=message):
        parse((text,), list(BASELINES))
