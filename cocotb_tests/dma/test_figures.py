"""The figures of the DMA engines on fpga4, in cycles of one run each."""

import pytest

from cocotb_tests.test_docs import script
from hw.spec.config import load
from models.dma.platform import Platform
from scin.collectives.dma_calibrate import error
from scin.collectives.dma_plans import build
from scin.collectives.dma_runner import DmaRunner
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.host.timeline import HostModel

CONFIG = load("fpga4")
PAYLOAD_SHARE = CONFIG.fabric.max_payload_bytes / (
    CONFIG.fabric.max_payload_bytes + CONFIG.fabric.header_bytes
)


@pytest.fixture(scope="module")
def runner():
    with Simulator(CONFIG) as simulator:
        driver = Driver(simulator, CONFIG)
        driver.configure()
        yield DmaRunner(CONFIG, simulator, driver, host=HostModel(100.0, 50.0))


def run(runner, operation, variant, size, *, prelaunch=False, inline=False):
    runner.inline = inline
    item = runner.run(build(CONFIG, operation, variant, size), prelaunch=prelaunch)
    runner.inline = False
    assert item.wrong == 0
    assert item.status == "OK"
    return item


def test_documents_tell_what_is_measured(runner):
    """The figures of the engines in README.md and docs/, written by ``docs/figures.py --rtl``."""
    figures = script("figures")
    measures = figures.DmaFigures(runner).figures
    names = set().union(*(figures.names_in(path.read_text("utf-8")) for path in figures.DOCUMENTS))
    assert set(measures) <= names, "measured, and written nowhere"
    values = {name: measure() for name, measure in measures.items()}
    assert figures.outdated(values) == [], "run python docs/figures.py --rtl"


def test_small_copy_mostly_copies(runner):
    """Published: 71 % of a 1 KiB copy is not copying (MI300X)."""
    assert run(runner, "p2p", "pcpy", 1024).phases.non_copy_share <= 0.25
    assert run(runner, "p2p", "pcpy", 1024, inline=True).phases.non_copy_share <= 0.18


def test_one_engine_fills_the_link(runner):
    item = run(runner, "p2p", "pcpy", 1 << 20)
    assert item.algbw_GBps / CONFIG.link.gigabytes_per_second >= 0.97 * PAYLOAD_SHARE


def test_no_gap_between_copies(runner):
    """Eight copies of 4 KiB against one of 32 KiB: the same packets, so the difference is
    what lies between copies."""
    engine = runner.engines[0, 0]
    length, count = 4096, 8
    whole = [dma.copy(Place(0, 0), Place(1, 0), count * length)]
    parts = [dma.copy(Place(0, length * n), Place(1, length * n), length) for n in range(count)]
    times = []
    for commands in (whole, parts):
        engine.run(commands)
        moments = engine.moments()
        times.append(moments.last_write - moments.first_read)
    assert times[1] - times[0] <= 2 * (count - 1)


def test_multicast_allgather(runner):
    """A chunk is sent once, and every receiver's link is full."""
    size = 1 << 20
    item = run(runner, "allgather", "mcast", size)
    chunk = size // CONFIG.system.endpoints
    flit, packet = CONFIG.fabric.flit_bytes, CONFIG.fabric.max_payload_bytes
    assert item.injected_flits == [chunk // flit] * CONFIG.system.endpoints
    arriving = CONFIG.system.endpoints - 1
    limit = arriving * (chunk // flit + chunk // packet)
    assert limit / item.cycles >= 0.95


def test_launched_ahead_back_to_back(runner):
    """Faster than pcpy on small sizes; see docs/dma.md for why less than on GPUs."""
    times = {
        (variant, ahead): run(runner, "allgather", variant, 1024, prelaunch=ahead).cycles
        for variant, ahead in (("pcpy", False), ("b2b", True))
    }
    assert times["b2b", True] < 0.95 * times["pcpy", False]


@pytest.mark.parametrize("size", [1024, 1 << 15, 1 << 19])
@pytest.mark.parametrize(
    ("operation", "variant", "prelaunch"),
    [
        ("p2p", "pcpy", False),
        ("p2p", "pcpy", True),
        ("allgather", "pcpy", False),
        ("allgather", "bcst", False),
        ("allgather", "b2b", False),
        ("allgather", "b2b", True),
        ("alltoall", "b2b", False),
        ("p2p", "swap", False),
        ("allgather", "mcast", False),
    ],
)
def test_model_agrees(runner, operation, variant, prelaunch, size):
    """configs/dma/fpga4.toml, at sizes it was not measured at."""
    item = run(runner, operation, variant, size, prelaunch=prelaunch)
    # A host that polls every 12.5 cycles sees a signal up to one poll earlier or later.
    poll = HostModel().access_cycles(CONFIG) / item.cycles
    assert abs(error(Platform.load("fpga4"), item)) <= 0.03 + poll
