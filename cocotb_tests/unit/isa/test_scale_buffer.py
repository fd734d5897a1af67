"""hw/isa/scale_buffer.py: parts in, rows out, as models/formats/packing.py lays them out."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import start_clock
from hw.isa.scale_buffer import ScaleBuffer, part_bytes
from hw.spec.config import load
from hw.spec.formats import block_formats
from models.formats.packing import pack_scales, scale_type


def configuration(preset, cycles):
    return load(preset, {"isa.cycles_per_row": cycles})


@pytest.mark.parametrize(("preset", "cycles"), [("tiny", 1), ("fpga4", 1), ("tiny", 4)])
def test_scale_buffer(preset, cycles):
    simulate(
        ScaleBuffer(configuration(preset, cycles)),
        module=__name__,
        case="check_rows",
        seed=1,
        preset=preset,
        cycles=cycles,
    )


@cocotb.test()
async def check_rows(dut):
    """Waves of every format and of any number of rows, one after the other."""
    config = configuration(**parameters_of_test())
    flit = config.fabric.flit_bytes
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    dut.write.value = 0
    await start_clock(dut)
    for _ in range(8):
        for index, layout in enumerate(block_formats(config)):
            width = config.slice_bytes
            per_block, per_slice = layout.slices_per_block(width), layout.blocks_per_slice(width)
            steps = int(rng.integers(1, config.slices_per_wave // per_block + 1))
            codes = rng.integers(0, 1 << layout.scale.bits, steps * per_slice)
            raw = pack_scales(layout, codes.astype(scale_type(layout))).tobytes()
            size = part_bytes(layout, config)
            for step in range(steps):
                dut.write.value = 1
                dut.format.value = 1 << index
                dut.index.value = (step + 1) * per_block - 1
                part = raw[step * size : (step + 1) * size]
                dut.scales.value = int.from_bytes(part, "little")
                await RisingEdge(dut.clk)
            dut.write.value = 0
            for start in range(0, len(raw), flit):
                dut.slot.value = start // flit
                await RisingEdge(dut.clk)
                await RisingEdge(dut.clk)
                found = int(dut.data.value).to_bytes(flit, "little")
                expected = raw[start : start + flit]
                assert found[: len(expected)] == expected, layout.code.name
