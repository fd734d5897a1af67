"""Host driver: speaks the register maps over any bus, simulated or real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from hw.spec.config import Config
from hw.spec.instruction import RECORD_TIMES, Completion, Instruction, Opcode
from hw.spec.registers import (
    COUNTER_WORDS,
    ENDPOINT,
    FEATURE_BITS,
    PAGE_BYTES,
    RECORD_WORDS,
    SWITCH,
    WORD_BITS,
    Kind,
    Register,
    endpoint_page,
    extended,
)
from hw.spec.status import Status
from models.endpoint.endpoint import Window
from scin.errors import HangError
from scin.host.rounds import BarrierRounds

Progress = Callable[[], None]

SLICE_CYCLES = 20_000
"""Simulated time between two looks at a long wait."""


class Bus(Protocol):
    """What a driver needs of the world."""

    def read(self, address: int) -> int: ...
    def write(self, address: int, value: int) -> None: ...
    def write_many(self, address: int, values: Sequence[int]) -> None: ...
    def wait_while(self, address: int, mask: int, value: int, *, limit: int) -> bool: ...


@dataclass(frozen=True)
class Record:
    """A completion record, see :class:`hw.spec.instruction.Completion`.

    Times are whole cycles of the switch's counter, of an instruction that took less than 2^32;
    ``table_wait`` is a duration.
    """

    identifier: int
    status: Status
    endpoint: int
    controller: int
    fetched: int
    barrier_met: int
    first_read: int
    table_wait: int
    last_write: int
    last_response: int
    done: int


class Driver:
    """Operate a system: windows, instructions, barriers, traffic.

    ``progress`` is called now and then during long waits.
    """

    def __init__(self, bus: Bus, config: Config, *, progress: Progress = lambda: None) -> None:
        self.bus = bus
        self.config = config
        self.progress = progress
        self._barriers: dict[int, BarrierRounds] = {}
        self._latest: dict[int, int] = {}
        """The barrier at which an endpoint arrived last."""

    def switch_address(self, name: str, index: int = 0) -> int:
        return SWITCH[name].address(index)

    def endpoint_address(self, endpoint: int, name: str, index: int = 0) -> int:
        return PAGE_BYTES * endpoint_page(endpoint) + ENDPOINT[name].address(index)

    def read_switch(self, name: str, index: int = 0) -> int:
        return read_register(self.bus.read, SWITCH[name], 0, index)

    def write_switch(self, name: str, value: int, index: int = 0) -> None:
        self.bus.write(self.switch_address(name, index), value)

    def read_endpoint(self, endpoint: int, name: str, index: int = 0) -> int:
        page = PAGE_BYTES * endpoint_page(endpoint)
        return read_register(self.bus.read, ENDPOINT[name], page, index)

    def endpoint_moments(self, endpoint: int, names: Sequence[str]) -> list[int]:
        """Whole cycles of the endpoint's counter, of moments less than 2^32 cycles ago."""
        moments = [self.read_endpoint(endpoint, name) for name in names]
        now = self.read_endpoint(endpoint, "CYCLES")
        return [extended(moment, now) for moment in moments]

    def write_endpoint(self, endpoint: int, name: str, value: int, index: int = 0) -> None:
        self.bus.write(self.endpoint_address(endpoint, name, index), value)

    def configure(self) -> None:
        """Write every runtime field of the configuration into its register."""
        isa = self.config.isa
        features = sum(getattr(isa, name) << bit for bit, name in enumerate(FEATURE_BITS))
        self.write_switch("FEATURES", features)
        self.write_switch("TIMEOUT", isa.timeout_cycles)
        self.write_switch("BARRIER_TIMEOUT", isa.barrier_timeout_cycles)
        for endpoint in range(self.config.system.endpoints):
            timeout = self.config.endpoint.wait_timeout_cycles
            self.write_endpoint(endpoint, "WAIT_TIMEOUT", timeout)

    def set_window(self, endpoint: int, index: int, window: Window) -> None:
        register = ENDPOINT["WINDOW"]
        entry = register.pack(**vars(window))
        for word in range(register.words):
            value = entry >> WORD_BITS * word & (1 << WORD_BITS) - 1
            self.write_endpoint(endpoint, "WINDOW", value, register.words * index + word)

    def open_whole_memory(self) -> None:
        for endpoint in range(self.config.system.endpoints):
            self.set_window(endpoint, 0, Window(0, self.config.endpoint.memory_bytes))

    def submit(self, instruction: Instruction, controller: int = 0) -> None:
        """Queue an instruction; waits for room.

        One with ``barrier`` that names no ``round`` gets the next one of its barrier; one that
        only notifies gets the latest one.
        """
        space = SWITCH["QUEUE_SPACE"]
        if not self.bus.wait_while(space.address(controller), 0xFFFFFFFF, 0, limit=1 << 24):
            raise HangError(f"no room in the instruction queue of controller {controller}")
        word = self._with_round(instruction, controller).pack(self.config)
        size = Instruction.layout(self.config).size
        _write_words(self.bus, SWITCH["INSTRUCTION"], word, size)
        self.write_switch("SUBMIT", controller)

    def _with_round(self, instruction: Instruction, controller: int) -> Instruction:
        sync_id = instruction.sync_id
        synchronises = instruction.barrier or instruction.notify
        is_other = instruction.opcode in (Opcode.NOP, Opcode.SCALES)
        if is_other or not synchronises or sync_id >= self.config.isa.sync_ids:
            return instruction
        rounds, given = self._barrier(sync_id), instruction.round
        if not instruction.barrier:
            return replace(instruction, round=rounds.latest() if given is None else given)
        if self.read_switch("SYNC_REFUSED", sync_id) >> controller & 1:
            # It will be refused, and its round stays open.
            return instruction
        return replace(instruction, round=rounds.submit(instruction.participants, given))

    def _barrier(self, sync_id: int) -> BarrierRounds:
        if sync_id not in self._barriers:
            self._barriers[sync_id] = BarrierRounds(partial(self.read_switch, "ROUND", sync_id))
        return self._barriers[sync_id]

    def begin_round(self, sync_id: int, number: int) -> None:
        """Begin a barrier anew with this round; what has arrived there is forgotten. Refused
        while an instruction waits there. A flag of the same number that is still in memory would
        be taken for that of the new round: clear the barrier's flags first."""
        self.write_switch("ROUND", number, sync_id)
        self._barrier(sync_id).restart(number)

    def wait_completion(self, controller: int | None = None) -> Record:
        """The next completion record, of ``controller``, for which only its own registers are
        used, or of all of them in the order in which instructions ended.

        ``config.records`` of each controller are kept; later ones are lost and counted in
        RECORDS_LOST, unless earlier ones are read.
        """
        if controller is None:
            waiting, what = self.switch_address("COMPLETIONS"), "a completion record"
        else:
            waiting = self.switch_address("RECORDS", controller)
            what = f"a completion record of controller {controller}"
        self.wait_while(waiting, 0xFFFFFFFF, 0, what)
        return self._read_record(self._first() if controller is None else controller)

    def _first(self) -> int:
        """The controller whose oldest record was written first."""
        done = {
            controller: self.read_switch("RECORD", RECORD_WORDS * (controller + 1) - 1)
            for controller in range(self.config.isa.wave_controllers)
            if self.read_switch("RECORDS", controller)
        }
        now = self.read_switch("CYCLES")
        return max(done, key=lambda controller: (now - done[controller]) & 0xFFFFFFFF)

    def _read_record(self, controller: int) -> Record:
        word = sum(
            self.read_switch("RECORD", RECORD_WORDS * controller + index) << 32 * index
            for index in range(RECORD_WORDS)
        )
        self.write_switch("RECORD_POP", 1, controller)
        values = vars(Completion.unpack(word)).copy()
        del values["reserved"]
        values["status"] = Status(values["status"])
        done = extended(values["done"], self.read_switch("CYCLES"))
        for name in RECORD_TIMES:
            if name != "table_wait":
                values[name] = extended(values[name], done)
        return Record(**values)

    def arrive(self, endpoint: int, sync_id: int, round: int | None = None) -> None:
        """``endpoint`` arrives at a barrier, and waits for the flag of that ``round``. By default
        see :meth:`scin.host.rounds.BarrierRounds.arrive`. Refused where it waits already."""
        if sync_id < self.config.isa.sync_ids:
            # What is refused has not arrived.
            if not ENDPOINT["SYNC_STATE"].unpack(
                self.read_endpoint(endpoint, "SYNC_STATE", sync_id)
            )["waiting"]:
                round = self._barrier(sync_id).arrive(endpoint, round)
            self._latest[endpoint] = sync_id
        arrival = ENDPOINT["ARRIVE"].pack(barrier=sync_id, round=round or 0)
        self.write_endpoint(endpoint, "ARRIVE", arrival)

    def wait_flag(self, endpoint: int, sync_id: int | None = None) -> Status:
        """Wait until the endpoint has seen its completion flag, or its wait has ended; the
        status. By default at the barrier where it arrived last."""
        sync_id = self._latest.get(endpoint, 0) if sync_id is None else sync_id
        register = ENDPOINT["SYNC_STATE"]
        address = self.endpoint_address(endpoint, "SYNC_STATE", sync_id)
        what = f"the completion flag of endpoint {endpoint} at barrier {sync_id}"
        self.wait_while(address, register.mask("waiting"), register.pack(waiting=1), what)
        return Status(register.unpack(self.bus.read(address))["status"])

    def flag_identifier(self, endpoint: int, sync_id: int) -> int:
        """Identifier in the flag that the endpoint saw last at this barrier."""
        return self.read_endpoint(endpoint, "FLAG_IDENTIFIER", sync_id)

    def cancel(self, endpoint: int, sync_id: int) -> None:
        """End the wait of an endpoint at a barrier; refused where it does not wait."""
        self.write_endpoint(endpoint, "CANCEL", sync_id)

    def start_traffic(
        self,
        endpoint: int,
        destination: int,
        *,
        address: int,
        packet_bytes: int,
        span: int,
        packets: int = 0,
        multicast: bool = False,
    ) -> None:
        """Ordinary writes of ``endpoint`` to an endpoint, or with ``multicast`` to a mask of them:
        ``packets`` (0: without end) over ``span`` bytes from ``address``, again and again."""
        self.stop_traffic(endpoint)
        write_address(partial(self.write_endpoint, endpoint), "TRAFFIC_ADDRESS", address)
        for name, value in (
            ("TRAFFIC_DESTINATION", destination),
            ("TRAFFIC_BYTES", packet_bytes),
            ("TRAFFIC_SPAN", span),
            ("TRAFFIC_LIMIT", packets),
            ("TRAFFIC_CONTROL", ENDPOINT["TRAFFIC_CONTROL"].pack(send=1, multicast=multicast)),
        ):
            self.write_endpoint(endpoint, name, value)

    def stop_traffic(self, endpoint: int) -> None:
        """What is under way still arrives."""
        self.write_endpoint(endpoint, "TRAFFIC_CONTROL", 0)

    def wait_while(self, address: int, mask: int, value: int, what: str) -> None:
        """Until (register & mask) differs from ``value``; ``what`` names it in the error."""
        isa = self.config.isa
        slices = 64 * max(isa.timeout_cycles, isa.barrier_timeout_cycles) // SLICE_CYCLES + 1000
        for _ in range(slices):
            if self.bus.wait_while(address, mask, value, limit=SLICE_CYCLES):
                return
            self.progress()
        raise HangError(f"waited {slices * SLICE_CYCLES} cycles for {what}")


def read_register(read: Callable[[int], int], register: Register, base: int, index: int = 0) -> int:
    """Of the page at ``base``; of a counter all 64 bits.

    Its high word is read before and after the low one until both times are the same: that
    needs no latch, which two readers would have to share.
    """
    if register.kind is not Kind.COUNTER:
        return read(base + register.address(index))
    low, high = (base + register.address(word) for word in range(COUNTER_WORDS))
    above = read(high)
    while True:
        value = read(low)
        before, above = above, read(high)
        if before == above:
            return above << 32 | value


def check_words(values: Sequence[int]) -> None:
    """Raise :class:`ValueError` where one does not fit a register."""
    for value in values:
        if not 0 <= value < 1 << 32:
            raise ValueError(f"{value}: must fit a register of 32 bits")


def write_address(write: Callable[[str, int, int], None], name: str, address: int) -> None:
    """Low and high word of the register ``name``, by ``write`` (name, value, index)."""
    write(name, address & 0xFFFFFFFF, 0)
    write(name, address >> 32, 1)


def _write_words(bus: Bus, register: Register, value: int, bits: int) -> None:
    for index in range((bits + 31) // 32):
        bus.write(register.address(index), value >> 32 * index & 0xFFFFFFFF)
