"""Simulated boards: their tops, cables with skew, clocks of their own, and the host's tool.

The result of a collective on the boards is compared with the golden model, which the monolithic
system equals bit for bit (cocotb_tests/system)."""

import pytest

from cocotb_tests.system.bench import collective
from fpga.host import BoardError, BoardSystem
from fpga.partition import load_partition
from fpga.simulation import SimulatedBoards, Surroundings, serial_baud
from hw.spec.config import replace_field
from hw.spec.formats import is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from hw.spec.status import Status
from scin.collectives.runner import CollectiveRunner
from scin.collectives.tensor_runs import run_tensors
from scin.collectives.tensors import random_tensors
from scin.errors import RefusedError
from scin.host.driver import Driver

TIMEOUT_CYCLES = 6000
PAIR = ("pair2", 1)
"""Partition and seed of its surroundings; one for all its tests, for each seed is compiled anew."""


def quiet(text):
    del text


class Bench:
    def __init__(self, name, seed):
        self.partition = load_partition(name)
        self.boards = SimulatedBoards(self.partition, Surroundings(seed=seed), report=quiet)

    def connect(self):
        baud = serial_baud(self.partition)
        return BoardSystem(self.partition, self.boards.ports, baud=baud, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.boards.close()


def all_reduce(system, config, count, data_type):
    runner = CollectiveRunner(config, system, Driver(system, config))
    # What is quantized is FP16 before.
    tensor_type = DataType.FP16 if is_block_scaled(data_type) else data_type
    inputs = random_tensors(tensor_type, count, config.system.endpoints, seed=3)
    measurement, _ = run_tensors(
        runner, "allreduce", inputs, data_type, ReduceOp.SUM, synchronise=True, seed=3
    )
    return measurement


def check_all_reduces(bench):
    with bench.connect() as system:
        system.wait_links()
        for link in system.links():
            assert (link.drops, link.errors) == (0, 0), link
            assert min(link.eye) > 8, link
        for data_type, count in ((DataType.FP16, 200), (DataType.INT8, 256)):
            measurement = all_reduce(system, bench.partition.config, count, data_type)
            assert (measurement.wrong, measurement.status) == (0, "OK")
            assert not measurement.sync_included, "boards have no common clock"


def check_refusals(driver):
    """What a register refuses is told with its name and the value, and the port goes on."""
    with pytest.raises(RefusedError, match="SUBMIT of the switch: write of 0x7 refused"):
        driver.write_switch("SUBMIT", 7)
    with pytest.raises(RefusedError, match="ARRIVE of endpoint 1: write of 0xc8 refused"):
        driver.write_endpoint(1, "ARRIVE", 200)
    with pytest.raises(RefusedError, match="ARRIVE of endpoint 0: read refused"):
        driver.read_endpoint(0, "ARRIVE")
    assert driver.read_switch("COMPLETIONS") == 0


def test_pair():
    """Two boards, from training to a checked result; then a cable breaks, and is mended."""
    with Bench(*PAIR) as bench:
        check_all_reduces(bench)
        with bench.connect() as system:
            config = replace_field(bench.partition.config, "isa.timeout_cycles", TIMEOUT_CYCLES)
            driver = Driver(system, config)
            driver.configure()
            check_refusals(driver)
            bench.boards.break_cable(0)
            driver.submit(collective(config, 512))
            assert driver.wait_completion().status == Status.TIMEOUT
            down = [link for link in system.links() if not link.up]
            assert {(link.board, link.link) for link in down} == {("switch", 0), ("nodes", 0)}
            assert all(link.drops == 1 and not link.clock for link in down)
            bench.boards.mend_cable(0)
            system.wait_links()


def test_a_cable_that_is_not_there():
    """Training never ends; the tool says which link it is, and waits no longer than told."""
    with Bench(*PAIR) as bench:
        bench.boards.break_cable(1)
        with bench.connect() as system:
            with pytest.raises(BoardError, match="switch link 1: no clock from the far end"):
                system.wait_links(attempts=20)
            assert [link.up for link in system.links()] == [True, False, True, False]


def test_the_wrong_board():
    with Bench(*PAIR) as bench:
        ports = bench.boards.ports
        bench.boards.ports = {"switch": ports["nodes"], "nodes": ports["switch"]}
        with pytest.raises(BoardError, match="switch: ROLE reads"):
            bench.connect()
        bench.boards.ports = {"switch": ports["switch"]}
        with pytest.raises(BoardError, match="no serial port given for nodes"):
            bench.connect()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_star(seed):
    """Five boards, as the published prototype."""
    with Bench("star5", seed=seed) as bench:
        check_all_reduces(bench)
