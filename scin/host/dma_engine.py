"""Driver of one DMA engine: its ring in memory, its doorbell, its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw.spec.config import AXI_BOUNDARY_BYTES
from hw.spec.dma import COMMAND_BYTES, ENGINE, ENGINE_BYTES, Command, EngineState
from hw.spec.registers import PAGE_BYTES, dma_page, extended
from hw.spec.status import Status
from scin.errors import RefusedError
from scin.host.driver import Driver, read_register, write_address

RING_COMMANDS = AXI_BOUNDARY_BYTES // COMMAND_BYTES
"""By default a ring fills 4 KiB."""

COUNT_LIMIT = 1 << 32
"""Commands are counted modulo this."""


@dataclass(frozen=True)
class EngineOutcome:
    """How the commands since the last reset ended; ``failed`` counts from it, modulo 2^32."""

    status: Status
    failed: int | None


@dataclass(frozen=True)
class Moments:
    """Whole cycles of the endpoint's counter at which the engine passed the phases of the latest
    commands, less than 2^32 cycles ago."""

    rung: int
    fetched: int
    first_read: int
    last_write: int
    signalled: int


class EngineDriver:
    """Engine ``engine`` of ``endpoint``, whose memory is ``memory``.

    The ring lies at ``ring_base``, by default below the completion flags, a page per engine.
    """

    def __init__(
        self,
        driver: Driver,
        endpoint: int,
        engine: int,
        memory: np.ndarray,
        *,
        ring_base: int | None = None,
        ring_commands: int = RING_COMMANDS,
    ) -> None:
        config = driver.config
        if not 0 <= engine < config.dma.engines:
            raise ValueError(f"engine {engine}: must be below dma.engines = {config.dma.engines}")
        self.driver = driver
        self.endpoint, self.engine = endpoint, engine
        self.ring_base = (
            config.flag_base - AXI_BOUNDARY_BYTES * (engine + 1) if ring_base is None else ring_base
        )
        self.ring_commands = ring_commands
        self._memory = memory
        self._page = PAGE_BYTES * dma_page(config.system.endpoints, endpoint)
        self._written = 0
        self.reset()

    def address(self, name: str, index: int = 0) -> int:
        address: int = self._page + ENGINE_BYTES * self.engine + ENGINE[name].address(index)
        return address

    def read(self, name: str) -> int:
        return read_register(
            self.driver.bus.read, ENGINE[name], self._page + ENGINE_BYTES * self.engine
        )

    def write(self, name: str, value: int, index: int = 0) -> None:
        self.driver.bus.write(self.address(name, index), value)

    def reset(self) -> None:
        """Forget commands and failures; set up the ring."""
        self.write("RESET", 1)
        self._wait_idle("its reset")
        write_address(self.write, "RING_BASE", self.ring_base)
        self.write("RING_SIZE", self.ring_commands)
        self.write("TIMEOUT", self.driver.config.dma.timeout_cycles)
        self._written = 0

    def queue(self, commands: Sequence[Command]) -> None:
        """Put commands into the ring; the doorbell is not rung."""
        for command in commands:
            place = self.ring_base + COMMAND_BYTES * (self._written % self.ring_commands)
            word = command.pack().to_bytes(COMMAND_BYTES, "little")
            self._memory[place : place + COMMAND_BYTES] = np.frombuffer(word, np.uint8)
            self._written += 1

    def ring(self) -> None:
        """Let the engine know of everything queued; one that has failed refuses."""
        self.write("DOORBELL", self._written % COUNT_LIMIT)

    def submit(self, commands: Sequence[Command]) -> None:
        """Queue and ring, in portions the ring has room for. Nothing more is queued for an engine
        that has failed; :meth:`wait` tells."""
        left = list(commands)
        while left:
            room = self.ring_commands - (self._written - self.read("FETCHED")) % COUNT_LIMIT
            if room:
                self.queue(left[:room])
                try:
                    self.ring()
                except RefusedError:
                    return
                left = left[room:]
            elif self.state == EngineState.HALTED:
                return

    def submit_inline(self, command: Command) -> None:
        """Write one command to the doorbell itself."""
        word = command.pack()
        values = [word >> 32 * i & 0xFFFFFFFF for i in range(ENGINE["INLINE"].count)]
        self.driver.bus.write_many(self.address("INLINE"), values)

    def wait(self) -> EngineOutcome:
        """Until every command is complete, or one has failed."""
        self._wait_while(EngineState.RUNNING, "its commands")
        found = ENGINE["STATE"].unpack(self.read("STATE"))
        if found["state"] == EngineState.IDLE:
            return EngineOutcome(Status.OK, None)
        return EngineOutcome(Status(found["status"]), self.read("FAILED"))

    def run(self, commands: Sequence[Command]) -> EngineOutcome:
        self.submit(commands)
        return self.wait()

    @property
    def state(self) -> EngineState:
        return EngineState(ENGINE["STATE"].unpack(self.read("STATE"))["state"])

    def moments(self) -> Moments:
        names = ("RUNG_AT", "FETCHED_AT", "FIRST_READ_AT", "LAST_WRITE_AT", "SIGNALLED_AT")
        moments = [self.read(name) for name in names]
        now = self.driver.read_endpoint(self.endpoint, "CYCLES")
        return Moments(*(extended(moment, now) for moment in moments))

    def _wait_idle(self, what: str) -> None:
        for state in (EngineState.RUNNING, EngineState.HALTED):
            self._wait_while(state, what)

    def _wait_while(self, state: EngineState, what: str) -> None:
        name = f"DMA engine {self.engine} of endpoint {self.endpoint}: {what}"
        mask = ENGINE["STATE"].mask("state")
        self.driver.wait_while(self.address("STATE"), mask, ENGINE["STATE"].pack(state=state), name)
