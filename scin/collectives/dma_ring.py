"""All-Reduce around a ring of DMA engines: the software baseline, on the same hardware.

Each endpoint sends a chunk to the next: data, then, when they are visible, a flag. Where a
flag arrives, an adder beside the memory, a stand-in for a compute unit, adds the chunk to its
own with one rounding, a row per cycle, and releases the copy of the next step. N - 1 steps
reduce, N - 1 more gather. Chunks are cut into slices, on engines in turn, so that adding,
sending and waiting overlap. Every command is launched ahead; no host takes part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from hw.spec.config import AXI_BOUNDARY_BYTES, Config
from hw.spec.dma import Command, Compare, SignalKind
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from hw.spec.status import Status, first_failure
from models.baselines.algorithms import ring_bytes
from models.formats.floating import reduce
from scin.collectives.dma_plans import LINE_BYTES, Layout
from scin.collectives.dma_runner import SETTLE_CYCLES, STATE_EVERY, DmaRunner
from scin.errors import CapacityError
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place, Signal
from scin.host.timeline import Timeline
from scin.report.measurement import Measurement

ALGORITHM = "dma-ring"
ELEMENT_BYTES = 2
SLICES_PER_ENGINE = 2
SMALLEST_SLICE = 4096
ADDER_LATENCY = 8
"""Cycles, as of the in-switch accelerator's adder."""

WATCH_CYCLES = 4
"""From one look of an adder at its flags to the next."""


@dataclass(frozen=True)
class Ring:
    """Where things lie. Byte offsets in every endpoint's memory."""

    config: Config
    count: int
    """Elements."""

    @property
    def endpoints(self) -> int:
        return self.config.system.endpoints

    @property
    def steps(self) -> int:
        return 2 * (self.endpoints - 1)

    @property
    def slices(self) -> int:
        chunk = self.count * ELEMENT_BYTES // self.endpoints
        most = SLICES_PER_ENGINE * self.config.dma.engines
        return max(1, min(most, chunk // SMALLEST_SLICE))

    @property
    def footprint(self) -> int:
        return self.staging(self.endpoints - 1)

    def part(self, chunk: int, piece: int) -> tuple[int, int]:
        """Offset and bytes of slice ``piece`` of a chunk."""
        low, high = (self.count * (chunk + end) // self.endpoints for end in (0, 1))
        first, last = (low + (high - low) * (piece + end) // self.slices for end in (0, 1))
        return first * ELEMENT_BYTES, (last - first) * ELEMENT_BYTES

    def staging(self, step: int) -> int:
        """Where the chunk of a reducing step lands; a buffer per step, so none is reused."""
        room = (self.count // self.endpoints + 1) * ELEMENT_BYTES
        return sum(
            -(-size // LINE_BYTES) * LINE_BYTES
            for size in (self.count * ELEMENT_BYTES, *[room] * step)
        )

    def flag(self, step: int, piece: int) -> int:
        return Layout.of(self.config).signal(0) + 8 * (step * self.slices + piece)

    def go(self, step: int, piece: int) -> int:
        return self.flag(self.steps + step, piece)

    def arrives(self, rank: int, step: int, piece: int) -> tuple[int, int]:
        """Address and bytes of what ``rank`` receives in a step."""
        if step >= self.endpoints - 1:
            return self.part((rank - (step - self.endpoints + 1)) % self.endpoints, piece)
        chunk = (rank - 1 - step) % self.endpoints
        offset, length = self.part(chunk, piece)
        return self.staging(step) + offset - self.part(chunk, 0)[0], length

    def sends(self, rank: int, step: int, piece: int) -> tuple[int, int]:
        gathering = step - (self.endpoints - 1)
        chunk = rank - step if gathering < 0 else rank + 1 - gathering
        return self.part(chunk % self.endpoints, piece)


class RingRunner:
    """Runs ring All-Reduces on the system of a :class:`DmaRunner`."""

    def __init__(self, runner: DmaRunner) -> None:
        self._runner = runner
        self._config, self._simulator = runner.config, runner.simulator

    def run(
        self, inputs: list[np.ndarray], data_type: DataType, reduce_op: ReduceOp, *, seed: int
    ) -> Measurement:
        """``inputs``: elements of every endpoint, as bits. Times run from the release of the
        first step to the last flag in memory."""
        config = self._config
        ring = Ring(config, inputs[0].size)
        size = inputs[0].nbytes
        layout = Layout.of(config)
        if ring.footprint > layout.room:
            raise CapacityError(
                f"size {size}: needs {ring.footprint} B of every endpoint's memory, of which "
                f"{layout.room} are for data"
            )
        words = slice(layout.room, layout.room + AXI_BOUNDARY_BYTES)
        for memory, content in zip(self._simulator.memory, inputs, strict=True):
            memory[:size] = content.view(np.uint8)
            memory[words] = 0
        for rank in range(ring.endpoints):
            for engine in range(config.dma.engines):
                commands = self._commands(ring, rank, engine)
                self._runner.engines[rank, engine].submit(commands)
        self._simulator.step(SETTLE_CYCLES)
        before = self._runner.flits()
        timeline = Timeline(self._simulator)
        for rank in range(ring.endpoints):
            for piece in range(ring.slices):
                self._runner.store(rank, ring.go(0, piece), 1)
            Adder(self._runner, timeline, ring, rank, data_type, reduce_op).start(0.0)
        timeline.run(limit=1 << 40)
        cycles = timeline.now
        engines, status = self._runner.engines.values(), self._runner.failure()
        if status == Status.OK:
            status = first_failure([driver.wait().status for driver in engines])
        if status != Status.OK:
            # The others would wait for ever for what does not come.
            for driver in engines:
                driver.reset()
        expected = around_ring(ring, inputs, data_type, reduce_op)
        wrong = sum(
            int((memory[:size].view(np.uint16) != expected).sum())
            for memory in self._simulator.memory
        )
        sent = [a - b for a, b in zip(self._runner.flits(), before, strict=True)]
        name = data_type.name.lower()
        return Measurement(
            op="allreduce",
            algo=ALGORITHM,
            backend="rtl",
            dtype=name,
            redop=reduce_op.name.lower(),
            endpoints=ring.endpoints,
            size_bytes=size,
            count=ring.count,
            cycles=cycles,
            time_s=cycles / (config.isa.clock_MHz * 1e6),
            wire_bytes=ring_bytes(ring.endpoints, size),
            link_GBps=config.link.gigabytes_per_second,
            wrong=wrong,
            status=status.name,
            sync_included=True,
            seed=seed,
            wire_format=name,
            payload_flits_sent=max(sent),
            payload_flits_received=max(sent),
        )

    def _commands(self, ring: Ring, rank: int, engine: int) -> list[Command]:
        """The slices of one engine, step by step."""
        following = (rank + 1) % ring.endpoints
        commands = []
        for step in range(ring.steps):
            for piece in range(engine, ring.slices, self._config.dma.engines):
                released = ring.go(step, piece)
                if step >= ring.endpoints:
                    # What is only passed on goes as soon as it is there.
                    released = ring.flag(step - 1, piece)
                commands.append(dma.poll(Place(rank, released), Compare.EQUAL, 1))
                source, length = ring.sends(rank, step, piece)
                target, _ = ring.arrives(following, step, piece)
                flag = Place(following, ring.flag(step, piece))
                if length == 0:
                    commands.append(dma.fence(flag, 1))
                    continue
                signal = Signal(flag, 1, SignalKind.WRITE)
                commands.append(
                    dma.copy(Place(rank, source), Place(following, target), length, signal)
                )
        return commands


class Adder:
    """The compute unit of one endpoint: adds slices in the order in which they arrive."""

    def __init__(
        self,
        runner: DmaRunner,
        timeline: Timeline,
        ring: Ring,
        rank: int,
        data_type: DataType,
        reduce_op: ReduceOp,
    ) -> None:
        self._runner, self._timeline, self._ring, self._rank = runner, timeline, ring, rank
        self._data_type, self._reduce_op = data_type, reduce_op
        steps = ring.endpoints - 1
        self._waiting = [(step, piece) for step in range(steps) for piece in range(ring.slices)]
        self._last = [(ring.steps - 1, piece) for piece in range(ring.slices)]
        self._looks = 0

    def start(self, time: float) -> None:
        self._timeline.at(time, partial(self._look, time))

    def _look(self, time: float) -> None:
        """Take the first slice that is there; without any, look again soon, unless an engine
        has failed."""
        there = next((item for item in self._waiting if self._arrived(*item)), None)
        if there is not None:
            self._waiting.remove(there)
            flit = self._runner.config.fabric.flit_bytes
            _, length = self._ring.arrives(self._rank, *there)
            ready = time + ADDER_LATENCY + -(-length // flit)
            self._timeline.at(ready, partial(self._add, *there, ready))
        elif not (not self._waiting and all(self._arrived(*item) for item in self._last)):
            self._looks += 1
            if self._looks % STATE_EVERY == 0 and self._runner.failure() != Status.OK:
                return
            self.start(time + WATCH_CYCLES)

    def _add(self, step: int, piece: int, time: float) -> None:
        memory = self._runner.simulator.memory[self._rank]
        staged, length = self._ring.arrives(self._rank, step, piece)
        own, _ = self._ring.sends(self._rank, step + 1, piece)
        operands = np.stack(
            [memory[start : start + length].view(np.uint16) for start in (own, staged)]
        )
        if length:
            total = reduce(operands, self._data_type, self._reduce_op)
            memory[own : own + length] = total.view(np.uint8)
        self._runner.store(self._rank, self._ring.go(step + 1, piece), 1)
        self.start(time)

    def _arrived(self, step: int, piece: int) -> bool:
        return self._runner.load(self._rank, self._ring.flag(step, piece)) != 0


def around_ring(
    ring: Ring, inputs: list[np.ndarray], data_type: DataType, reduce_op: ReduceOp
) -> np.ndarray:
    """What the ring must leave everywhere: each chunk summed from its first sender on, with a
    rounding per hop."""
    result = np.empty_like(inputs[0])
    for chunk in range(ring.endpoints):
        low, high = (ring.count * (chunk + end) // ring.endpoints for end in (0, 1))
        total = inputs[chunk][low:high]
        for hop in range(1, ring.endpoints):
            own = inputs[(chunk + hop) % ring.endpoints][low:high]
            total = reduce(np.stack([own, total]), data_type, reduce_op) if high > low else total
        result[low:high] = total
    return result
