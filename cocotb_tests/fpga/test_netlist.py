"""fpga/netlist.py: the switch after synthesis does what its description does, cycle by cycle."""

import numpy as np
import pytest

from cocotb_tests.system.bench import System, collective, quantized
from fpga.netlist import system_around_netlist
from fpga.partition import load_partition
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.formats.data_type import DataType
from hw.spec.status import Status
from scin.flow.verilate import described
from scin.host.driver import Driver
from scin.host.simulator import Simulator

SIZE = 1 << 15
SCALES = 1 << 14
SUMMED = (DataType.FP16, DataType.BF16)


def work(config: Config, hardware) -> list[int]:
    """All-Reduces, in formats of either kind, checked against the golden model; when each ended."""
    rng = np.random.default_rng(1)
    ends = []
    with Simulator(config, report=lambda text: None, hardware=hardware) as simulator:
        system = System(simulator, Driver(simulator, config))
        system.driver.configure()
        system.driver.open_whole_memory()
        system.fill(rng, SIZE)
        for data_type in SUMMED:
            instruction = collective(config, 4096, data_type=data_type, notify=1)
            assert system.expect(instruction) == Status.OK
            assert system.run(instruction).status == Status.OK
            ends.append(simulator.cycle)
        for entry in block_formats(config):
            pair = quantized(config, entry.code, 16, scale_address=SCALES)
            system.place_blocks(rng, pair)
            assert system.expect(*pair) == Status.OK
            assert system.run_pair(pair).status == Status.OK
            ends.append(simulator.cycle)
        refused = collective(config, 4096, address=3)
        assert system.run(refused).status == system.expect(refused) == Status.MISALIGNED
        system.check_memories()
    return ends


@pytest.mark.slow
def test_switch_after_synthesis():
    """That of the board preset, whose bitstream is built from the same netlist."""
    config = load_partition("star5").config
    assert work(config, system_around_netlist) == work(config, described)
