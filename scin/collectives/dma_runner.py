"""Runs DMA collectives on the simulated hardware and measures their phases."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np

from hw.spec.config import Config
from hw.spec.dma import ENGINE, EngineState
from hw.spec.status import Status, first_failure
from models.dma.phases import Phases
from models.wire import busiest_link_bytes
from scin.collectives.dma_plans import Layout, Plan, Work, launched_ahead
from scin.errors import CapacityError
from scin.host.dma_engine import EngineDriver, Moments
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.host.timeline import HostModel, Timeline
from scin.report.dma_measurement import DmaMeasurement

SETTLE_CYCLES = 400
"""For engines that were launched ahead to reach their poll."""

INLINE_CYCLES = ENGINE["INLINE"].count
"""To write a command to the doorbell: a word per cycle."""

STATE_EVERY = 256
"""Polls of a signal between two looks at the engines' states."""


def check_room(config: Config, plan: Plan) -> None:
    """Raise :class:`CapacityError` if a plan needs more of the memories than is for data."""
    room = Layout.of(config).room
    if plan.footprint > room:
        raise CapacityError(
            f"size {plan.size}: needs {plan.footprint} B of every endpoint's memory, of which "
            f"{room} are for data (endpoint.memory_bytes = {config.endpoint.memory_bytes})"
        )


class DmaRunner:
    """Executes plans on one simulation. ``inline``: commands go through the doorbell."""

    def __init__(
        self,
        config: Config,
        simulator: Simulator,
        driver: Driver,
        *,
        host: HostModel | None = None,
        inline: bool = False,
    ) -> None:
        self.config, self.simulator, self.driver = config, simulator, driver
        self.host = host or HostModel()
        self.inline = inline
        driver.open_whole_memory()
        self.engines = {
            (endpoint, engine): EngineDriver(driver, endpoint, engine, memory)
            for endpoint, memory in enumerate(simulator.memory)
            for engine in range(config.dma.engines)
        }
        self._clock_offset = simulator.counter_origin()

    def run(self, plan: Plan, *, prelaunch: bool = False, seed: int = 1) -> DmaMeasurement:
        """Fill the memories, execute, compare every output piece at every endpoint."""
        check_room(self.config, plan)
        layout = Layout.of(self.config)
        before = self._fill(plan, layout, seed)
        sent = self.flits()
        finished, released, origin, status = self._execute(plan, layout, prelaunch)
        injected = [now - then for now, then in zip(self.flits(), sent, strict=True)]
        cycles = round(max(finished))
        endpoints = self.config.system.endpoints
        return DmaMeasurement(
            op=plan.operation,
            variant=plan.variant,
            prelaunch=prelaunch,
            backend="rtl",
            platform=self.config.name,
            endpoints=endpoints,
            size_bytes=plan.size,
            cycles=cycles,
            time_s=cycles / (self.config.isa.clock_MHz * 1e6),
            wire_bytes=busiest_link_bytes(plan.operation, "dma", endpoints, plan.size),
            link_GBps=self.config.link.gigabytes_per_second,
            wrong=self._wrong(plan, before),
            status=status.name,
            seed=seed,
            phases=self._phases(plan, origin, released, finished) if status == Status.OK else None,
            injected_flits=injected,
        )

    def _fill(self, plan: Plan, layout: Layout, seed: int) -> list[list[np.ndarray]]:
        """Random data; signals that wait; the input pieces as they are now."""
        rng = np.random.default_rng(seed)
        for endpoint, memory in enumerate(self.simulator.memory):
            memory[: plan.footprint] = rng.integers(0, 256, plan.footprint, dtype=np.uint8)
            self.store(endpoint, layout.release, 0)
            for address in plan.signals[endpoint]:
                self.store(endpoint, address, 1)
        return [
            [memory[start : start + length].copy() for start, length in pieces]
            for memory, pieces in zip(self.simulator.memory, plan.inputs, strict=True)
        ]

    def _wrong(self, plan: Plan, before: list[list[np.ndarray]]) -> int:
        return sum(
            int((memory[start : start + length] != before[endpoint][piece]).sum())
            for memory, pieces, origins in zip(
                self.simulator.memory, plan.outputs, plan.origins, strict=True
            )
            for (start, length), (endpoint, piece) in zip(pieces, origins, strict=True)
        )

    def _execute(
        self, plan: Plan, layout: Layout, prelaunch: bool
    ) -> tuple[list[float], float | None, int, Status]:
        """Times at which each endpoint's host saw its last signal, and released what was
        launched ahead; the engines' clock at the start; the first failure, if any."""
        if prelaunch:
            for work in launched_ahead(self.config, plan).works:
                self.engines[work.endpoint, work.engine].submit(work.commands)
            self.simulator.step(SETTLE_CYCLES)
        timeline = Timeline(self.simulator)
        waiters = []
        for endpoint, signals in enumerate(plan.signals):
            mine = [work for work in plan.works if work.endpoint == endpoint]
            launched = self._launch(mine, layout, timeline, prelaunch)
            waiter = Waiter(self, timeline, endpoint, signals)
            waiters.append(waiter)
            if mine:
                waiter.start(launched + waiter.interval)
        timeline.run(limit=1 << 40)
        status = first_failure([*(waiter.status for waiter in waiters), self.failure()])
        if status != Status.OK:
            for engine in self.engines.values():
                engine.reset()
        finished = [waiter.finished for waiter in waiters]
        released = self.host.access_cycles(self.config) if prelaunch else None
        return finished, released, timeline.origin - self._clock_offset, status

    def _launch(
        self, works: list[Work], layout: Layout, timeline: Timeline, prelaunch: bool
    ) -> float:
        """Enter what one host does into the timeline; when it has done all."""
        if not works:
            return 0.0
        if prelaunch:
            time = self.host.access_cycles(self.config)
            endpoint = works[0].endpoint
            timeline.at(time, partial(self.store, endpoint, layout.release, 1))
            return time
        cost = self.host.command_cycles(self.config)
        time = 0.0
        for work in works:
            engine = self.engines[work.endpoint, work.engine]
            if self.inline:
                for command in work.commands:
                    time += cost
                    # The command's words are written while it is made.
                    begin = max(time - cost, time - INLINE_CYCLES)
                    timeline.at(begin, partial(engine.submit_inline, command))
            else:
                time += cost * len(work.commands)
                engine.queue(work.commands)
                timeline.at(time, engine.ring)
        return time

    def _phases(
        self, plan: Plan, origin: int, released: float | None, finished: list[float]
    ) -> Phases:
        """Of the engine whose last write was acknowledged last; what was launched ahead
        starts with its release instead of a doorbell."""
        moments: list[tuple[Moments, float]] = [
            (self.engines[work.endpoint, work.engine].moments(), finished[work.endpoint])
            for work in plan.works
        ]
        last, seen = max(moments, key=lambda item: item[0].last_write)
        rung, *others = (
            float(moment - origin) for moment in (last.rung, last.first_read, last.last_write)
        )
        marks = [0.0, rung if released is None else released, *others, seen]
        second = 1 / (self.config.isa.clock_MHz * 1e6)
        return Phases(*((after - b) * second for b, after in itertools.pairwise(marks)))

    def failure(self, endpoint: int | None = None) -> Status:
        """Of the first engine that has failed, anywhere or at one endpoint; OK if none has."""
        for (place, _), engine in self.engines.items():
            if endpoint in (None, place) and engine.state == EngineState.HALTED:
                return engine.wait().status
        return Status.OK

    def store(self, endpoint: int, address: int, value: int) -> None:
        """Write a 64-bit word as a host does, at once."""
        self.simulator.memory[endpoint][address : address + 8].view("<u8")[0] = value

    def load(self, endpoint: int, address: int) -> int:
        """Read a 64-bit word as a host does."""
        return int(self.simulator.memory[endpoint][address : address + 8].view("<u8")[0])

    def flits(self) -> list[int]:
        """Payload flits every endpoint has sent so far."""
        members = range(self.config.system.endpoints)
        return [self.driver.read_endpoint(i, "PAYLOAD_TRANSMITTED") for i in members]


class Waiter:
    """A host that polls its endpoint's signals, one after the other, until all are zero."""

    def __init__(
        self, runner: DmaRunner, timeline: Timeline, endpoint: int, signals: list[int]
    ) -> None:
        self._runner, self._timeline = runner, timeline
        self._endpoint, self._signals = endpoint, list(signals)
        self._polls = 0
        self.interval = runner.host.access_cycles(runner.config)
        self.finished = 0.0
        self.status = Status.OK

    def start(self, time: float) -> None:
        self._timeline.at(time, partial(self._poll, time))

    def _poll(self, time: float) -> None:
        self._polls += 1
        if self._runner.load(self._endpoint, self._signals[0]) == 0:
            self._signals.pop(0)
            if not self._signals:
                self.finished = time
                return
        elif self._polls % STATE_EVERY == 0:
            self.status = self._runner.failure(self._endpoint)
            if self.status != Status.OK:
                return
        self.start(time + self.interval)
