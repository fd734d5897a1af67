"""The whole system, cycle by cycle; compiled.

Every component is a record of counters; a flit is an integer. Components are visited in an
order in which each sees the others as they were when the cycle began, as registers do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.simulator.compiled import compiled, entry_point
from models.simulator.crossbar import advance_forward, forward, offer_forward
from models.simulator.endpoint import advance, offer
from models.simulator.issue import issue
from models.simulator.link import transmit
from models.simulator.port import advance_request, count_response, fill, offer_request
from models.simulator.queues import Queues
from models.simulator.records import NEVER, Tables
from models.simulator.retire import retire
from models.simulator.scheduler import schedule
from models.simulator.timing import CORE_REQUEST, CORE_RESPONSE, Timing
from models.simulator.writeback import advance_write, offer_write

LOOK_EVERY = 64
"""Cycles between two looks at whether all is done."""


class State(NamedTuple):
    ups: np.ndarray
    downs: np.ndarray
    endpoints: np.ndarray
    lanes: np.ndarray
    ports: np.ndarray
    controllers: np.ndarray
    scheduler: np.ndarray
    instructions: np.ndarray
    tables: Tables
    queues: Queues


@entry_point
def run(timing: Timing, state: State, limit: int) -> int:
    """Cycles until all instructions are complete and their flags visible, or ``limit``."""
    now = 0
    while now < limit:
        if now % LOOK_EVERY == 0 and _complete(state):
            return now
        _cycle(timing, state, now)
        now += 1
    return now


@compiled
def _complete(state: State) -> bool:
    if len(state.instructions) == 0:
        return False
    for index in range(len(state.instructions)):
        if state.instructions[index].done == NEVER:
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
        offer(state.endpoints[i], i, up, queues, now)
        offer_forward(state.lanes, i, down, queues, now)
        offer_request(state.ports[i], down, timing)
        offer_write(state.ports[i], down, timing, queues, now)
        transmit(up, queues, timing, now)
        transmit(down, queues, timing, now)

    for c in range(timing.controllers):
        retire(state.controllers[c], c, state.instructions, state.ports, timing, now)
    scheduler = state.scheduler[0]
    turn = issue(
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
    schedule(
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
        forward(state.lanes, channel, state.ups, state.downs, queues, now)
    for i in range(timing.ports):
        up, down, port = state.ups[i], state.downs[i], state.ports[i]
        advance_request(port, down, timing)
        advance_write(port, down, timing, queues, now)
        advance_forward(state.lanes, i, down, queues)
        fill(port, i, up, down, state.instructions, state.tables, timing, queues, now)
        count_response(port, up, down, state.instructions, state.controllers, timing, queues, now)
        advance(state.endpoints[i], up, down, timing, queues, now)
