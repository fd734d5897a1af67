"""The simulator against the RTL: the cases of ``scin validate``."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from cocotb_tests.support.records import checked_records
from hw.spec.config import load
from hw.spec.formats import is_block_scaled
from models.baselines.parameters import Parameters
from models.prediction import predict as predict_time
from scin.commands.validate import COLUMNS, compare
from scin.host.simulator import Simulator
from scin.main import main
from scin.report.table import TextTable
from scin.validation.cases import LARGEST, cases
from scin.validation.comparison import Comparison, predict
from scin.validation.rtl import observe


def run(name, *, quick):
    table = TextTable(COLUMNS, quiet=True, error=False)
    return list(compare(name, quick, table, True))


def check(results):
    assert len(results) > 40
    for item in results:
        assert item.holds, item.as_dict()


@pytest.mark.parametrize("name", LARGEST)
def test_every_case_up_to_64_kib(name):
    """Not only within the promised bound, but to the cycle."""
    results = run(name, quick=True)
    check(results)
    for item in results:
        assert item.error == 0, item.as_dict()


@pytest.mark.parametrize("gap", [1, 7, 9, 100])
def test_endpoints_that_came_long_before(gap):
    """They poll their flags while they wait, and a poll may hold up a read by a cycle."""
    case = next(
        item
        for item in cases("fpga4", quick=True)
        if item.synchronised and is_block_scaled(item.instructions[0].data_type)
    )
    with Simulator(load("fpga4")) as simulator:
        observation = observe(simulator, case, gap=gap)
    assert min(observation.arrivals) <= -3 * gap
    assert Comparison(case, observation, predict(case, observation)).error == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGEST)
def test_every_case(name):
    check(run(name, quick=False))


def test_a_wrong_parameter_is_noticed():
    """The comparison fails if the simulator's link is twice as long, or its memory four times
    as slow."""
    results = [item for item in run("tiny", quick=True) if item.case.size <= 1024]
    for section, field, factor in (
        ("link", "latency_cycles", 2),
        ("endpoint", "memory_latency_cycles", 4),
    ):
        failed = 0
        for item in results:
            config = item.case.config
            part = getattr(config, section)
            wrong = replace(part, **{field: factor * getattr(part, field)})
            case = replace(item.case, config=replace(config, **{section: wrong}))
            changed = Comparison(case, item.rtl, predict(case, item.rtl))
            failed += not changed.holds
        assert failed >= 0.9 * len(results), (field, failed, len(results))


def test_ring_of_dma_engines():
    """The closed form of the DMA ring within 10 % of the ring on RTL."""
    sizes = ("--min", "4K", "--max", "256K", "--factor", "8")
    result = CliRunner().invoke(
        main, ["sweep", "allreduce", "--algo", "dma-ring", *sizes, "--json", "-"]
    )
    assert result.exit_code == 0, result.output
    records = checked_records(result.stdout)
    assert len(records) == 3
    for record in records:
        predicted = predict_time(load("fpga4"), "dma-ring", record["size_bytes"], Parameters())
        assert predicted.seconds == pytest.approx(record["time_s"], rel=0.1), record["size_bytes"]
