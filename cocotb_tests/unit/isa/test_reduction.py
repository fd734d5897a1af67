"""hw/isa/reduction.py: what arrives when, and how long the datapaths are in use."""

import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import start_clock
from hw.isa.reduction import Reduction
from hw.spec.config import load
from hw.spec.instruction import DataType, ReduceOp
from hw.spec.timing import REDUCE_CYCLES, TABLE_CYCLES, average_lead, quantized_cycles

CONFIG = load("tiny", {"isa.block_formats": ["int8"]})
PORTS, ROW_BYTES = CONFIG.system.endpoints, CONFIG.fabric.flit_bytes
ARRIVES = TABLE_CYCLES + REDUCE_CYCLES
STARTS = 1500
IDLE = 2
"""Cycles after an arrival for which a datapath may still be in use."""


def test_reduction():
    simulate(Reduction(CONFIG), module=__name__, case="check_reduction", seed=1)


def started(rng, quantizes):
    """Inputs of a start, and the row that an ordinary one has as its result."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    rows = numbers.integers(-99, 99, (PORTS, ROW_BYTES // 2)).astype(np.float16)
    operation = rng.choice([ReduceOp.SUM, ReduceOp.MAX, ReduceOp.AVG])
    sources = rng.choice([1 << rng.randrange(PORTS), (1 << PORTS) - 1])
    there = np.stack([row for p, row in enumerate(rows) if sources >> p & 1])
    result = {
        ReduceOp.SUM: there.sum(axis=0, dtype=np.float16),
        ReduceOp.MAX: there.max(axis=0),
        ReduceOp.AVG: there.mean(axis=0, dtype=np.float32).astype(np.float16),
    }[operation]
    inputs = {
        "start": 1,
        "sources": sources,
        "destinations": rng.randrange(1, 1 << PORTS),
        "data_type": DataType.INT8 if quantizes else DataType.FP16,
        "reduce_op": ReduceOp.SUM if quantizes else operation,
        "quantize": quantizes,
        "index": rng.randrange(CONFIG.rows_per_wave),
    }
    return inputs, [int.from_bytes(row.tobytes(), "little") for row in rows], result


def plan(rng):
    """Inputs per cycle, rows per cycle, and per cycle what arrives: port mask and row. Now and
    then nothing starts for a while."""
    inputs, rows, arrivals = {}, {}, {}
    cycle, latest = 1, {False: 0, True: 0}
    use = {False: set(), True: set()}
    last = {
        False: ARRIVES + average_lead(CONFIG),
        True: TABLE_CYCLES + quantized_cycles(CONFIG),
    }
    for _ in range(STARTS):
        cycle += 1 if rng.random() < 0.9 else rng.randrange(2, 60)
        # Both kinds may not meet at the end: one at a time.
        quantizes = rng.random() < 0.05
        if cycle <= latest[not quantizes] + max(last.values()):
            quantizes = not quantizes
            if cycle <= latest[not quantizes] + max(last.values()):
                continue
        given, operands, result = started(rng, quantizes)
        average = given["reduce_op"] == ReduceOp.AVG
        at = cycle + ARRIVES + (average_lead(CONFIG) if average else 0)
        if not quantizes and at in arrivals:
            continue
        inputs[cycle], rows[cycle + TABLE_CYCLES] = given, operands
        latest[quantizes] = cycle
        use[quantizes] |= set(range(cycle + 1, cycle + last[quantizes] + 1))
        if not quantizes:
            arrivals[at] = (given["destinations"], int.from_bytes(result.tobytes(), "little"))
    return inputs, rows, arrivals, use


@cocotb.test()
async def check_reduction(dut):
    """Ordinary rows arrive in their cycle, sums and averages; a datapath is in use from the cycle
    after a start until its row has arrived, and not for long afterwards."""
    rng = random.Random(cocotb.RANDOM_SEED)
    inputs, rows, arrivals, use = plan(rng)
    names = ("start", "start_scales", "slot", "slices_left", "quantize", "reduce_op", "data_type")
    for name in (*names, "sources", "destinations", "index"):
        getattr(dut, name).value = 0
    await start_clock(dut)
    seen = rested = 0
    for cycle in range(max(arrivals) + 100):
        dut.start.value = 0
        for name, value in inputs.get(cycle, {}).items():
            getattr(dut, name).value = int(value)
        for p in range(PORTS):
            junk = rng.getrandbits(8 * ROW_BYTES)
            getattr(dut, f"rows__{p}").value = rows[cycle][p] if cycle in rows else junk
            getattr(dut, f"scale_rows__{p}").value = rng.getrandbits(8 * ROW_BYTES)
        await RisingEdge(dut.clk)
        for quantizes, name in ((False, "reducing"), (True, "quantizing")):
            busy = int(getattr(dut, name).value)
            assert busy or cycle not in use[quantizes], f"cycle {cycle}: {name} rests"
            recent = range(cycle - IDLE, cycle + 1)
            assert not busy or any(c in use[quantizes] for c in recent), f"cycle {cycle}: {name}"
            rested += not busy
        if cycle in arrivals:
            ports, row = arrivals[cycle]
            assert int(dut.arriving.value) == ports, f"cycle {cycle}"
            assert int(dut.result.value) == row, f"cycle {cycle}"
            seen += 1
    assert seen == len(arrivals) > STARTS // 2
    assert rested > 100
