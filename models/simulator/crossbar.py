"""Ordinary packets between ports; compiled. Twin of ``hw/switch/crossbar.py``, unicast."""

from __future__ import annotations

import numpy as np

from hw.spec.timing import BUFFER_ITEMS
from models.simulator.compiled import Record, Records, compiled
from models.simulator.flit import DESTINATION, FIRST, LAST, NODE_BITS, NOTHING, SOURCE, field
from models.simulator.link import arrived, consume
from models.simulator.queues import Queues, front, pop, push, ready
from models.simulator.timing import CORE_REQUEST, CORE_RESPONSE

LANE = np.dtype(
    [
        ("holder", np.int64),  # input whose packet an output passes, or NOTHING
        ("turn", np.int64),
        ("buffer", np.int64),
        ("target", np.int64),  # output of the packet an input passes
    ],
    align=True,
)


@compiled
def offer_forward(lanes: Records, index: int, down: Record, queues: Queues, now: int) -> None:
    for channel in (CORE_REQUEST, CORE_RESPONSE):
        queue = lanes[channel, index].buffer
        down.offer[channel] = front(queues, queue) if ready(queues, queue, now) else NOTHING


@compiled
def advance_forward(lanes: Records, index: int, down: Record, queues: Queues) -> None:
    if down.sent in (CORE_REQUEST, CORE_RESPONSE):
        pop(queues, lanes[down.sent, index].buffer)


@compiled
def forward(
    lanes: Records, channel: int, ups: Records, downs: Records, queues: Queues, now: int
) -> None:
    """Move one flit to each output that has a packet to pass."""
    ports = len(ups)
    for i in range(ports):
        flit = arrived(downs[i], ups[i], channel, queues, now)
        if flit != NOTHING and flit & FIRST:
            shift = DESTINATION if channel == CORE_REQUEST else SOURCE
            lanes[channel, i].target = field(flit, shift, NODE_BITS)
    for o in range(ports):
        lane = lanes[channel, o]
        source = lane.holder
        if source == NOTHING:
            for step in range(1, ports + 1):
                i = (lane.turn + step) % ports
                flit = arrived(downs[i], ups[i], channel, queues, now)
                if flit != NOTHING and flit & FIRST and lanes[channel, i].target == o:
                    source = i
                    break
            if source == NOTHING:
                continue
            lane.turn = source
            lane.holder = source
        flit = arrived(downs[source], ups[source], channel, queues, now)
        if flit == NOTHING or queues.held[lane.buffer] >= BUFFER_ITEMS:
            continue
        consume(downs[source], ups[source], channel, queues)
        push(queues, lane.buffer, flit, now + 1)
        if flit & LAST:
            lane.holder = NOTHING
