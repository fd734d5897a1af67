"""hw/isa/nonzero_blocks.py: which ports' blocks hold anything but zeros."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import start_clock
from hw.isa.nonzero_blocks import NonzeroBlocks
from hw.spec.config import load
from hw.spec.formats import block_formats
from hw.spec.formats.block import groups
from hw.spec.timing import nonzero_hold

BLOCKS = 1500


def configuration(flit_bytes, cycles, formats):
    return load(
        "tiny",
        {
            "isa.block_formats": formats.split(","),
            "fabric.flit_bytes": flit_bytes,
            "fabric.header_bytes": flit_bytes,
            "isa.wave_bytes": 64 * flit_bytes,
            "isa.cycles_per_row": cycles,
        },
    )


@pytest.mark.parametrize(
    ("flit_bytes", "cycles", "formats"),
    [
        (32, 1, "int8,mxint8,mxfp8,mxfp4,nvfp4"),
        (16, 1, "int8,mxint8,mxfp8,mxfp4,nvfp4"),
        (16, 4, "mxfp8,mxfp4"),
        (16, 8, "mxint8"),
    ],
)
def test_nonzero_blocks(flit_bytes, cycles, formats):
    simulate(
        NonzeroBlocks(configuration(flit_bytes, cycles, formats)),
        module=__name__,
        case="check_flags",
        seed=1,
        flit_bytes=flit_bytes,
        cycles=cycles,
        formats=formats,
    )


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_needs_a_window_that_moves():
    with pytest.raises(ValueError, match="no format whose window follows"):
        NonzeroBlocks(configuration(16, 1, "int8,nvfp4"))


def random_block(rng, entry):
    """(bytes, does it hold anything but zeros?), mostly with one bit set or none."""
    kind = rng.randrange(4)
    if kind == 0:
        raw = bytearray(rng.randbytes(entry.block_bytes))
    else:
        raw = bytearray(entry.block_bytes)
        if kind < 3:
            place = rng.randrange(8 * entry.block_bytes)
            raw[place // 8] |= 1 << place % 8
    if entry.element.bits == 8:
        codes = list(raw)
    else:
        codes = [half for byte in raw for half in (byte & 15, byte >> 4)]
    sign = 1 << (entry.element.bits - 1)
    zeros = {0} if entry.code.name in ("INT8", "MXINT8") else {0, sign}
    return bytes(raw), any(code not in zeros for code in codes)


def stimulus(rng, config):
    """Per slice: format, slices left, the ports' bytes, and per group what must come."""
    width, ports = config.slice_bytes, config.system.endpoints
    for _ in range(BLOCKS):
        index, entry = rng.choice(list(enumerate(block_formats(config))))
        per_slice, slices = entry.blocks_per_slice(width), entry.slices_per_block(width)
        blocks = [[random_block(rng, entry) for _ in range(per_slice)] for _ in range(ports)]
        raw = [b"".join(block for block, _ in row) for row in blocks]
        fixed = not entry.scale.aligned
        expected = [
            sum(
                (fixed or row[group * per_slice // groups(width)][1]) << port
                for port, row in enumerate(blocks)
            )
            for group in range(groups(width))
        ]
        for part in range(slices):
            pieces = [data[part * width : (part + 1) * width] for data in raw]
            yield index, slices - 1 - part, pieces, expected


@cocotb.test()
async def check_flags(dut):
    config = configuration(**parameters_of_test())
    rng = random.Random(cocotb.RANDOM_SEED)
    await start_clock(dut)
    delay = 1 + nonzero_hold(config)
    work = list(stimulus(rng, config))
    for cycle in range(len(work) + delay):
        if cycle < len(work):
            index, left, pieces, _ = work[cycle]
            dut.format.value = 1 << index
            dut.slices_left.value = left
            for port, piece in enumerate(pieces):
                getattr(dut, f"slices__{port}").value = int.from_bytes(piece, "little")
        await RisingEdge(dut.clk)
        if cycle >= delay:
            index, left, _, expected = work[cycle - delay]
            for group, flags in enumerate(expected):
                found = int(getattr(dut, f"nonzero__{group}").value)
                name = block_formats(config)[index].code.name
                assert found == flags, f"slice {cycle - delay} ({name}, {left} left), group {group}"
