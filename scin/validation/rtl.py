"""A case on RTL."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hw.spec.config import AXI_BOUNDARY_BYTES
from hw.spec.instruction import Instruction, Opcode
from hw.spec.status import Status, first_failure
from models.simulator.work import Instruction as SimulatedInstruction
from scin.collectives.programs import build
from scin.host.driver import Driver, Progress
from scin.host.simulator import Simulator
from scin.validation.cases import TRAFFIC_CYCLES, Case

FETCH_CYCLES = 3
ISSUE_CYCLES = 1
"""From the time an instruction may be fetched, and from its start, to its first read."""


@dataclass(frozen=True)
class Observation:
    """What the simulator has to be told of a case, and what it has to find.

    ``since_reset``: cycles at time 0, when the last endpoint arrived, traffic began, or else
    the first instruction could be fetched. From time 0: ``starts`` of each instruction,
    ``traffic_starts``, ``arrivals`` of each endpoint at the barrier.
    """

    cycles: int
    since_reset: int
    starts: list[int]
    traffic_starts: list[int]
    arrivals: list[int] | None
    status: Status


def observe(
    simulator: Simulator, case: Case, *, gap: int = 0, progress: Progress = lambda: None
) -> Observation:
    """``gap``: cycles between the arrivals of two endpoints, beside those that the driver takes."""
    config, members = case.config, range(case.config.system.endpoints)
    driver = Driver(simulator, config, progress=progress)
    driver.configure()
    driver.open_whole_memory()
    for memory in simulator.memory:
        memory[config.flag_base : config.flag_base + AXI_BOUNDARY_BYTES] = 0
    reset = simulator.counter_origin()
    traffic = [begun - reset for begun in _start_traffic(simulator, driver, case)]
    for instruction in case.instructions:
        for part in _program(case, instruction):
            driver.submit(part, instruction.controller)
    if case.synchronised:
        for endpoint in members:
            if endpoint and gap:
                simulator.step(gap)
            driver.arrive(endpoint, 0)
    records = [driver.wait_completion() for _ in case.instructions]
    records.sort(key=lambda record: record.controller)
    first = min(record.first_read for record in records)
    if case.synchronised:
        for endpoint in members:
            driver.wait_flag(endpoint)
        moments = [driver.endpoint_moments(i, ("ARRIVED_AT", "VISIBLE_AT")) for i in members]
        origin = max(arrived for arrived, _ in moments)
        arrivals = [arrived - origin for arrived, _ in moments]
        cycles = max(visible for _, visible in moments) - origin
        starts = [0 for _ in records]
    else:
        origin = min([first - FETCH_CYCLES, *traffic])
        arrivals = None
        cycles = max(record.last_response for record in records) - first
        starts = [record.first_read - ISSUE_CYCLES - origin for record in records]
    return Observation(
        cycles,
        origin,
        starts,
        [begun - origin for begun in traffic],
        arrivals,
        first_failure(record.status for record in records),
    )


def _start_traffic(simulator: Simulator, driver: Driver, case: Case) -> list[int]:
    """Cycles of the simulation at which each endpoint began."""
    # Packets that cross no 4 KiB boundary, as the simulator takes all to be.
    base = case.config.flag_base // 2 // AXI_BOUNDARY_BYTES * AXI_BOUNDARY_BYTES
    begun = []
    for item in case.traffic:
        driver.start_traffic(
            item.source,
            item.destination,
            address=base,
            packet_bytes=item.packet_bytes,
            span=case.config.fabric.max_payload_bytes,
        )
        begun.append(simulator.cycle)
    if case.traffic:
        simulator.step(TRAFFIC_CYCLES)
    return begun


def _program(case: Case, item: SimulatedInstruction) -> list[Instruction]:
    """The driver's instructions for one of the case: its tenants have buffers of their own."""
    config = case.config
    program = build(
        config,
        "allreduce",
        item.length,
        item.data_type,
        item.reduce_op,
        synchronise=item.synchronised,
    )
    offset = item.controller * program.layout.footprint
    offset = -(-offset // AXI_BOUNDARY_BYTES) * AXI_BOUNDARY_BYTES
    names = ("sources", "destinations", "participants")
    masks = {name: mask for name in names if (mask := getattr(item, name)) is not None}
    parts = []
    for part in program.instructions:
        part = replace(part, addresses=tuple(address + offset for address in part.addresses))
        parts.append(part if part.opcode == Opcode.SCALES else replace(part, **masks))
    return parts
