"""Register pages alone, with any bits on every port: what is shown is what was given."""

import gc
import random

import cocotb
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import ClockCycles, RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import PROFILES, Sink, Source, start_clock
from hw.dma.csr import MOMENTS, SETTLE_CYCLES, EngineRegisters
from hw.endpoint.csr import EndpointRegisters
from hw.endpoint.sync import Sync
from hw.endpoint.traffic import Traffic
from hw.isa.csr import IsaRegisters
from hw.memory.windows import window_layout
from hw.spec.config import LONGEST_WAIT_CYCLES, load
from hw.spec.dma import ENGINE, Command, EngineState
from hw.spec.fault import Fault
from hw.spec.instruction import Completion, Instruction
from hw.spec.packing import pack, unpack
from hw.spec.registers import (
    ENDPOINT,
    FEATURE_BITS,
    IDENTITY,
    RECORD_WORDS,
    SWITCH,
    Kind,
)

ROUNDS = 60
COUNTED = {
    "LATE_RESPONSES": "late",
    "STRAY_RESPONSES": "stray",
    "MISROUTED": "misrouted",
    "LATE_ARRIVALS": "barrier__late",
    "DOUBLED_ARRIVALS": "barrier__doubled",
    "STRAY_ARRIVALS": "barrier__stray",
    None: "no_arrivals",
}
"""Registers that count an input; stray arrivals come on two."""
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

    async def write(self, name: str, value: int, index: int = 0, *, refused: bool = False) -> None:
        """Returns in the first cycle that shows it, and whether it was ``refused``."""
        self._dut.bus__address.value = self._registers[name].address(index)
        self._dut.bus__write_data.value, self._dut.bus__write.value = value, 1
        await RisingEdge(self._dut.clk)
        self._dut.bus__write.value = 0
        await RisingEdge(self._dut.clk)
        assert bool(self._dut.bus__write_refused.value) == refused, (name, index, value)

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
        assert not self._dut.bus__read_refused.value, (name, index)
        return int(self._dut.bus__read_data.value)

    async def fits(self, name: str, value: int, bits: int) -> bool:
        """Write a register of so many ``bits``; one that does not fit is refused."""
        fits = value < 1 << bits
        await self.write(name, value, refused=not fits)
        return fits

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
    isa, layout = config.isa, Instruction.layout(config)
    bus, events = Bus(dut, SWITCH), tuple(COUNTED.values())
    for name in (*events, "dead_peers", "barrier__waited_at"):
        getattr(dut, name).value = 0
    records = [Source(dut, f"completion__{c}", "50%", rng) for c in range(isa.wave_controllers)]
    sinks = [Sink(dut, f"instruction__{c}", rng.choice(PROFILES), rng) for c in range(2)]
    await start_clock(dut)
    submitted = [[], []]
    counted = dict.fromkeys(events, 0)
    settings = (("TIMEOUT", "timeout"), ("BARRIER_TIMEOUT", "barrier_timeout"))
    assert await bus.read("IDENTITY") == IDENTITY
    for _ in range(ROUNDS):
        for _ in range(rng.randrange(50)):
            for name in events:
                number = rng.getrandbits(len(getattr(dut, name)))
                getattr(dut, name).value = number
                counted[name] += number
            await RisingEdge(dut.clk)
        dead_peers = rng.getrandbits(config.system.endpoints)
        dut.dead_peers.value = dead_peers
        for name in events:
            getattr(dut, name).value = 0
        assert await bus.read("DEAD_PEERS") == dead_peers
        for register, name in COUNTED.items():
            more = counted["no_arrivals"] if register == "STRAY_ARRIVALS" else 0
            if register is not None:
                assert await bus.read(register) == counted[name] + more
        for register, name in settings:
            value = rng.getrandbits(32)
            await bus.write(register, value)
            assert await bus.read(register) == value == int(getattr(dut, name).value)
        address, features = rng.getrandbits(48) & ~7, rng.getrandbits(rng.choice([4, 5, 32]))
        await bus.write_address("FLAG_BASE", address)
        await bus.write("FLAG_BASE", rng.getrandbits(29) << 3 | rng.randrange(1, 8), refused=True)
        await bus.write("FLAG_BASE", 1 << rng.randrange(16, 32), 1, refused=True)
        assert int(dut.flag_base.value) == address
        before = int(dut.features.value)
        kept = await bus.fits("FEATURES", features, len(FEATURE_BITS))
        assert int(dut.features.value) == (features if kept else before)
        refused = [rng.getrandbits(isa.wave_controllers) for _ in range(isa.sync_ids)]
        for barrier, controllers in enumerate(refused):
            await bus.write("SYNC_REFUSED", controllers, barrier)
            assert await bus.read("SYNC_REFUSED", barrier) == controllers
        await bus.write("SYNC_REFUSED", 1 << rng.randrange(isa.wave_controllers, 32), refused=True)
        await bus.write("SYNC_REFUSED", 0, isa.sync_ids, refused=True)
        for c in range(isa.wave_controllers):
            mask = sum((controllers >> c & 1) << b for b, controllers in enumerate(refused))
            assert int(getattr(dut, f"sync_refused__{c}").value) == mask
        await check_rounds(dut, bus, rng, isa.sync_ids)
        await pass_instruction(bus, rng, layout, submitted)
        await pass_record(bus, rng, records)
    await lose_records(bus, rng, records, config.records)
    for sink, expected in zip(sinks, submitted, strict=True):
        while len(sink.received) < len(expected):
            await RisingEdge(dut.clk)
        assert sink.received == expected


async def pass_instruction(bus, rng, layout, submitted):
    word, controller = rng.getrandbits(layout.size), rng.randrange(2)
    for index in range(-(-layout.size // 32)):
        await bus.write("INSTRUCTION", word >> 32 * index & WORD, index)
    await bus.write("SUBMIT", rng.randrange(2, 1 << 32), refused=True)
    room = await bus.read("QUEUE_SPACE", controller)
    await bus.write("SUBMIT", controller, refused=room == 0)
    if room:
        submitted[controller].append(word)


async def check_rounds(dut, bus, rng, barriers):
    """ROUND shows what a barrier says; one where no instruction waits begins anew when told to."""
    s, waits = rng.randrange(barriers), rng.randrange(2)
    current, over, number = rng.getrandbits(11), rng.getrandbits(4), rng.getrandbits(11)
    getattr(dut, f"barrier__current__{s}").value = current
    getattr(dut, f"barrier__over__{s}").value = over
    dut.barrier__waited_at.value = waits << s
    assert await bus.read("ROUND", s) == current | over << 16
    dut.bus__address.value = SWITCH["ROUND"].address(s)
    for value, fits in ((number, not waits), (number | 1 << rng.randrange(11, 32), False)):
        dut.bus__write.value, dut.bus__write_data.value = 1, value
        await RisingEdge(dut.clk)
        assert int(dut.barrier__begin.value) == fits << s
        assert int(dut.barrier__begin_round.value) == value & 0x7FF
        dut.bus__write.value = 0
        await RisingEdge(dut.clk)
        assert int(dut.bus__write_refused.value) == (not fits)
        assert int(dut.barrier__begin.value) == 0
    await bus.write("ROUND", 0, barriers, refused=True)


def random_record(rng):
    return rng.getrandbits(Completion.layout().size)


async def pass_record(bus, rng, records):
    """A record of one controller shows there, and at no other controller."""
    c, word = rng.randrange(len(records)), random_record(rng)
    records[c].queue.append(word)
    while await bus.read("COMPLETIONS") == 0:
        pass
    assert [await bus.read("RECORDS", other) for other in range(len(records))] == [
        int(other == c) for other in range(len(records))
    ]
    assert await read_record(bus, c) == word
    await bus.write("RECORD_POP", 1, 1 - c, refused=True)
    await bus.write("RECORD_POP", 1, c)
    assert await bus.read("COMPLETIONS") == 0
    await bus.write("RECORD_POP", 1, c, refused=True)


async def read_record(bus, controller):
    found = [await bus.read("RECORD", RECORD_WORDS * controller + i) for i in range(RECORD_WORDS)]
    return sum(part << 32 * index for index, part in enumerate(found))


async def lose_records(bus, rng, records, depth):
    """What comes while so many wait is dropped and counted; the others' records are not touched."""
    first, second = [[random_record(rng) for _ in range(count)] for count in (depth + 7, 3)]
    for source, words in zip(records, (first, second), strict=True):
        source.queue.extend(words)
    while not all(source.idle for source in records):
        await bus.read("COMPLETIONS")
    assert [await bus.read("RECORDS_LOST", c) for c in range(2)] == [7, 0]
    assert await bus.read("COMPLETIONS") == depth + 3
    for c, words in enumerate((first[:depth], second)):
        for word in words:
            assert await read_record(bus, c) == word
            await bus.write("RECORD_POP", 1, c)


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
    engine_state = EngineState.IDLE
    # With registers an event is noted a cycle late.
    late = parameters_of_test()["registered"]
    fresh = set()
    for _ in range(ROUNDS):
        doorbell = rng.getrandbits(32)
        if engine_state == EngineState.HALTED:
            before = int(control("doorbell").value)
            await bus.write("DOORBELL", doorbell, refused=True)
            await bus.write("INLINE", doorbell, ENGINE["INLINE"].count - 1, refused=True)
            assert not control("ring").value
            assert not control("inline_valid").value
            assert int(control("doorbell").value) == before
            control("state").value = int(EngineState.IDLE)
            await ClockCycles(dut.clk, 3)
        dut.cycles.value = clock = rng.getrandbits(32)
        if rng.random() < 0.5:
            await bus.write("DOORBELL", doorbell)
            assert control("ring").value
            assert int(control("doorbell").value) == doorbell
        else:
            word = rng.getrandbits(Command.layout().size)
            for index in range(ENGINE["INLINE"].count):
                await bus.write("INLINE", word >> 32 * index & WORD, index)
            assert control("inline_valid").value
            assert int(control("inline").value) == word
        shown["rung"], fresh = clock, {"fetched", "first_read"}
        await RisingEdge(dut.clk)
        state = engine_state = rng.choice(list(EngineState))
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
            # Until a reset is complete a doorbell would be forgotten.
            await bus.write("RESET", 1)
            assert control("reset").value
            for _ in range(rng.randrange(3)):
                await bus.write("DOORBELL", doorbell, refused=True)
            control("cleared").value = 1
            await bus.write("DOORBELL", doorbell, refused=True)
            control("cleared").value, busy = 0, 0
            await ClockCycles(dut.clk, 3)
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
    "CORE_BYTES": "core_bytes",
    "ISA_BYTES": "isa_bytes",
    "CYCLES": "cycles",
}
"""Registers that show a port."""
MOVES = {"ARRIVED_AT": "sync__arrived", "VISIBLE_AT": "visible", "POLLED_AT": "sync__seen"}
KEPT = {
    "TRAFFIC_DESTINATION": "traffic__destination",
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
    pulses = ("fault_taken", "counts", "link_events", "peer_dead", "sync__waiting")
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
        up, peer_dead = rng.randrange(2), rng.randrange(2)
        dut.link_events.value, dut.peer_dead.value = up, peer_dead
        await check_waits(dut, bus, rng, config.isa.sync_ids)
        assert await bus.read("LINK_STATE") == up | peer_dead << 1
        for register, name in SHOWN.items():
            port = getattr(dut, name)
            value = rng.getrandbits(len(port))
            port.value = value
            assert await bus.read(register) == value, register
        counts = {name.upper(): count for name, count in zip(COUNTS, counted, strict=True)}
        for register, value in (moments | counts).items():
            assert await bus.read(register) == value, register
        for register, name in KEPT.items():
            port = getattr(dut, name)
            value, before = rng.getrandbits(rng.choice([32, len(port)])), int(port.value)
            kept = value if await bus.fits(register, value, len(port)) else before
            assert await bus.read(register) == kept == int(port.value), register
        await check_payload(dut, bus, rng, config)
        await check_wait_timeout(dut, bus, rng)
        flags, target = rng.getrandbits(48) & ~7, rng.getrandbits(48)
        await bus.write_address("FLAG_BASE", flags)
        await bus.write_address("TRAFFIC_ADDRESS", target)
        await bus.write("TRAFFIC_CONTROL", peer_dead << 1)
        await bus.write("TRAFFIC_CONTROL", 1 | 1 << rng.randrange(2, 32), refused=True)
        assert not dut.traffic__enable.value
        assert int(dut.sync__flag_base.value) == flags
        assert int(dut.traffic__address.value) == target
        assert int(dut.traffic__multicast.value) == peer_dead
        fault, core = rng.choice(list(Fault)), rng.randrange(2)
        await bus.write("FAULT", fault | core << 8)
        assert await bus.read("FAULT") == fault
        assert int(dut.fault.value) == fault
        dut.fault_taken.value = 1
        await RisingEdge(dut.clk)
        dut.fault_taken.value = 0
        assert await bus.read("FAULT") == Fault.NONE
        await bus.write("FAULT", 1 << rng.choice([3, 7, 9, 31]), refused=True)
        await check_windows(dut, bus, rng, config)


async def check_payload(dut, bus, rng, config):
    """A packet of ordinary traffic has a payload, in whole flits, and no more than fits."""
    flit, most = config.fabric.flit_bytes, config.fabric.max_payload_bytes
    for value in (0, flit, most, most + flit, flit + 1, flit // 2, 1 << 16, rng.getrandbits(32)):
        refused = not (0 < value <= most) or value % flit != 0
        await bus.write("TRAFFIC_BYTES", value, refused=refused)
        expected = int(dut.traffic__length.value) if refused else value
        assert await bus.read("TRAFFIC_BYTES") == expected == int(dut.traffic__length.value)
        assert expected, "a packet without payload"


async def check_wait_timeout(dut, bus, rng):
    """Any number of cycles but the last few: a wait that long would be seen too late."""
    for value in (0, LONGEST_WAIT_CYCLES, LONGEST_WAIT_CYCLES + 1, rng.getrandbits(32)):
        kept = value if value <= LONGEST_WAIT_CYCLES else int(dut.sync__timeout.value)
        await bus.write("WAIT_TIMEOUT", value, refused=kept != value)
        assert await bus.read("WAIT_TIMEOUT") == kept == int(dut.sync__timeout.value)


async def check_waits(dut, bus, rng, barriers):
    """Every barrier is shown by itself; one arrives where it does not wait, and cancels where it
    does, all else is refused."""
    s, waiting = rng.randrange(barriers), rng.getrandbits(barriers)
    status, number, identifier = rng.getrandbits(5), rng.getrandbits(11), rng.getrandbits(16)
    dut.sync__waiting.value = waiting
    for name, value in (("statuses", status), ("rounds", number), ("identifiers", identifier)):
        getattr(dut, f"sync__{name}__{s}").value = value
    waits = waiting >> s & 1
    assert await bus.read("SYNC_STATE", s) == waits | status << 4 | number << 16
    assert await bus.read("FLAG_IDENTIFIER", s) == identifier
    good, wrong = s | number << 16, rng.choice([8, 15, 27, 31])
    for name, pulse, value, fits in (
        ("ARRIVE", "start", good, not waits),
        ("ARRIVE", "start", good | 1 << wrong, False),
        ("ARRIVE", "start", barriers + s | number << 16, False),
        ("CANCEL", "cancel", s, bool(waits)),
        ("CANCEL", "cancel", s | 1 << wrong, False),
        ("CANCEL", "cancel", barriers + s, False),
    ):
        dut.bus__address.value = ENDPOINT[name].address()
        dut.bus__write.value, dut.bus__write_data.value = 1, value
        await RisingEdge(dut.clk)
        assert int(getattr(dut, f"sync__{pulse}").value) == fits, (name, value)
        if fits:
            assert (
                int(getattr(dut, "sync__" + ("sync_id", "cancel_id")[name == "CANCEL"]).value) == s
            )
            assert name == "CANCEL" or int(dut.sync__round.value) == number
        dut.bus__write.value = 0
        await RisingEdge(dut.clk)
        assert int(dut.bus__write_refused.value) == (not fits)


async def check_windows(dut, bus, rng, config):
    expected = []
    for index in range(config.endpoint.windows):
        words = [rng.getrandbits(32) for _ in range(4)]
        for word, value in enumerate(words):
            await bus.write("WINDOW", value, 4 * index + word)
        base, size = ((low | high << 32) % (1 << 48) for low, high in (words[:2], words[2:]))
        expected.append(
            {
                "base": base,
                "end": base + size,
                "read": words[3] >> 30 & 1,
                "write": words[3] >> 31,
                "refused_sources": words[1] >> 16 & 3,
                "refused_tenants": words[3] >> 16 & 15,
            }
        )
    await RisingEdge(dut.clk)
    layout, word = window_layout(config), int(dut.windows.value)
    for index, window in enumerate(expected):
        bits = word >> layout.size * index & (1 << layout.size) - 1
        assert unpack(layout, bits) == window, index
        assert pack(layout, window) == bits
