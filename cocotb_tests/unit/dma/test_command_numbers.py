"""Which command failed is told by its whole number, whatever number of commands was before."""

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import start_clock
from hw.dma.jobs import FAILURE_LAYOUT, ITEM_BITS, NUMBER_BITS
from hw.dma.outcome import SOURCES, Outcome
from hw.dma.sequencer import Sequencer
from hw.spec.config import load
from hw.spec.dma import Command, EngineState
from hw.spec.packing import pack
from hw.spec.status import Status

CONFIG = load("tiny")
MANY = 66_000
AHEAD = (1 << ITEM_BITS) - 1


def test_outcome():
    simulate(Outcome(CONFIG), module=__name__, case="check_outcome", seed=1)


@cocotb.test()
async def check_outcome(dut):
    """Of many commands begun, one of the latest is told to have failed by its low bits."""
    names = ("sequencer_failure", "sequencer_number", "ring_failure", "begun", "quiet", "waiting")
    names += ("moved", "fetching", "announced", "reset", "timeout", "rung")
    names += tuple(f"failure__{index}" for index in range(SOURCES))
    for name in names:
        getattr(dut, name).value = 0
    await start_clock(dut)
    dut.begun.value = 1
    await ClockCycles(dut.clk, MANY)
    dut.begun.value = 0
    await RisingEdge(dut.clk)
    begun = int(dut.started.value)
    assert begun >= MANY
    for back in (AHEAD, 1, 77):
        failed = begun - back
        word = {"status": int(Status.WINDOW_VIOLATION), "command": failed % (1 << ITEM_BITS)}
        dut.failure__1.value = pack(FAILURE_LAYOUT, word)
        await RisingEdge(dut.clk)
        dut.failure__1.value = 0
        dut.quiet.value = 1
        await ClockCycles(dut.clk, 4)
        await ReadOnly()
        assert int(dut.state.value) == EngineState.HALTED
        assert (int(dut.number.value), int(dut.status.value)) == (failed, Status.WINDOW_VIOLATION)
        await RisingEdge(dut.clk)
        # After a reset the count begins anew.
        dut.reset.value = 1
        await RisingEdge(dut.clk)
        dut.reset.value = 0
        await ClockCycles(dut.clk, 4)
        assert int(dut.started.value) == 0
        dut.quiet.value, dut.begun.value = 0, 1
        await ClockCycles(dut.clk, 400)
        dut.begun.value = 0
        await RisingEdge(dut.clk)
        begun = int(dut.started.value)


def test_sequencer():
    simulate(Sequencer(CONFIG, identity=0), module=__name__, case="check_sequencer", seed=1)


@cocotb.test()
async def check_sequencer(dut):
    """No more commands are begun than their low bits tell apart, until all is visible."""
    for name in ("word", "word_valid", "word_error", "drained", "halt", "flush"):
        getattr(dut, name).value = 0
    dut.o__ready.value = dut.poll__ready.value = 1
    dut.i__payload.value = Command().pack()
    await start_clock(dut)
    dut.i__valid.value = 1
    for rounds in range(1, 4):
        await ClockCycles(dut.clk, 8 * AHEAD)
        assert int(dut.number.value) == rounds * AHEAD - 1
        dut.drained.value = 1
        await RisingEdge(dut.clk)
        dut.drained.value = 0
    assert len(dut.number) == NUMBER_BITS == 32
