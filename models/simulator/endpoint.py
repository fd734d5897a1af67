"""An endpoint: what it sends, its reads and writes, ordinary traffic; compiled.

Twin of ``hw/endpoint/endpoint.py`` and ``traffic.py``.
"""

from __future__ import annotations

import numpy as np

from models.simulator.compiled import Record, compiled
from models.simulator.flit import ACKNOWLEDGE, DESTINATION, FIRST, LAST, NOTHING, SOURCE
from models.simulator.link import arrived, consume
from models.simulator.queues import Queues, front, ready
from models.simulator.read_server import MAX_SHUFFLE, cut, fetch, send
from models.simulator.timing import CORE_REQUEST, CORE_RESPONSE, ISA_READ, ISA_WRITE, Timing
from models.simulator.write_server import CORE, ISA, answer, answer_writes, write

ENDPOINT = np.dtype(
    [
        # Reads for the accelerator.
        ("cutting", np.int64),
        ("cut_entry", np.int64),
        ("cut_packet", np.int64),
        ("cut_rows", np.int64),
        ("slot", np.int64, (MAX_SHUFFLE,)),  # packets waiting for their turn, or NOTHING
        ("chosen", np.int64),
        ("waited", np.int64),
        ("emptied", np.int64),  # slot whose packet was fetched in this cycle, or NOTHING
        ("last_grant", np.int64),
        ("noise", np.int64),
        ("room", np.int64),
        ("headers", np.int64),
        ("beats", np.int64),
        ("reads", np.int64),
        ("last_reader", np.int64),
        ("poll", np.int64),  # when the flag is looked at next
        ("sending", np.int64),
        # Writes, per queue set.
        ("state", np.int64, (2,)),
        ("open", np.int64, (2,)),
        ("header", np.int64, (2,)),
        ("unwritten", np.int64, (2,)),
        ("completed", np.int64, (2,)),
        ("answers", np.int64, (2,)),
        ("written", np.int64, (2,)),
        ("holder", np.int64),  # server whose beats the memory takes, or NOTHING
        ("last_writer", np.int64),
        ("visible", np.int64),  # time of the latest completion flag
        ("flags", np.int64),
        ("rows", np.int64, (2,)),  # written
        # Ordinary traffic.
        ("traffic_rows", np.int64),  # of a packet; 0: none
        ("traffic_start", np.int64),
        ("traffic_destination", np.int64),
        ("traffic_left", np.int64),
    ],
    align=True,
)


@compiled
def offer(end: Record, me: int, up: Record, queues: Queues, now: int) -> None:
    """What the endpoint would send in this cycle."""
    up.offer[CORE_REQUEST] = NOTHING
    if end.traffic_rows > 0 and now >= end.traffic_start:
        if end.traffic_left == 0:
            up.offer[CORE_REQUEST] = (
                FIRST | 1 << ACKNOWLEDGE | me << SOURCE | end.traffic_destination << DESTINATION
            )
        else:
            up.offer[CORE_REQUEST] = LAST if end.traffic_left == 1 else 0
    up.offer[CORE_RESPONSE] = answer(end, CORE, queues, now)
    up.offer[ISA_WRITE] = answer(end, ISA, queues, now)
    up.offer[ISA_READ] = NOTHING
    if end.sending == 0:
        if ready(queues, end.headers, now):
            up.offer[ISA_READ] = FIRST | front(queues, end.headers)
    elif ready(queues, end.beats, now):
        up.offer[ISA_READ] = LAST if end.sending == 1 else 0


@compiled
def advance(
    end: Record, up: Record, down: Record, timing: Timing, queues: Queues, now: int
) -> None:
    """One cycle, after the link has taken what it took."""
    if up.sent == CORE_REQUEST:
        end.traffic_left = end.traffic_rows if end.traffic_left == 0 else end.traffic_left - 1
    write(end, up, down, timing, queues, now)
    answer_writes(end, up, queues, now)
    fetch(end, timing, queues, now)
    send(end, up, queues)
    cut(end, up, down, timing, queues, now)
    if arrived(up, down, CORE_RESPONSE, queues, now) != NOTHING:
        consume(up, down, CORE_RESPONSE, queues)
