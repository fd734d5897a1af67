"""One round of the load: two tenants' collectives, DMA copies and ordinary writes, all at once."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from hw.spec.config import AXI_BOUNDARY_BYTES, Config
from hw.spec.dma import Command
from hw.spec.fault import Fault
from hw.spec.formats import block_format, block_formats
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import Instruction, Opcode, ReduceOp
from hw.spec.registers import ENDPOINT
from hw.spec.status import Status
from models.dma.engine import EngineModel
from models.endpoint.endpoint import EndpointModel, Window
from models.isa.isa import execute
from scin.errors import RefusedError
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place
from scin.host.dma_engine import EngineDriver
from scin.host.driver import Driver
from scin.host.simulator import Simulator

LARGEST_PART = 1 << 18
PARTS = 4
"""Sums, quantized sums, copies and writes have a part of every memory each."""
QUARTERS = 4

SUM, QUANTIZED, COPIES, WRITES = range(PARTS)
"""What each part is for; the first two are also wave controllers, and identifiers of their
instructions."""


@dataclass
class Tally:
    """What has come of the rounds so far."""

    rounds: int = 0
    moved_bytes: int = 0
    wrong: int = 0
    """Bytes that are not what the golden model says."""
    lost: int = 0
    """Ordinary writes that were never answered."""
    duplicated: int = 0
    """Answers to nothing, or to what had been answered."""
    statuses: Counter[str] = field(default_factory=Counter)

    def count(self, status: Status) -> bool:
        self.statuses[status.name] += 1
        fine: bool = status == Status.OK
        return fine


class SoakLoad:
    """Rounds on one simulated system; the same seed gives the same rounds."""

    def __init__(self, config: Config, simulator: Simulator, driver: Driver, seed: int) -> None:
        self.config = config
        self.tally = Tally()
        self._simulator = simulator
        self.driver = driver
        self._rng = np.random.default_rng(seed)
        self._part = min(LARGEST_PART, config.endpoint.memory_bytes // (4 * PARTS))
        self._endpoints = config.system.endpoints
        size = PARTS * self._part
        driver.configure()
        driver.open_whole_memory()
        self._engines = [
            EngineDriver(driver, i, 0, simulator.memory[i]) for i in range(self._endpoints)
        ]
        self._models = [
            EndpointModel(config, np.zeros(size, np.uint8), [Window(0, size)])
            for _ in range(self._endpoints)
        ]
        self._before = 0

    def round(self, *, misbehaving: bool = False) -> None:
        """Start everything, wait for all of it, compare; ``misbehaving``: an endpoint answers one
        request of the accelerator as it should not."""
        self._fill()
        instructions = self._instructions()
        lists = [self._copies(endpoint) for endpoint in range(self._endpoints)]
        if misbehaving:
            victim = int(self._rng.integers(self._endpoints))
            fault = int(self._rng.integers(1, len(Fault)))
            self.driver.write_endpoint(victim, "FAULT", ENDPOINT["FAULT"].pack(fault=fault))
        targets = self._start_writes()
        for engine, commands in zip(self._engines, lists, strict=True):
            engine.submit(commands)
        for controller, parts in instructions.items():
            for part in parts:
                self.driver.submit(part, controller)
        for endpoint in range(self._endpoints):
            self.driver.arrive(endpoint, SUM)

        for _ in instructions:
            record = self.driver.wait_completion()
            done = instructions[record.identifier]
            if record.identifier == SUM:
                self._wait_flags(record.status)
            if self.tally.count(record.status):
                execute(self.config, done[0], self._models, *done[1:])
                self.tally.moved_bytes += done[0].length * self._endpoints
            else:
                self._forget(record.identifier)
        for engine, commands in zip(self._engines, lists, strict=True):
            outcome = engine.wait()
            if self.tally.count(outcome.status):
                EngineModel(self.config, engine.endpoint, self._models).execute(commands)
                self.tally.moved_bytes += sum(command.length for command in commands)
            else:
                self._forget(COPIES)
                engine.reset()
        self._finish_writes(targets)
        self._compare()
        self.tally.rounds += 1

    def _fill(self) -> None:
        """New operands everywhere, clean flags."""
        base = self.config.flag_base
        for memory, model in zip(self._simulator.memory, self._models, strict=True):
            content = self._rng.integers(0, 256, PARTS * self._part, dtype=np.uint8)
            content[WRITES * self._part :] = 0
            memory[: len(content)] = content
            memory[base : base + AXI_BOUNDARY_BYTES] = 0
            model.memory[:] = content

    def _instructions(self) -> dict[int, list[Instruction]]:
        """Of each controller: a sum that waits for all endpoints, a quantized one that does not."""
        everyone = (1 << self._endpoints) - 1

        common = Instruction(
            opcode=Opcode.COLLECTIVE,
            reduce_op=ReduceOp.SUM,
            participants=everyone,
            sources=everyone,
            destinations=everyone,
        )
        result = {
            SUM: [
                replace(
                    common,
                    identifier=SUM,
                    data_type=DataType.FP16,
                    barrier=1,
                    notify=1,
                    length=self._part,
                    addresses=(0,) * self._endpoints,
                )
            ]
        }
        if block_formats(self.config) and self.config.isa.wave_controllers > 1:
            entry = block_format(self.config, DataType.INT8)
            blocks = self._part // 2 // (entry.block_bytes * entry.ratio) * entry.ratio
            length = blocks * entry.block_bytes
            elements = replace(
                common,
                identifier=QUANTIZED,
                data_type=DataType.INT8,
                quantize=1,
                length=length,
                addresses=(self._part,) * self._endpoints,
            )
            scales = Instruction(
                opcode=Opcode.SCALES,
                length=length // entry.ratio,
                addresses=(3 * self._part // 2,) * self._endpoints,
            )
            result[QUANTIZED] = [elements, scales]
        return result

    def _copies(self, endpoint: int) -> list[Command]:
        """Push, pull and multicast, between bytes that only this endpoint's engine touches."""
        length = self._part // self._endpoints // QUARTERS
        base = COPIES * self._part + endpoint * length * QUARTERS
        after = (endpoint + 1) % self._endpoints
        everyone = (1 << self._endpoints) - 1
        return [
            dma.copy(Place(endpoint, base), Place(after, base + length), length),
            dma.copy(Place(after, base), Place(endpoint, base + 2 * length), length),
            dma.multicast(Place(endpoint, base), everyone, base + 3 * length, length),
        ]

    def _wait_flags(self, status: Status) -> None:
        """A flag may not be cleared before its endpoint has seen it, which may be after the record
        came: the flag crosses a link of its own."""
        for endpoint in range(self._endpoints):
            address = self.driver.endpoint_address(endpoint, "SYNC_STATE")
            limit = self.config.isa.timeout_cycles
            waiting = ENDPOINT["SYNC_STATE"].mask("waiting")
            seen = self.driver.bus.wait_while(address, waiting, waiting, limit=limit)
            self.tally.lost += status == Status.OK and not seen
            if not seen:
                # One that was seen just now is no wait any more.
                with contextlib.suppress(RefusedError):
                    self.driver.cancel(endpoint, 0)

    def _start_writes(self) -> list[list[int]]:
        """Ordinary packets of every endpoint, to one or several; returns their destinations."""
        payload = self.config.fabric.max_payload_bytes
        span = self._part // self._endpoints
        targets = []
        for endpoint in range(self._endpoints):
            multicast = bool(self._rng.integers(2))
            mask = int(self._rng.integers(1, 1 << self._endpoints))
            one = int(self._rng.integers(self._endpoints))
            targets.append(
                [i for i in range(self._endpoints) if mask >> i & 1] if multicast else [one]
            )
            self.driver.start_traffic(
                endpoint,
                mask if multicast else one,
                address=WRITES * self._part + endpoint * span,
                packet_bytes=payload,
                span=span,
                packets=span // payload,
                multicast=multicast,
            )
        return targets

    def _finish_writes(self, targets: list[list[int]]) -> None:
        """Wait for the answers, for as long as an endpoint may take; expect what was written."""
        span = self._part // self._endpoints
        packets = span // self.config.fabric.max_payload_bytes
        flit = self.config.fabric.flit_bytes
        for endpoint, receivers in enumerate(targets):
            expected = packets * len(receivers)
            address = self.driver.endpoint_address(endpoint, "TRAFFIC_ANSWERED")
            answered = self.driver.bus.read(address)
            while answered < expected and self.driver.bus.wait_while(
                address, 0xFFFFFFFF, answered & 0xFFFFFFFF, limit=self.config.isa.timeout_cycles
            ):
                answered = self.driver.bus.read(address)
            self.tally.lost += max(0, expected - answered)
            self.tally.duplicated += max(0, answered - expected)
            self.tally.moved_bytes += answered * self.config.fabric.max_payload_bytes
            if self.driver.read_endpoint(endpoint, "TRAFFIC_ERRORS"):
                self.tally.statuses["TRAFFIC_ERRORS"] += 1
            words = np.repeat(
                np.arange(packets * self.config.rows_per_packet, dtype=np.uint32), flit // 4
            )
            base = WRITES * self._part + endpoint * span
            for receiver in receivers if answered == expected else []:
                self._models[receiver].memory[base : base + words.nbytes] = (
                    words | endpoint << 24
                ).view(np.uint8)
            if answered != expected:
                self._copy_over(base, span)

    def _forget(self, part: int) -> None:
        """After an error the contents of the destinations are undefined."""
        self._copy_over(part * self._part, self._part)

    def _copy_over(self, base: int, size: int) -> None:
        for memory, model in zip(self._simulator.memory, self._models, strict=True):
            model.memory[base : base + size] = memory[base : base + size]

    def _compare(self) -> None:
        for memory, model in zip(self._simulator.memory, self._models, strict=True):
            self.tally.wrong += int((memory[: len(model.memory)] != model.memory).sum())
        strays = self.driver.read_switch("STRAY_RESPONSES")
        self.tally.duplicated += strays - self._before
        self._before = strays
