"""A case on RTL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hw.spec.config import AXI_BOUNDARY_BYTES
from hw.spec.instruction import ReduceOp
from hw.spec.status import Status
from models.simulator.system import Instruction
from scin.collectives import build
from scin.driver import Driver, Progress
from scin.simulator import Simulator
from scin.validation.cases import TRAFFIC_START, Case

DRAIN_CYCLES = 5000
FETCH_CYCLES = 3
"""From the time an instruction may be fetched to its first read."""


@dataclass(frozen=True)
class Observation:
    """``starts``: of each instruction, cycles after the first one's first read; ``since_reset``:
    cycles at time 0 of the case; ``arrivals``: of each endpoint at the barrier, from time 0."""

    cycles: int
    starts: list[int]
    since_reset: int
    arrivals: list[int] | None
    status: Status


def observe(simulator: Simulator, case: Case, *, progress: Progress = lambda: None) -> Observation:
    config, members = case.config, range(case.config.system.endpoints)
    driver = Driver(simulator, config, progress=progress)
    driver.configure()
    driver.open_whole_memory()
    for memory in simulator.memory:
        memory[config.flag_base : config.flag_base + AXI_BOUNDARY_BYTES] = 0
    for item in case.traffic:
        for name, value in (
            ("TRAFFIC_DESTINATION", item.destination),
            ("TRAFFIC_ADDRESS", config.flag_base // 2),
            ("TRAFFIC_BYTES", item.packet_bytes),
            ("TRAFFIC_SPAN", config.fabric.max_payload_bytes),
            ("TRAFFIC_CONTROL", 1),
        ):
            driver.write_endpoint(item.source, name, value)
    if case.traffic:
        simulator.step(TRAFFIC_START)
    for instruction in case.instructions:
        for part in _program(case, instruction):
            driver.submit(part, instruction.controller)
    if case.synchronised:
        for endpoint in members:
            driver.arrive(endpoint, 0)
    records = [driver.wait_completion() for _ in case.instructions]
    records.sort(key=lambda record: record.controller)
    first = min(record.first_read for record in records)
    cycles = max(record.last_response for record in records) - first
    origin = first - FETCH_CYCLES
    arrivals = None
    if case.synchronised:
        for endpoint in members:
            driver.wait_flag(endpoint)
        moments = [driver.read_endpoint(i, "ARRIVED_AT") for i in members]
        origin = max(moments)
        arrivals = [moment - origin for moment in moments]
        cycles = max(driver.read_endpoint(i, "VISIBLE_AT") for i in members) - origin
    for item in case.traffic:
        driver.write_endpoint(item.source, "TRAFFIC_CONTROL", 0)
    if case.traffic:
        simulator.step(DRAIN_CYCLES)
    failed = [record.status for record in records if record.status != Status.OK]
    return Observation(
        cycles,
        [record.first_read - first for record in records],
        origin,
        arrivals,
        failed[0] if failed else Status.OK,
    )


def _program(case: Case, item: Instruction) -> list[dict[str, Any]]:
    """The driver's instructions for one of the case: its tenants have buffers of their own."""
    config = case.config
    program = build(
        config,
        "allreduce",
        item.length,
        item.data_type,
        ReduceOp.SUM,
        synchronise=item.synchronised,
    )
    offset = item.controller * program.layout.footprint
    offset = -(-offset // AXI_BOUNDARY_BYTES) * AXI_BOUNDARY_BYTES
    parts = []
    for part in program.instructions:
        part = part | {"addresses": [address + offset for address in part["addresses"]]}
        for name in ("sources", "destinations", "participants"):
            mask = getattr(item, name)
            if mask is not None and name in part:
                part[name] = mask
        parts.append(part)
    return parts
