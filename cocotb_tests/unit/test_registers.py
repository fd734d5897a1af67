"""Register pages alone, with any bits on every port: what is shown is what was given."""

import gc
import random

import cocotb
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, Sink, Source, start_clock
from hw.dma.csr import MOMENTS, SETTLE_CYCLES, EngineRegisters
from hw.endpoint.csr import EndpointRegisters
from hw.endpoint.sync import Sync
from hw.endpoint.traffic import Traffic
from hw.endpoint.windows import window_layout
from hw.isa.csr import IsaRegisters
from hw.spec.config import load
from hw.spec.dma import ENGINE, Command, EngineState
from hw.spec.fault import Fault
from hw.spec.instruction import Completion, instruction_layout
from hw.spec.packing import pack, unpack
from hw.spec.registers import (
    ENDPOINT,
    FEATURE_BITS,
    IDENTITY,
    SWITCH,
    WINDOW_READ,
    WINDOW_REFUSED_SHIFT,
    WINDOW_WORDS,
    WINDOW_WRITE,
    Kind,
)

ROUNDS = 60
WORD = (1 << 32) - 1
built = pytest.mark.parametrize("registered", [False, True])


def configured(registered: bool):
    return load("tiny", {"fabric.registered": registered, "endpoint.windows": 4})


class Bus:
    """The host's side of a register bus; ``registers`` is the map of the page."""

    def __init__(self, dut, registers) -> None:
        self._dut, self._registers = dut, registers
        self._wait = 2 if parameters_of_test()["registered"] else 1
        dut.bus__write.value = 0

    async def write(self, name: str, value: int, index: int = 0) -> None:
        """Returns in the first cycle that shows it."""
        self._dut.bus__address.value = self._registers[name].address(index)
        self._dut.bus__write_data.value, self._dut.bus__write.value = value, 1
        await RisingEdge(self._dut.clk)
        self._dut.bus__write.value = 0
        await RisingEdge(self._dut.clk)

    async def read(self, name: str, index: int = 0) -> int:
        register = self._registers[name]
        if register.kind is not Kind.COUNTER:
            return await self._word(name, index)
        words = [await self._word(name, word) for word in range(register.count)]
        return sum(value << 32 * word for word, value in enumerate(words))

    async def _word(self, name: str, index: int) -> int:
        self._dut.bus__address.value = self._registers[name].address(index)
        for _ in range(1 + self._wait):
            await RisingEdge(self._dut.clk)
        return int(self._dut.bus__read_data.value)

    async def write_address(self, name: str, address: int) -> None:
        await self.write(name, address & WORD, 0)
        await self.write(name, address >> 32, 1)


@built
def test_switch(registered):
    config = configured(registered)
    simulate(
        IsaRegisters(config), module=__name__, case="check_switch", seed=1, registered=registered
    )


@cocotb.test()
async def check_switch(dut):
    """Settings come out, records and instructions pass in order, events are counted."""
    rng = random.Random(cocotb.RANDOM_SEED)
    config = configured(parameters_of_test()["registered"])
    isa, layout = config.isa, instruction_layout(config)
    bus, events = Bus(dut, SWITCH), ("late", "stray", "misrouted")
    for name in (*events, "given_up"):
        getattr(dut, name).value = 0
    records = Source(dut, "completion", "50%", rng)
    sinks = [Sink(dut, f"instruction__{c}", rng.choice(PROFILES), rng) for c in range(2)]
    await start_clock(dut)
    submitted = [[], []]
    counted = dict.fromkeys(events, 0)
    settings = (("TIMEOUT", "timeout"), ("BARRIER_TIMEOUT", "barrier_timeout"))
    assert await bus.read("IDENTITY") == IDENTITY
    for _ in range(ROUNDS):
        for _ in range(rng.randrange(50)):
            for name in events:
                number = rng.getrandbits(8)
                getattr(dut, name).value = number
                counted[name] += number
            await RisingEdge(dut.clk)
        given_up = rng.getrandbits(config.system.endpoints)
        dut.given_up.value = given_up
        for name in events:
            getattr(dut, name).value = 0
        assert await bus.read("GIVEN_UP") == given_up
        for register, name in zip(
            ("LATE_RESPONSES", "STRAY_RESPONSES", "MISROUTED"), events, strict=True
        ):
            assert await bus.read(register) == counted[name]
        for register, name in settings:
            value = rng.getrandbits(32)
            await bus.write(register, value)
            assert await bus.read(register) == value == int(getattr(dut, name).value)
        address, features = rng.getrandbits(48), rng.getrandbits(32)
        await bus.write_address("FLAG_BASE", address)
        assert int(dut.flag_base.value) == address
        await bus.write("FEATURES", features)
        assert int(dut.features.value) == features & (1 << len(FEATURE_BITS)) - 1
        refused = [rng.getrandbits(isa.wave_controllers) for _ in range(isa.sync_ids)]
        for barrier, controllers in enumerate(refused):
            await bus.write("SYNC_REFUSED", controllers, barrier)
            assert await bus.read("SYNC_REFUSED", barrier) == controllers
        for c in range(isa.wave_controllers):
            mask = sum((controllers >> c & 1) << b for b, controllers in enumerate(refused))
            assert int(getattr(dut, f"sync_refused__{c}").value) == mask
        await pass_instruction(bus, rng, layout, submitted)
        await pass_record(bus, rng, records)
    for sink, expected in zip(sinks, submitted, strict=True):
        while len(sink.received) < len(expected):
            await RisingEdge(dut.clk)
        assert sink.received == expected


async def pass_instruction(bus, rng, layout, submitted):
    word, controller = rng.getrandbits(layout.size), rng.randrange(2)
    for index in range(-(-layout.size // 32)):
        await bus.write("INSTRUCTION", word >> 32 * index & WORD, index)
    room = await bus.read("QUEUE_SPACE", controller)
    await bus.write("SUBMIT", controller)
    if room:
        submitted[controller].append(word)


async def pass_record(bus, rng, records):
    word = rng.getrandbits(Completion.as_shape().size)
    records.queue.append(word)
    while await bus.read("COMPLETIONS") == 0:
        pass
    found = [await bus.read("COMPLETION", i) for i in range(SWITCH["COMPLETION"].count)]
    assert sum(part << 32 * index for index, part in enumerate(found)) == word
    await bus.write("COMPLETION_POP", 1)
    assert await bus.read("COMPLETIONS") == 0


@built
def test_engine(registered):
    config = configured(registered)
    simulate(
        EngineRegisters(config), module=__name__, case="check_engine", seed=1, registered=registered
    )


@cocotb.test()
async def check_engine(dut):
    """Pointers, state and moments are those of the engine; a doorbell makes it running."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bus = Bus(dut, ENGINE)

    def control(name):
        return getattr(dut, f"control__{name}")

    events = (*(f"{name}_event" for name in MOMENTS[1:]), "cleared", "busy")
    numbers = {"number": 32, "fetched_count": 32, "started": 32, "completed": 32}
    for name in (*events, *numbers, "state", "status"):
        control(name).value = 0
    await start_clock(dut)
    busy, shown = 0, dict.fromkeys(MOMENTS, 0)
    # With registers an event is noted a cycle late.
    late = parameters_of_test()["registered"]
    fresh = set()
    for _ in range(ROUNDS):
        doorbell = rng.getrandbits(32)
        dut.cycles.value = clock = rng.getrandbits(32)
        if rng.random() < 0.5:
            await bus.write("DOORBELL", doorbell)
            assert control("ring").value
            assert int(control("doorbell").value) == doorbell
        else:
            word = rng.getrandbits(Command.as_shape().size)
            for index in range(ENGINE["INLINE"].count):
                await bus.write("INLINE", word >> 32 * index & WORD, index)
            assert control("inline_valid").value
            assert int(control("inline").value) == word
        shown["rung"], fresh = clock, {"fetched", "first_read"}
        await RisingEdge(dut.clk)
        state = rng.choice(list(EngineState))
        status = rng.getrandbits(5)
        values = {name: rng.getrandbits(bits) for name, bits in numbers.items()}
        for name, value in (values | {"state": state, "status": status}).items():
            control(name).value = int(value)
        assert await bus.read("STATE") & 3 == EngineState.RUNNING
        for _ in range(SETTLE_CYCLES + 2):
            await RisingEdge(dut.clk)
        assert await bus.read("STATE") == state | status << 4
        assert await bus.read("FAILED") == values["number"]
        for name in ("STARTED", "COMPLETED"):
            assert await bus.read(name) == values[name.lower()]
        assert await bus.read("FETCHED") == values["fetched_count"]
        for _ in range(rng.randrange(10)):
            # Of the first moments after a doorbell those that follow do not count.
            before, clock = clock, rng.getrandbits(32)
            dut.cycles.value = before if late else clock
            happens = {name for name in MOMENTS[1:] if rng.random() < 0.3}
            for name in MOMENTS[1:]:
                control(f"{name}_event").value = int(name in happens)
                if name in happens and (name in fresh or name in ("last_write", "signalled")):
                    shown[name] = clock
            fresh -= happens
            working = rng.randrange(2)
            control("busy").value, busy = working, busy + working
            await RisingEdge(dut.clk)
        dut.cycles.value = clock
        for name in events:
            control(name).value = 0
        for name, clock in shown.items():
            assert await bus.read(f"{name.upper()}_AT") == clock, name
        assert await bus.read("BUSY_CYCLES") == busy
        base, size, timeout = rng.getrandbits(48), rng.getrandbits(32), rng.getrandbits(32)
        await bus.write_address("RING_BASE", base)
        await bus.write("RING_SIZE", size)
        await bus.write("TIMEOUT", timeout)
        found = [int(control(name).value) for name in ("ring_base", "ring_size", "timeout")]
        assert found == [base, size, timeout]
        if rng.random() < 0.3:
            control("cleared").value = 1
            await RisingEdge(dut.clk)
            control("cleared").value, busy = 0, 0
            assert await bus.read("DOORBELL") == 0


class EndpointPage(wiring.Component):
    """The page with what it steers as ports."""

    def __init__(self, config):
        self._config = config
        parts = {"sync": Sync(config, identity=0), "traffic": Traffic(config, identity=0)}
        members = {name: In(part.signature) for name, part in parts.items()}
        page = EndpointRegisters(config, **parts)
        super().__init__(members | dict(page.signature.members))
        # Made for their ports alone, of which the test knows; later tests need not hear of them.
        del parts, page
        gc.collect()

    def elaborate(self, platform):
        m = Module()
        m.submodules.page = page = EndpointRegisters(
            self._config, sync=self.sync, traffic=self.traffic
        )
        for path, member, value in page.signature.flatten(self):
            inner = page
            for step in path:
                inner = inner[step] if isinstance(step, int) else getattr(inner, step)
            ends = (value, inner) if member.flow == wiring.Out else (inner, value)
            m.d.comb += ends[0].eq(ends[1])
        return m


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@built
def test_endpoint(registered):
    config = configured(registered)
    simulate(
        EndpointPage(config), module=__name__, case="check_endpoint", seed=1, registered=registered
    )


COUNTS = ("transmitted", "received", "payload_transmitted", "payload_received", "unknown")
SHOWN = {
    "TRAFFIC_SENT": "traffic__sent",
    "TRAFFIC_ANSWERED": "traffic__answered",
    "FLAG_IDENTIFIER": "sync__identifier",
    "CORE_BYTES": "core_bytes",
    "ISA_BYTES": "isa_bytes",
    "CYCLES": "cycles",
}
"""Registers that show a port."""
MOVES = {"ARRIVED_AT": "sync__arrived", "VISIBLE_AT": "visible", "POLLED_AT": "sync__seen"}
KEPT = {
    "TRAFFIC_DESTINATION": "traffic__destination",
    "TRAFFIC_BYTES": "traffic__length",
    "TRAFFIC_SPAN": "traffic__span",
    "TRAFFIC_LIMIT": "traffic__limit",
    "POLL_INTERVAL": "sync__interval",
}
"""Registers that a port shows; they read what counts of what was written."""


@cocotb.test()
async def check_endpoint(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    config = configured(parameters_of_test()["registered"])
    bus = Bus(dut, ENDPOINT)
    pulses = ("fault_taken", "counts", "link_events", "given_up", "sync__waiting")
    for name in (*SHOWN.values(), *MOVES.values(), *pulses):
        getattr(dut, name).value = 0
    await start_clock(dut)
    moments, counted = dict.fromkeys(MOVES, 0), [0] * len(COUNTS)
    assert await bus.read("IDENTITY") == IDENTITY
    for _ in range(ROUNDS):
        for _ in range(rng.randrange(20)):
            dut.cycles.value = clock = rng.getrandbits(32)
            for register, name in MOVES.items():
                moves = rng.random() < 0.2
                getattr(dut, name).value = int(moves)
                moments[register] = clock if moves else moments[register]
            pulse = rng.getrandbits(len(COUNTS))
            dut.counts.value = pulse
            counted = [count + (pulse >> bit & 1) for bit, count in enumerate(counted)]
            await RisingEdge(dut.clk)
        for name in (*MOVES.values(), "counts"):
            getattr(dut, name).value = 0
        up, given_up = rng.randrange(2), rng.randrange(2)
        dut.link_events.value, dut.given_up.value = up, given_up
        waiting, status = rng.randrange(2), rng.getrandbits(5)
        dut.sync__waiting.value, dut.sync__status.value = waiting, status
        assert await bus.read("LINK_STATE") == up | given_up << 1
        assert await bus.read("SYNC_STATE") == waiting | status << 4
        for register, name in SHOWN.items():
            port = getattr(dut, name)
            value = rng.getrandbits(len(port))
            port.value = value
            assert await bus.read(register) == value, register
        counts = {name.upper(): count for name, count in zip(COUNTS, counted, strict=True)}
        for register, value in (moments | counts).items():
            assert await bus.read(register) == value, register
        for register, name in KEPT.items():
            value, port = rng.getrandbits(32), getattr(dut, name)
            await bus.write(register, value)
            assert await bus.read(register) == value & (1 << len(port)) - 1, register
            assert int(port.value) == value & (1 << len(port)) - 1, register
        flags, target = rng.getrandbits(48), rng.getrandbits(48)
        await bus.write_address("FLAG_BASE", flags)
        await bus.write_address("TRAFFIC_ADDRESS", target)
        await bus.write("TRAFFIC_CONTROL", rng.getrandbits(32) & ~0b11 | given_up << 1)
        assert int(dut.sync__flag_base.value) == flags
        assert int(dut.traffic__address.value) == target
        assert int(dut.traffic__multicast.value) == given_up
        fault, core = rng.choice(list(Fault)), rng.randrange(2)
        await bus.write("FAULT", fault | core << 8)
        assert await bus.read("FAULT") == fault
        assert int(dut.fault.value) == fault
        dut.fault_taken.value = 1
        await RisingEdge(dut.clk)
        dut.fault_taken.value = 0
        assert await bus.read("FAULT") == Fault.NONE
        await check_windows(dut, bus, rng, config)


async def check_windows(dut, bus, rng, config):
    expected = []
    for index in range(config.endpoint.windows):
        words = [rng.getrandbits(32) for _ in range(WINDOW_WORDS)]
        for word, value in enumerate(words):
            await bus.write("WINDOW", value, WINDOW_WORDS * index + word)
        base, size = ((low | high << 32) % (1 << 48) for low, high in (words[:2], words[2:]))
        refused = words[3] >> WINDOW_REFUSED_SHIFT
        expected.append(
            {
                "base": base,
                "end": base + size,
                "read": int(bool(words[3] & WINDOW_READ)),
                "write": int(bool(words[3] & WINDOW_WRITE)),
                "refused_sources": words[1] >> WINDOW_REFUSED_SHIFT & 3,
                "refused_tenants": refused & 15,
            }
        )
    await RisingEdge(dut.clk)
    layout, word = window_layout(config), int(dut.windows.value)
    for index, window in enumerate(expected):
        bits = word >> layout.size * index & (1 << layout.size) - 1
        assert unpack(layout, bits) == window, index
        assert pack(layout, window) == bits
