"""All-Reduce around a ring of DMA engines: the baseline on the same RTL."""

import numpy as np
import pytest
from click.testing import CliRunner

from cocotb_tests.support.records import checked_records
from hw.spec.config import load
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.endpoint.endpoint import Window
from scin.collectives.dma_ring import Ring, RingRunner, around_ring
from scin.collectives.dma_runner import DmaRunner
from scin.collectives.tensors import random_tensors
from scin.errors import CapacityError
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.main import main


def test_every_count_divides_into_parts():
    """The slices of the chunks are the vector, each byte once and in order."""
    config = load("fpga4")
    for count in (1, 3, 4, 1000, 8191, 65536, 100_001):
        ring = Ring(config, count)
        parts = [
            ring.part(chunk, piece)
            for chunk in range(ring.endpoints)
            for piece in range(ring.slices)
        ]
        position = 0
        for offset, length in parts:
            assert offset == position
            position += length
        assert position == 2 * count


@pytest.mark.parametrize(("endpoints", "engines"), [(2, 2), (4, 1)])
def test_ring_sums(endpoints, engines):
    """On RTL, uneven sizes included; against the same additions in the order of the ring, and
    near the exact sum."""
    config = load("tiny", {"system.endpoints": endpoints, "dma.engines": engines})
    with Simulator(config) as simulator:
        driver = Driver(simulator, config)
        runner = RingRunner(DmaRunner(config, simulator, driver))
        for count in (1, 7, 256, 5000, 40_000):
            inputs = random_tensors(DataType.FP16, count, endpoints, seed=count)
            item = runner.run(inputs, DataType.FP16, ReduceOp.SUM, seed=count)
            assert item.status == "OK"
            assert item.wrong == 0
            exact = sum(x.view(np.float16).astype(np.float64) for x in inputs)
            order = around_ring(Ring(config, count), inputs, DataType.FP16, ReduceOp.SUM).view(
                np.float16
            )
            size = sum(np.abs(x.view(np.float16).astype(np.float64)) for x in inputs)
            assert (np.abs(order - exact) <= endpoints * 2.0**-11 * size + 1e-7).all()


def test_a_refused_copy_ends_the_ring():
    """No engine goes on waiting for what does not come; the next run is whole."""
    config = load("tiny", {"dma.engines": 2})
    with Simulator(config) as simulator:
        driver = Driver(simulator, config)
        runner = RingRunner(DmaRunner(config, simulator, driver))
        inputs = random_tensors(DataType.FP16, 5000, 2, seed=1)
        driver.set_window(1, 0, Window(0, 4096))
        assert runner.run(inputs, DataType.FP16, ReduceOp.SUM, seed=1).status == "WINDOW_VIOLATION"
        assert simulator.cycle < 20_000
        driver.open_whole_memory()
        item = runner.run(inputs, DataType.FP16, ReduceOp.SUM, seed=1)
        assert (item.status, item.wrong) == ("OK", 0)


def test_ring_beside_the_switch():
    """One table, one system: the switch is faster, the ring moves more."""
    result = CliRunner().invoke(
        main,
        [
            "sweep",
            "allreduce",
            "--config",
            "tiny",
            "--algo",
            "scin,dma-ring",
            "--min",
            "4K",
            "--max",
            "4K",
            "--json",
            "-",
        ],
    )
    assert result.exit_code == 0, result.output
    scin, ring = checked_records(result.stdout)
    assert (scin["algo"], ring["algo"]) == ("scin", "dma-ring")
    assert ring["cycles"] > scin["cycles"]


@pytest.mark.parametrize("arguments", [("allgather",), ("allreduce", "--no-sync")])
def test_ring_is_for_allreduce(arguments):
    result = CliRunner().invoke(main, ["sweep", *arguments, "--algo", "dma-ring"])
    assert result.exit_code == 2
    assert "only allreduce" in result.output


def test_too_large():
    config = load("tiny")
    with Simulator(config) as simulator:
        runner = RingRunner(DmaRunner(config, simulator, Driver(simulator, config)))
        inputs = [np.zeros(500_000, np.uint16)] * 2
        with pytest.raises(CapacityError, match="of every endpoint's memory"):
            runner.run(inputs, DataType.FP16, ReduceOp.SUM, seed=1)
