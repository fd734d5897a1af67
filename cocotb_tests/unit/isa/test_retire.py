"""hw/isa/retire.py: flags and records in order, against what was given for each instruction."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, Sink, start_clock
from hw.isa.context import TIMES, context_layout, times_layout
from hw.isa.jobs import write_job_layout
from hw.isa.retire import Retire
from hw.spec.config import load
from hw.spec.instruction import Completion
from hw.spec.packet import WORD_BYTES
from hw.spec.packing import pack, unpack
from hw.spec.status import Status

CONFIG = load("tiny")
SLOTS = CONFIG.isa.instructions_in_flight
INDEX = 1
INSTRUCTIONS = 200


@pytest.mark.parametrize("fused", [0, 1])
@pytest.mark.parametrize("seed", [1, 2])
def test_retire(seed, fused):
    simulate(
        Retire(CONFIG, index=INDEX), module=__name__, case="check_order", seed=seed, fused=fused
    )


def random_bits(rng, layout):
    return unpack(layout, rng.getrandbits(layout.size))


@cocotb.test()
async def check_order(dut):
    """Any instruction, any moment for its data and its answers, any status; a flag tells the
    first error since the flag before."""
    rng, fused = random.Random(cocotb.RANDOM_SEED), parameters_of_test()["fused"]
    dut.fused_notify.value, dut.drained.value, dut.answered.value = fused, 0, 0
    flags = Sink(dut, "notify", rng.choice(PROFILES), rng)
    records = Sink(dut, "completion", rng.choice(PROFILES), rng)
    await start_clock(dut)
    earlier = Status.OK
    told, reported = [], []
    for number in range(INSTRUCTIONS):
        context = random_bits(rng, context_layout(CONFIG))
        times = random_bits(rng, times_layout())
        status = rng.choice([Status.OK, Status.OK, *Status])
        culprit, done = rng.getrandbits(4), rng.getrandbits(32)
        assert int(dut.oldest.value) == number % SLOTS
        dut.context.value = pack(context_layout(CONFIG), context)
        dut.times.value = pack(times_layout(), times)
        dut.status.value, dut.culprit.value, dut.cycles.value = int(status), culprit, done
        outcome = earlier if earlier != Status.OK else status
        if context["notify"]:
            job = {
                "ports": context["participants"] & (1 << CONFIG.system.endpoints) - 1,
                "notify": 1,
                "context": number % SLOTS + INDEX * SLOTS,
                "offset": WORD_BYTES * context["sync_id"],
                "identifier": context["identifier"],
                "round": context["round"],
                "status": int(outcome),
            }
            told.append(pack(write_job_layout(CONFIG), job))
        earlier = Status.OK if context["notify"] else outcome
        fields = {"identifier": context["identifier"], "status": int(status), "endpoint": culprit}
        fields |= {"controller": INDEX, "done": done} | {name: times[name] for name in TIMES}
        if not context["no_record"]:
            reported.append(Completion(**fields).pack())
        for ready in ("drained", "answered"):
            for _ in range(rng.randrange(12)):
                await RisingEdge(dut.clk)
                may = ready == "answered" and fused and context["notify"]
                assert len(flags.received) <= len(told) - (not may and context["notify"])
                assert len(records.received) < len(reported) + context["no_record"]
            getattr(dut, ready).value = 1
        while not dut.retired.value:
            await RisingEdge(dut.clk)
            assert not (context["no_record"] and dut.completion__valid.value)
        dut.drained.value = dut.answered.value = 0
        await RisingEdge(dut.clk)
        assert flags.received == told
        assert records.received == reported
