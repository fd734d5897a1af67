"""hw/isa/write_tracker.py against plain counters."""

import random
from dataclasses import replace

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import FlitCodec, start_clock
from hw.isa.jobs import expectation_layout, opening_layout, write_error_layout
from hw.isa.write_tracker import WriteTracker
from hw.spec.config import load
from hw.spec.instruction import write_tag_layout
from hw.spec.packet import MessageClass
from hw.spec.packing import pack, unpack
from hw.spec.status import Status

CONFIG = load("tiny")
CONTEXTS = CONFIG.contexts


@pytest.mark.parametrize(("seed", "registered"), [(1, False), (2, False), (3, True)])
def test_write_tracker(seed, registered):
    tracker = WriteTracker(load("tiny", {"fabric.registered": registered}))
    simulate(tracker, module=__name__, case="check_counts", seed=seed, registered=registered)


def expect(dut, context, count):
    """In this cycle: so many more answers will come."""
    expected = {"context": context, "count": count}
    dut.expect__payload.value = pack(expectation_layout(CONFIG), expected)
    dut.expect__valid.value = 1


@cocotb.test()
async def check_counts(dut):
    """Expected answers count down, duplicates and strangers are told, late ones dropped."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    for name in ("open__valid", "expect__valid", "abandon", "i__valid"):
        getattr(dut, name).value = 0
    await start_clock(dut)
    generation = [0] * CONTEXTS
    count = [0] * CONTEXTS
    abandoned = 0
    seen = {"counted": 0, "bad": 0, "late": 0, "duplicate": 0, "unknown": 0}
    for step in range(8000):
        context = rng.randrange(CONTEXTS)
        dut.open__valid.value = dut.expect__valid.value = 0
        dut.abandon.value = dut.i__valid.value = 0
        action = rng.choice(["open", "expect", *["answer"] * 4, "abandon"])
        expected = None
        if action == "open" and count[context] == 0:
            generation[context] = step % 4000
            opening = {"context": context, "generation": generation[context]}
            dut.open__payload.value = pack(opening_layout(CONFIG), opening)
            dut.open__valid.value = 1
        elif action == "expect":
            more = rng.randrange(1, 4)
            expect(dut, context, more)
            count[context] += more
        elif action == "abandon" and abandoned == 0 and rng.random() < 0.2:
            dut.abandon.value = 1 << context
            abandoned += count[context]
            count[context] = 0
        elif action == "answer":
            stranger = rng.random() < 0.15
            status = rng.choice([Status.OK, Status.OK, Status.OK, Status.WINDOW_VIOLATION])
            tag = {"context": context, "generation": generation[context] + 5000 * stranger}
            header = replace(
                codec.noise(rng),
                message_class=MessageClass.WRITE_RESPONSE,
                status=status,
                tag=pack(write_tag_layout(CONFIG), tag),
            )
            dut.i__payload.value = codec.flits(header)[0]
            dut.i__valid.value = 1
            if not stranger and count[context]:
                count[context] -= 1
                expected = ("counted", status)
            elif abandoned:
                abandoned -= 1
                expected = ("late", Status.OK)
            else:
                kind = "unknown" if stranger else "duplicate"
                told = Status.UNKNOWN_TAG if stranger else Status.DUPLICATE_RESPONSE
                expected = (kind, told)
        await RisingEdge(dut.clk)
        dut.open__valid.value = dut.expect__valid.value = 0
        dut.abandon.value = dut.i__valid.value = 0
        await RisingEdge(dut.clk)
        if parameters_of_test()["registered"]:
            await RisingEdge(dut.clk)
        if expected:
            kind, status = expected
            seen[kind] += 1
            seen["bad"] += kind == "counted" and status != Status.OK
            assert int(dut.answered__valid.value) == (kind == "counted"), expected
            assert int(dut.late.value) == (kind == "late"), expected
            assert int(dut.error__valid.value) == (status != Status.OK), expected
            if status != Status.OK:
                error = unpack(write_error_layout(CONFIG), int(dut.error__payload.value))
                assert error == {"context": context, "status": status}
        await RisingEdge(dut.clk)
        outstanding = sum(1 << c for c in range(CONTEXTS) if count[c])
        assert int(dut.outstanding.value) == outstanding
    assert min(seen.values()) > 20, seen


def test_dead_endpoint():
    simulate(WriteTracker(CONFIG), module=__name__, case="check_many_abandoned", seed=1)


@cocotb.test()
async def check_many_abandoned(dut):
    """After 65,536 answers that never came a late one is still a late one, not a stray."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    for name in ("open__valid", "expect__valid", "abandon", "i__valid"):
        getattr(dut, name).value = 0
    await start_clock(dut)
    for context in (0, 1):
        expect(dut, context, 1 << 15)
        await RisingEdge(dut.clk)
        dut.expect__valid.value, dut.abandon.value = 0, 1 << context
        await RisingEdge(dut.clk)
        dut.abandon.value = 0
        await RisingEdge(dut.clk)
    tag = pack(write_tag_layout(CONFIG), {"context": 0, "generation": 7})
    header = replace(codec.noise(rng), message_class=MessageClass.WRITE_RESPONSE, tag=tag)
    dut.i__payload.value = codec.flits(header)[0]
    for _ in range(3):
        dut.i__valid.value = 1
        await RisingEdge(dut.clk)
        dut.i__valid.value = 0
        await RisingEdge(dut.clk)
        assert (int(dut.late.value), int(dut.error__valid.value)) == (1, 0)
