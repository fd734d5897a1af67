"""hw/isa/failures.py: every error is charged to its context or controller, and to a port."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge, Timer

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import start_clock
from hw.isa.context import Fault
from hw.isa.failures import Failures
from hw.isa.jobs import stray_layout, wave_layout, write_error_layout
from hw.spec.config import load
from hw.spec.packing import pack, unpack
from hw.spec.status import Status

CONFIG = load("tiny", {"system.endpoints": 3})
PORTS, CONTROLLERS = CONFIG.system.endpoints, CONFIG.isa.wave_controllers
SLOTS, WAVES = CONFIG.isa.instructions_in_flight, CONFIG.waves_per_controller
ERRORS = [status for status in Status if status != Status.OK]


@pytest.mark.parametrize("registered", [False, True])
def test_failures(registered):
    config = load("tiny", {"system.endpoints": PORTS, "fabric.registered": registered})
    simulate(
        Failures(config), module=__name__, case="check_failures", seed=1, registered=registered
    )


def drawn(rng):
    """What the scheduler and the ports tell in one cycle."""
    return {
        "busy": rng.randrange(2),
        "controller": rng.randrange(CONTROLLERS),
        "sources": rng.getrandbits(PORTS),
        "context": rng.randrange(CONFIG.contexts),
        "failure": [rng.choice([Status.OK, Status.OK, *ERRORS]) for _ in range(PORTS)],
        "stray": [
            (rng.random() < 0.2, rng.randrange(CONFIG.isa.waves), rng.choice(ERRORS))
            for _ in range(PORTS)
        ],
        "write": [
            (rng.random() < 0.3, rng.randrange(CONFIG.contexts), rng.choice(ERRORS))
            for _ in range(PORTS)
        ],
    }


def drive(dut, told):
    dut.busy.value, dut.controller_now.value = told["busy"], 1 << told["controller"]
    wave = {"sources": told["sources"], "context": told["context"]}
    dut.wave.value = pack(wave_layout(CONFIG), wave)
    for i in range(PORTS):
        getattr(dut, f"port__{i}__failure").value = int(told["failure"][i])
        for name, layout, place in (
            ("stray", stray_layout(CONFIG), "entry"),
            ("write", write_error_layout(CONFIG), "context"),
        ):
            valid, where, status = told[name][i]
            payload = pack(layout, {place: where, "status": status})
            getattr(dut, f"port__{i}__{name}__valid").value = int(valid)
            getattr(dut, f"port__{i}__{name}__payload").value = payload


def first(errors):
    """Status and port of the first port that has one."""
    return next(((status, i) for i, status in enumerate(errors) if status is not None), None)


def expected_faults(reads, writes):
    """Of failed reads and failed writes as told in these cycles: (status, port) per context."""
    found = {}
    for context in range(CONFIG.contexts):
        mine = [
            status if valid and where == context else None
            for valid, where, status in writes["write"]
        ]
        found[context] = first(mine)
    slot = reads["context"] % SLOTS + reads["controller"] * SLOTS
    failing = [
        status if status != Status.OK and reads["sources"] >> i & 1 else None
        for i, status in enumerate(reads["failure"])
    ]
    if reads["busy"] and first(failing):
        found[slot] = first(failing)
    return found


def event_at(dut, name):
    if not getattr(dut, f"{name}__valid").value:
        return None
    fault = unpack(Fault, int(getattr(dut, f"{name}__payload").value))
    return fault["status"], fault["endpoint"]


@cocotb.test()
async def check_failures(dut):
    rng, registered = random.Random(cocotb.RANDOM_SEED), parameters_of_test()["registered"]
    before = drawn(rng) | {"busy": 0, "stray": [(False, 0, Status.TIMEOUT)] * PORTS}
    drive(dut, before)
    if registered:
        await start_clock(dut)
        await RisingEdge(dut.clk)
    for _ in range(3000):
        now = drawn(rng)
        drive(dut, now)
        # Without registers it has no clock.
        await (RisingEdge(dut.clk) if registered else Timer(1, "ns"))
        late = before if registered else now
        for context, fault in expected_faults(late, now).items():
            name = f"faults__{context // SLOTS}__{context % SLOTS}"
            assert event_at(dut, name) == fault, context
        for c in range(CONTROLLERS):
            strays = [
                status if valid and entry // WAVES == c else None
                for valid, entry, status in late["stray"]
            ]
            assert event_at(dut, f"strays__{c}") == first(strays), c
        before = now
