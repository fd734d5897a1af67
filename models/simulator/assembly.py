"""Puts the simulated system together."""

from __future__ import annotations

import numpy as np

from hw.spec.config import Config
from hw.spec.formats import block_format, is_block_scaled
from hw.spec.instruction import ReduceOp
from hw.spec.timing import (
    ANSWERS_WAITING,
    BUFFER_ITEMS,
    READ_HEADERS,
    READS_UNDER_WAY,
    SHUFFLE_SEED,
    WRITEBACK_JOBS,
    average_lead,
    lead_cycles,
    read_beats,
)
from models.simulator.crossbar import LANE
from models.simulator.endpoint import ENDPOINT
from models.simulator.flit import NOTHING
from models.simulator.link import END, PER_SET, SETS
from models.simulator.queues import Queues
from models.simulator.read_server import (
    MAX_SHUFFLE,
    NEVER,
    POLL,
)
from models.simulator.records import CONTROLLER, INSTRUCTION, PORT, Tables
from models.simulator.records import NEVER as UNKNOWN
from models.simulator.scheduler import SCHEDULER
from models.simulator.system import State
from models.simulator.timing import CHANNELS, CORE_REQUEST, CORE_RESPONSE, Timing
from models.simulator.work import Instruction, Traffic
from models.simulator.write_server import CORE, ISA

BARRIER_CYCLES = 1
"""Beside the link: from the arrival of the last one until the barrier is met."""

BURSTS_UNDER_WAY = 64
"""More writes than a memory has under way."""


class _Depths(list[int]):
    """Depths of queues to be; ``new`` gives the number of another."""

    def new(self, depth: int) -> int:
        self.append(depth)
        return len(self) - 1


def assemble(
    config: Config, timing: Timing, instructions: list[Instruction], traffic: list[Traffic]
) -> State:
    """Everything at rest, nothing in any queue."""
    ports = timing.ports
    depths = _Depths()
    state = State(
        ups=np.zeros(ports, END),
        downs=np.zeros(ports, END),
        endpoints=np.zeros(ports, ENDPOINT),
        lanes=np.zeros((CHANNELS, ports), LANE),
        ports=np.zeros(ports, PORT),
        controllers=np.zeros(timing.controllers, CONTROLLER),
        scheduler=np.zeros(1, SCHEDULER),
        instructions=np.zeros(len(instructions), INSTRUCTION),
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
            end["last_set"] = SETS - 1
            end["last_in_set"] = PER_SET - 1
    _endpoints(config, state, traffic, depths)
    state.lanes["holder"] = NOTHING
    state.lanes["turn"] = ports - 1
    for channel in (CORE_REQUEST, CORE_RESPONSE):
        for index in range(ports):
            state.lanes[channel, index]["buffer"] = depths.new(BUFFER_ITEMS)
    for port in state.ports:
        port["room"] = timing.writeback_rows
        port["jobs"] = depths.new(WRITEBACK_JOBS)
        port["rows"] = depths.new(timing.writeback_rows + 1)
        port["answered"] = UNKNOWN - 1
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


def _tables(config: Config, timing: Timing) -> Tables:
    entries = timing.waves * timing.controllers
    packets = timing.packets_per_wave + config.scale_packets_per_wave
    return Tables(
        np.zeros((timing.ports, entries, packets), np.int64),
        np.zeros((timing.ports, entries), np.int64),
        np.zeros((timing.ports, entries), np.int64),
    )


def _endpoints(config: Config, state: State, traffic: list[Traffic], depths: _Depths) -> None:
    room = read_beats(config)
    for end in state.endpoints:
        end["slot"] = NOTHING
        end["chosen"] = end["emptied"] = end["holder"] = NOTHING
        end["last_grant"] = MAX_SHUFFLE
        end["noise"] = SHUFFLE_SEED
        end["last_writer"] = ISA
        end["poll"] = NEVER
        end["last_reader"] = POLL
        end["room"] = room
        end["headers"] = depths.new(READ_HEADERS)
        end["beats"] = depths.new(room)
        end["reads"] = depths.new(READS_UNDER_WAY)
        for which in (CORE, ISA):
            end["answers"][which] = depths.new(ANSWERS_WAITING)
            end["written"][which] = depths.new(BURSTS_UNDER_WAY)
    for item in traffic:
        end = state.endpoints[item.source]
        end["traffic_rows"] = item.packet_bytes // config.fabric.flit_bytes
        end["traffic_destination"] = item.destination
        end["traffic_start"] = item.start


def _fill_instruction(config: Config, timing: Timing, item: np.void, given: Instruction) -> None:
    flit = config.fabric.flit_bytes
    item["controller"] = given.controller
    item["rows"] = -(-given.length // flit)
    item["run"] = config.isa.cycles_per_row
    if is_block_scaled(given.data_type):
        entry = block_format(config, given.data_type)
        item["ratio"] = entry.ratio
        item["run"] = max(item["run"], entry.slices_per_block(config.slice_bytes))
        item["lead"] = lead_cycles(config)
    elif given.reduce_op == ReduceOp.AVG:
        item["lead"] = average_lead(config)
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
        item[name] = UNKNOWN
