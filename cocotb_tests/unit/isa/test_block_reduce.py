"""hw/isa/block_reduce.py against models/formats/block.py."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.blocks import random_blocks
from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import start_clock
from hw.isa.block_reduce import BlockReduce
from hw.spec.config import load
from hw.spec.formats import block_formats
from hw.spec.timing import block_reduce_cycles
from models.formats.packing import pack_elements, pack_scales
from models.formats.registry import golden_format

BLOCKS = 1200
"""Per format and configuration: four configurations of five formats make 24,000."""


EVERY = "int8,mxint8,mxfp8,mxfp4,nvfp4"


def configuration(ports, flit_bytes, int8_block, formats, cycles):
    return load(
        "tiny",
        {
            "isa.block_formats": formats.split(","),
            "system.endpoints": ports,
            "fabric.flit_bytes": flit_bytes,
            "fabric.header_bytes": flit_bytes,
            "isa.wave_bytes": 64 * flit_bytes,
            "isa.int8_block": int8_block,
            "isa.cycles_per_row": cycles,
        },
    )


@pytest.mark.parametrize(
    ("ports", "flit_bytes", "int8_block", "formats", "cycles"),
    [
        (2, 16, 64, EVERY, 1),
        (4, 32, 64, EVERY, 1),
        (8, 16, 32, EVERY, 1),
        (2, 32, 128, EVERY, 1),
        (2, 16, 64, EVERY, 2),
        (4, 16, 64, EVERY, 4),
        # Lanes are built for the windows of their formats.
        (4, 16, 64, "int8", 1),
        (4, 16, 64, "int8", 8),
        (2, 16, 64, "int8,nvfp4", 1),
        (3, 16, 64, "mxfp8,nvfp4", 1),
        (2, 16, 64, "mxfp4", 1),
    ],
)
def test_block_reduce(ports, flit_bytes, int8_block, formats, cycles):
    config = configuration(ports, flit_bytes, int8_block, formats, cycles)
    simulate(
        BlockReduce(config),
        module=__name__,
        case="check_blocks",
        seed=1,
        ports=ports,
        flit_bytes=flit_bytes,
        int8_block=int8_block,
        formats=formats,
        cycles=cycles,
    )


def stimulus(config, rng):
    """Per slice: format, ports present, slices left, elements and scales per port; expected."""
    width, ports = config.slice_bytes, config.system.endpoints
    order = list(enumerate(block_formats(config))) * 10
    rng.shuffle(order)
    for index, layout in order:
        golden = golden_format(config, layout.code)
        slices, per_slice = layout.slices_per_block(width), layout.blocks_per_slice(width)
        for _ in range(4):
            count = -(-BLOCKS // 40 // per_slice) * per_slice
            elements, scales = random_blocks(rng, golden, ports, count)
            mask = int(rng.integers(1, 1 << ports)) if rng.random() < 0.3 else (1 << ports) - 1
            here = [p for p in range(ports) if mask >> p & 1]
            result = golden.reduce(elements[here], scales[here])
            raw = [pack_elements(layout, part).reshape(-1, width) for part in elements]
            # The scales of the blocks that begin in the slice, or of the one that runs on.
            part = layout.scale_bytes * per_slice
            raw_scales = [pack_scales(layout, codes).reshape(-1, part) for codes in scales]
            expected = pack_elements(layout, result[0]).reshape(-1, width)
            expected_scales = pack_scales(layout, result[1]).reshape(-1, part)
            for position in range(len(expected)):
                block = position // slices
                yield (
                    (index, mask, slices - 1 - position % slices),
                    [_integer(values[position]) for values in raw],
                    [_integer(values[block]) for values in raw_scales],
                    (_integer(expected[position]), _integer(expected_scales[block]), part),
                )


def _integer(raw):
    return int.from_bytes(raw.tobytes(), "little")


@cocotb.test()
async def check_blocks(dut):
    config = configuration(**parameters_of_test())
    ports = config.system.endpoints
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await start_clock(dut)
    delay = block_reduce_cycles(config)
    work = []
    for item in stimulus(config, rng):
        # Pauses only between blocks.
        if not work or (work[-1] is not None and work[-1][0][2] == 0 and rng.random() < 0.1):
            work += [None] * int(rng.integers(1, 4))
        work.append(item)
    for cycle in range(len(work) + delay + 1):
        item = work[cycle] if cycle < len(work) else None
        if item is not None:
            (index, mask, left), elements, scales, _ = item
            dut.format.value = 1 << index
            dut.present.value = mask
            dut.slices_left.value = left
            for p in range(ports):
                getattr(dut, f"slices__{p}").value = elements[p]
                getattr(dut, f"scales__{p}").value = scales[p]
        else:
            dut.slices_left.value = 0
        await RisingEdge(dut.clk)
        done = cycle - delay
        if 0 <= done < len(work) and work[done] is not None:
            (index, mask, left), _, _, (result, scales, part) = work[done]
            name = block_formats(config)[index].code.name
            where = f"slice {done} ({name}, ports {mask:b}, {left} slices left)"
            assert int(dut.result.value) == result, where
            if left == 0:
                found = int(dut.result_scales.value) & (1 << 8 * part) - 1
                assert found == scales, where
