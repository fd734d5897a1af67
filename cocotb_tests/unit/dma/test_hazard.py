"""hw/dma/hazard.py against one box, kept as a list of ranges."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import start_clock
from hw.dma.hazard import Hazard
from hw.spec.config import load, replace_field
from hw.spec.dma import COPIES, Command, DmaOpcode, SignalKind
from hw.spec.packet import WORD_BYTES

CONFIG = load("fpga4")
COMMANDS = 600
SPAN = 200
"""Addresses are so few that ranges meet, touch and miss each other."""

PLACES = ("source", "destination", "second", "signal")


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize("seed", range(1, 4))
def test_hazard(seed, registered):
    config = replace_field(CONFIG, "fabric.registered", registered)
    simulate(Hazard(config), module=__name__, case="check_box", seed=seed)


def ranges_written(command):
    """(nodes, first byte, last byte + 1) of everything a command writes."""
    opcode, length = command.opcode, command.length
    copies = opcode in COPIES
    first = {command.destination_node}
    if opcode == DmaOpcode.MULTICAST:
        first = {node for node in range(4) if command.targets >> node & 1}
    yield first, command.destination, command.destination + (length if copies else WORD_BYTES)
    if opcode == DmaOpcode.SWAP:
        yield {command.source_node}, command.source, command.source + length
    if opcode == DmaOpcode.BROADCAST:
        yield {command.second_node}, command.second, command.second + length
    if copies and command.signal_kind != SignalKind.NONE:
        yield {command.signal_node}, command.signal, command.signal + WORD_BYTES


def ranges_read(command):
    if command.opcode not in COPIES:
        return
    yield command.source_node, command.source, command.source + command.length
    if command.opcode == DmaOpcode.SWAP:
        start = command.destination
        yield command.destination_node, start, start + command.length


def random_command(rng):
    words = (DmaOpcode.ATOMIC_ADD, DmaOpcode.FENCE, DmaOpcode.TIMESTAMP)
    return Command(
        opcode=rng.choice([*COPIES, *words]),
        length=rng.choice([1, rng.randrange(1, 40), rng.randrange(1, SPAN)]),
        **{name: rng.randrange(SPAN) for name in PLACES},
        **{f"{name}_node": rng.randrange(4) for name in PLACES},
        targets=rng.randrange(1, 16),
        signal_kind=rng.choice(list(SignalKind)),
    )


@cocotb.test()
async def check_box(dut):
    """The answer is that of the box; and it never lets a true dependence pass."""
    rng = random.Random(cocotb.RANDOM_SEED)
    dut.measure.value = dut.add.value = dut.drained.value = 0
    await start_clock(dut)
    await RisingEdge(dut.clk)
    nodes, low, high, pending, conflicts = set(), None, None, [], 0
    for _ in range(COMMANDS):
        if rng.random() < 0.15:
            dut.drained.value = 1
            await RisingEdge(dut.clk)
            dut.drained.value = 0
            nodes, low, high, pending = set(), None, None, []
        command = random_command(rng)
        dut.command.value = command.pack()
        dut.measure.value = 1
        await RisingEdge(dut.clk)
        dut.measure.value = 0
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        expected = any(
            node in nodes and start < high and end > low
            for node, start, end in ranges_read(command)
        )
        depends = any(
            node in written and start < last and end > first
            for node, start, end in ranges_read(command)
            for written, first, last in pending
        )
        assert dut.conflict.value == expected, (command, nodes, low, high)
        assert expected or not depends
        conflicts += expected
        dut.add.value = 1
        await RisingEdge(dut.clk)
        dut.add.value = 0
        for written, first, last in ranges_written(command):
            nodes |= written
            low = first if low is None else min(low, first)
            high = last if high is None else max(high, last)
            pending.append((written, first, last))
        for _ in range(4):
            await RisingEdge(dut.clk)
        assert dut.busy.value == 0
    assert 0.1 * COMMANDS < conflicts < 0.95 * COMMANDS
