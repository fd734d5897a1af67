"""hw/isa/check.py against models/isa/check.py on random instructions."""

import random
from collections import Counter

import cocotb
import pytest
from cocotb.triggers import Timer

from cocotb_tests.support.build import parameters_of_test, simulate
from hw.isa.check import Check
from hw.spec.config import load
from hw.spec.formats import block_formats
from hw.spec.instruction import MAX_LENGTH, Instruction, Opcode
from hw.spec.status import Status
from models.isa.check import check, passes_end

AVERAGE = (True, False)
CONFIGS = {average: load("tiny", {"isa.average": average}) for average in AVERAGE}


@pytest.mark.parametrize(("seed", "average"), [(1, True), (2, True), (3, False)])
def test_check(seed, average):
    simulate(
        Check(CONFIGS[average]), module=__name__, case="check_status", seed=seed, average=average
    )


def random_instruction(rng, config):
    """An instruction and the one behind it, mostly good, each field bad now and then."""

    def rarely(good, bad):
        return bad if rng.random() < 0.06 else good

    def addresses():
        anywhere, near_end = rng.getrandbits(48), (1 << 48) - 16 * rng.randrange(1, 1000)
        return tuple(
            rarely(16 * rng.getrandbits(40), rng.choice([anywhere, near_end])) for _ in range(2)
        )

    quantize = rng.randrange(2)
    instruction = Instruction(
        opcode=rarely(1, rng.randrange(16)),
        data_type=rarely(rng.randrange(2, 7) if quantize else rng.randrange(2), rng.randrange(16)),
        reduce_op=rarely(0 if quantize else rng.randrange(5), rng.randrange(16)),
        barrier=rng.randrange(2),
        notify=rng.randrange(2),
        quantize=quantize,
        sync_id=rarely(rng.randrange(4), rng.randrange(16)),
        participants=rarely(rng.randrange(1, 4), rng.randrange(1 << 16) & rng.getrandbits(16)),
        sources=rarely(rng.randrange(1, 4), rng.choice([0, 4, 0x8000])),
        destinations=rarely(rng.randrange(1, 4), rng.choice([0, 4, 0x8000])),
        length=rarely(
            (64 if quantize else 2) * rng.randrange(1, 5000),
            rng.choice([0, 1, MAX_LENGTH, MAX_LENGTH + 2, 7, 32]),
        ),
        addresses=addresses(),
    )
    formats = {entry.code: entry for entry in block_formats(config)}
    entry = formats.get(instruction.data_type, next(iter(formats.values())))
    scales = Instruction(
        opcode=rarely(Opcode.SCALES, rng.randrange(16)),
        length=rarely(instruction.length // entry.ratio, rng.randrange(1 << 16)),
        addresses=addresses(),
    )
    return instruction, scales


@cocotb.test()
async def check_status(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    config = CONFIGS[parameters_of_test()["average"]]
    seen = Counter()
    for _ in range(20_000):
        instruction, scales = random_instruction(rng, config)
        dut.instruction.value = instruction.pack(config)
        refused = rng.getrandbits(config.isa.sync_ids) if rng.random() < 0.2 else 0
        dut.sync_refused.value = refused
        dut.scales.value = scales.pack(config)
        await Timer(1, "ns")
        expected = check(config, instruction, scales, sync_refused=refused)
        assert int(dut.status.value) == expected, (instruction, scales, expected.name)
        if expected == Status.WINDOW_VIOLATION:
            assert int(dut.culprit.value) == passes_end(instruction, scales)
        seen[expected] += 1
    for status in Status:
        if status <= Status.WINDOW_VIOLATION or status == Status.MISSING_SCALES:
            assert seen[status] > 20, f"{status.name} was hardly tried: {seen}"
