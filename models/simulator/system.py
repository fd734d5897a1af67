"""The whole system, cycle by cycle.

Every component is a record of counters; a flit is an integer. Components are visited in an
order in which each sees the others as they were when the cycle began, as registers do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hw.formats import block_format, is_block_scaled
from hw.formats.data_type import DataType
from hw.spec.config import Config
from models.simulator import crossbar, endpoint, isa, link, reduction
from models.simulator.compiled import compiled, entry_point
from models.simulator.link import NOTHING
from models.simulator.queues import Queues
from models.simulator.timing import CHANNELS, CORE_REQUEST, CORE_RESPONSE, Timing

BARRIER_CYCLES = 1
"""Beside the link: from the arrival of the last one until the barrier is met."""

SHUFFLE_PERIOD = (1 << 16) - 1


@dataclass(frozen=True)
class Instruction:
    """One collective of the accelerator. ``length``: bytes of elements. ``synchronised``: begins
    with a barrier, whose last participant arrives at ``start``, and ends with a flag; otherwise
    it just begins at ``start``. Masks of endpoints; None: all."""

    length: int
    data_type: DataType = DataType.FP16
    controller: int = 0
    sources: int | None = None
    destinations: int | None = None
    participants: int | None = None
    synchronised: bool = True
    start: int = 0


@dataclass(frozen=True)
class Traffic:
    """Ordinary writes without end from one endpoint to another, ``packet_bytes`` each, which
    begin at ``start``."""

    source: int
    destination: int
    packet_bytes: int
    start: int = 0


@dataclass(frozen=True)
class Outcome:
    """Times in cycles. Of each instruction: first read, first data at the switch, first and last
    row reduced, last response counted; ``visible``: the last completion flag is visible. Per
    endpoint: rows written by ordinary traffic and by the accelerator; flits of its link."""

    cycles: int
    first_read: list[int]
    first_data: list[int]
    first_row: list[int]
    last_write: list[int]
    last_response: list[int]
    visible: int
    table_wait: list[int]
    core_rows: list[int]
    isa_rows: list[int]
    flits_up: list[int] = field(default_factory=list)
    flits_down: list[int] = field(default_factory=list)

    @property
    def unsynchronised(self) -> int:
        """From the first read to the last response, all instructions together."""
        return max(self.last_response) - min(self.first_read)


class SimulationError(RuntimeError):
    """The simulated time ran out."""


def _noise(cycles: int) -> int:
    """The random numbers of ``hw/endpoint/shuffle.py`` after so many cycles."""
    noise = endpoint.SHUFFLE_SEED
    for _ in range(cycles % SHUFFLE_PERIOD):
        noise = (noise >> 1) ^ (endpoint.SHUFFLE_TAPS if noise & 1 else 0)
    return noise


class State(NamedTuple):
    ups: np.ndarray
    downs: np.ndarray
    endpoints: np.ndarray
    lanes: np.ndarray
    ports: np.ndarray
    controllers: np.ndarray
    scheduler: np.ndarray
    instructions: np.ndarray
    tables: isa.Tables
    queues: Queues


def simulate(
    config: Config,
    instructions: list[Instruction],
    traffic: list[Traffic] | None = None,
    *,
    limit: int = 1 << 40,
    cycles: int | None = None,
    since_reset: int = 0,
    arrivals: list[int] | None = None,
) -> Outcome:
    """Run until all instructions are complete, or for ``cycles`` cycles.

    ``since_reset``: how long the hardware had run when time 0 came; only endpoints that shuffle
    their answers, ``endpoint.shuffle_slots`` > 1, are different then. ``arrivals``: when each
    endpoint arrived and began to poll its flag; by default all at the start of the first
    synchronised instruction.
    """
    timing = Timing.of(config)
    state = _build(config, timing, instructions, traffic or [])
    waits = [item.start for item in instructions if item.synchronised]
    if waits:
        first_poll = timing.poll_interval + endpoint.POLL_CYCLES
        moments = arrivals or [min(waits)] * timing.ports
        state.endpoints["poll"] = [moment + first_poll for moment in moments]
    if timing.shuffle > 1:
        state.endpoints["noise"] = _noise(since_reset)
    flags = sum(item.synchronised for item in instructions)
    end = _run(timing, state, flags, cycles if cycles is not None else limit)
    if end == limit and cycles is None:
        raise SimulationError(f"not complete after {limit} simulated cycles")
    items, ends = state.instructions, state.endpoints
    return Outcome(
        cycles=int(end),
        first_read=items["first_read"].tolist(),
        first_data=items["first_data"].tolist(),
        first_row=items["first_row"].tolist(),
        last_write=items["last_write"].tolist(),
        last_response=items["last_response"].tolist(),
        visible=int(ends["visible"].max()),
        table_wait=items["table_wait"].tolist(),
        core_rows=ends["rows"][:, endpoint.CORE].tolist(),
        isa_rows=ends["rows"][:, endpoint.ISA].tolist(),
        flits_up=state.ups["flits"].tolist(),
        flits_down=state.downs["flits"].tolist(),
    )


class _Depths(list):
    """Depths of queues to be; ``new`` gives the number of another."""

    def new(self, depth: int) -> int:
        self.append(depth)
        return len(self) - 1


def _build(
    config: Config, timing: Timing, instructions: list[Instruction], traffic: list[Traffic]
) -> State:
    ports = timing.ports
    depths = _Depths()
    state = State(
        ups=np.zeros(ports, link.END),
        downs=np.zeros(ports, link.END),
        endpoints=np.zeros(ports, endpoint.ENDPOINT),
        lanes=np.zeros((CHANNELS, ports), crossbar.LANE),
        ports=np.zeros(ports, isa.PORT),
        controllers=np.zeros(timing.controllers, isa.CONTROLLER),
        scheduler=np.zeros(1, reduction.SCHEDULER),
        instructions=np.zeros(len(instructions), isa.INSTRUCTION),
        tables=_tables(config, timing),
        queues=Queues.of([]),
    )
    for ends, fars, send, receive in (
        (state.ups, state.downs, timing.up_depth, timing.down_depth),
        (state.downs, state.ups, timing.down_depth, timing.up_depth),
    ):
        for end, far in zip(ends, fars, strict=True):
            end["offer"] = NOTHING
            end["sent"] = NOTHING
            end["credits"] = send
            end["urgent"] = [depth // 2 for depth in receive]
            end["arrives"] = [depths.new(depth) for depth in send]
            end["grants"] = far["far_grants"] = depths.new(timing.link + 2)
            end["last_set"] = link.SETS - 1
            end["last_in_set"] = link.PER_SET - 1
    _endpoints(timing, state, traffic, depths, config.fabric.flit_bytes)
    state.lanes["holder"] = NOTHING
    state.lanes["turn"] = ports - 1
    for channel in (CORE_REQUEST, CORE_RESPONSE):
        for index in range(ports):
            state.lanes[channel, index]["buffer"] = depths.new(crossbar.BUFFER)
    for port in state.ports:
        port["room"] = timing.writeback_rows
        port["jobs"] = depths.new(reduction.JOB_QUEUE)
        port["rows"] = depths.new(timing.writeback_rows + 1)
        port["answered"] = isa.NEVER - 1
    for index, controller in enumerate(state.controllers):
        controller["wave_queue"] = depths.new(max(2, timing.waves))
        mine = [k for k, item in enumerate(instructions) if item.controller == index]
        controller["following"] = mine[0] if mine else NOTHING
    state.scheduler["turn"] = timing.controllers - 1
    state.scheduler["issue_turn"] = timing.controllers - 1
    state.scheduler["job_turn"] = 1
    for item, given in zip(state.instructions, instructions, strict=True):
        _fill_instruction(config, timing, item, given)
    return state._replace(queues=Queues.of(depths))


def _tables(config: Config, timing: Timing) -> isa.Tables:
    entries = timing.waves * timing.controllers
    packets = timing.packets_per_wave + config.scale_packets_per_wave
    return isa.Tables(
        np.zeros((timing.ports, entries, packets), np.int64),
        np.zeros((timing.ports, entries), np.int64),
        np.zeros((timing.ports, entries), np.int64),
    )


def _endpoints(
    timing: Timing, state: State, traffic: list[Traffic], depths: _Depths, flit_bytes: int
) -> None:
    room = 2 * timing.packet_rows + 16
    for end in state.endpoints:
        end["slot"] = NOTHING
        end["chosen"] = end["emptied"] = end["holder"] = NOTHING
        end["last_grant"] = endpoint.MAX_SHUFFLE
        end["noise"] = endpoint.SHUFFLE_SEED
        end["last_writer"] = endpoint.ISA
        end["poll"] = endpoint.NEVER
        end["last_reader"] = endpoint.POLL
        end["room"] = room
        end["headers"] = depths.new(endpoint.READ_HEADERS)
        end["beats"] = depths.new(room)
        end["reads"] = depths.new(endpoint.READS_UNDER_WAY)
        for which in (endpoint.CORE, endpoint.ISA):
            end["answers"][which] = depths.new(endpoint.ANSWERS_WAITING)
            end["written"][which] = depths.new(64)
    for item in traffic:
        end = state.endpoints[item.source]
        end["traffic_rows"] = item.packet_bytes // flit_bytes
        end["traffic_destination"] = item.destination
        end["traffic_start"] = item.start


def _fill_instruction(config: Config, timing: Timing, item, given: Instruction) -> None:
    flit = config.fabric.flit_bytes
    item["controller"] = given.controller
    item["rows"] = -(-given.length // flit)
    item["block_rows"] = 1
    if is_block_scaled(given.data_type):
        entry = block_format(config, given.data_type)
        item["ratio"] = entry.ratio
        item["block_rows"] = entry.rows_per_block(flit)
    for name in ("sources", "destinations", "participants"):
        mask = getattr(given, name)
        item[name][: timing.ports] = [
            mask is None or mask >> index & 1 for index in range(timing.ports)
        ]
    item["notify"] = given.synchronised
    item["barrier"] = given.start
    if given.synchronised:
        item["barrier"] += timing.link + BARRIER_CYCLES
    for name in ("first_read", "first_data", "first_row", "last_write", "last_response", "done"):
        item[name] = isa.NEVER


@entry_point
def _run(timing: Timing, state: State, flags: int, limit: int) -> int:
    now = 0
    while now < limit:
        if now % 64 == 0 and _complete(state, flags):
            return now
        _cycle(timing, state, now)
        now += 1
    return now


@compiled
def _complete(state: State, flags: int) -> bool:
    if len(state.instructions) == 0:
        return False
    for index in range(len(state.instructions)):
        if state.instructions[index].done == isa.NEVER:
            return False
    seen = 0
    expected = 0
    for index in range(len(state.instructions)):
        item = state.instructions[index]
        if item.notify:
            for port in range(len(state.ports)):
                expected += item.participants[port]
    for index in range(len(state.endpoints)):
        seen += state.endpoints[index].flags
    return seen == expected


@compiled
def _cycle(timing: Timing, state: State, now: int) -> None:
    queues = state.queues
    for i in range(timing.ports):
        up, down = state.ups[i], state.downs[i]
        endpoint.offer(state.endpoints[i], i, up, queues, now)
        crossbar.offer_forward(state.lanes, i, down, queues, now)
        isa.offer_request(state.ports[i], down, timing)
        reduction.offer_write(state.ports[i], down, timing, queues, now)
        link.transmit(up, queues, timing.link, now)
        link.transmit(down, queues, timing.link, now)

    for c in range(timing.controllers):
        isa.retire(state.controllers[c], c, state.instructions, state.ports, timing, now)
    scheduler = state.scheduler[0]
    turn = isa.issue(
        state.controllers,
        scheduler.issue_turn,
        state.instructions,
        state.ports,
        state.tables,
        timing,
        queues,
        now,
    )
    scheduler.issue_turn = turn
    reduction.schedule(
        scheduler,
        state.controllers,
        state.instructions,
        state.ports,
        state.tables,
        timing,
        queues,
        now,
    )
    for channel in (CORE_REQUEST, CORE_RESPONSE):
        crossbar.forward(state.lanes, channel, state.ups, state.downs, queues, now)
    for i in range(timing.ports):
        up, down, port = state.ups[i], state.downs[i], state.ports[i]
        isa.advance_request(port, down, timing)
        reduction.advance_write(port, down, timing, queues, now)
        crossbar.advance_forward(state.lanes, i, down, queues)
        isa.fill(port, i, up, down, state.instructions, state.tables, timing, queues, now)
        isa.count_response(
            port, up, down, state.instructions, state.controllers, timing, queues, now
        )
        endpoint.advance(state.endpoints[i], up, down, timing, queues, now)
