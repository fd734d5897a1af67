"""hw/isa/answers.py: what each wave controller is told, against the ports' own words."""

import random

import cocotb
from cocotb.triggers import Timer

from cocotb_tests.support.build import simulate
from hw.isa.answers import Answers
from hw.spec.config import load

CONFIG = load("tiny", {"system.endpoints": 3})
PORTS, CONTROLLERS = CONFIG.system.endpoints, CONFIG.isa.wave_controllers
SLOTS, WAVES = CONFIG.isa.instructions_in_flight, CONFIG.waves_per_controller


def test_answers():
    simulate(Answers(CONFIG), module=__name__, case="check_answers", seed=1)


def bits(flags):
    return sum(flag << place for place, flag in enumerate(flags))


@cocotb.test()
async def check_answers(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    for _ in range(3000):
        ports = []
        for i in range(PORTS):
            told = {
                "outstanding": rng.getrandbits(CONFIG.contexts),
                "answered__valid": rng.randrange(2),
                "answered__payload": rng.randrange(CONFIG.contexts),
                "waiting": rng.getrandbits(CONTROLLERS),
                "accepted__valid": rng.randrange(2),
                "accepted__payload": rng.randrange(CONFIG.isa.waves),
            }
            for name, value in told.items():
                getattr(dut, f"port__{i}__{name}").value = value
            ports.append(told)
        oldest = [rng.randrange(SLOTS) for _ in range(CONTROLLERS)]
        for c, slot in enumerate(oldest):
            getattr(dut, f"controller__{c}__oldest").value = slot
        await Timer(1, "ns")
        for c in range(CONTROLLERS):
            contexts = range(c * SLOTS, (c + 1) * SLOTS)
            answered = [
                any(p["answered__valid"] and p["answered__payload"] == k for p in ports)
                for k in contexts
            ]
            accepted = any(
                p["accepted__valid"] and p["accepted__payload"] // WAVES == c for p in ports
            )
            expected = {
                "outstanding": bits(
                    any(p["outstanding"] >> k & 1 for p in ports) for k in contexts
                ),
                "answered": bits(answered),
                "progress": int(accepted or any(answered)),
                "reads_waiting": bits(p["waiting"] >> c & 1 for p in ports),
                "writes_waiting": bits(p["outstanding"] >> contexts[oldest[c]] & 1 for p in ports),
            }
            found = {name: int(getattr(dut, f"controller__{c}__{name}").value) for name in expected}
            assert found == expected, c
