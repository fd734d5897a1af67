"""An endpoint: reads and writes of its memory, and ordinary traffic; compiled.

Twin of ``hw/endpoint/``: read_server, write_server, write_answer, memory_port, traffic.
"""

from __future__ import annotations

import numpy as np

from models.simulator.compiled import compiled
from models.simulator.link import FIELDS, FIRST, LAST, NOTHING, arrived, consume
from models.simulator.queues import Queues, front, pop, push, ready
from models.simulator.timing import (
    CORE_REQUEST,
    CORE_RESPONSE,
    ISA_READ,
    ISA_WRITE,
    Timing,
)

CORE, ISA = 0, 1
HEADER, PAYLOAD, NOTIFY = 0, 1, 2
MAX_SHUFFLE = 8
SHUFFLE_SEED, SHUFFLE_TAPS = 0xACE1, 0xB400

READ_HEADERS = 8
READS_UNDER_WAY = 15
ANSWERS_WAITING = 8
POLL_BEAT = 0
"""In the queue of reads: one beat of the flag instead of a packet's rows."""

POLL_CYCLES = 2
"""Of a poll beside its interval: into the pause, and out of it."""

NEVER = 1 << 60
SERVER, POLL = 0, 1
QUEUE_CYCLES = 2
WRITE_CYCLES = QUEUE_CYCLES
"""From a beat until the memory takes it."""

FLAG_CYCLES = 1
"""From the answer of a completion flag until it is recorded as visible."""

# Read requests: what follows the framing bits.
ENTRY, ENTRY_BITS = FIELDS, 8
PACKET, PACKET_BITS = ENTRY + ENTRY_BITS, 16
ROWS, ROWS_BITS = PACKET + PACKET_BITS, 24

# Write requests and their responses.
ACKNOWLEDGE, IS_NOTIFY = FIELDS, FIELDS + 1
CONTEXT, CONTEXT_BITS = FIELDS + 2, 8
SOURCE, NODE_BITS = CONTEXT + CONTEXT_BITS, 8
DESTINATION = SOURCE + NODE_BITS

ENDPOINT = np.dtype(
    [
        # Reads for the accelerator.
        ("cutting", np.int64),
        ("cut_entry", np.int64),
        ("cut_packet", np.int64),
        ("cut_rows", np.int64),
        ("slot", np.int64, (MAX_SHUFFLE,)),  # packets waiting for their turn, or NOTHING
        ("chosen", np.int64),
        ("patience", np.int64),
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
        ("holder", np.int64),  # whose beats the memory takes, or NOTHING
        ("last_writer", np.int64),
        ("visible", np.int64),  # time of the latest completion flag
        ("flags", np.int64),
        ("rows", np.int64, (2,)),  # written
        # Ordinary traffic.
        ("traffic_rows", np.int64),  # of a packet; 0: none
        ("traffic_start", np.int64),
        ("traffic_destination", np.int64),
        ("traffic_left", np.int64),
        ("traffic_answered", np.int64),
    ],
    align=True,
)


@compiled
def field(flit: int, shift: int, bits: int) -> int:
    return (flit >> shift) & ((1 << bits) - 1)


@compiled
def offer(end, me: int, up, queues: Queues, now: int) -> None:
    """What the endpoint would send in this cycle."""
    up.offer[CORE_REQUEST] = NOTHING
    if end.traffic_rows > 0 and now >= end.traffic_start:
        if end.traffic_left == 0:
            up.offer[CORE_REQUEST] = (
                FIRST | 1 << ACKNOWLEDGE | me << SOURCE | end.traffic_destination << DESTINATION
            )
        else:
            up.offer[CORE_REQUEST] = LAST if end.traffic_left == 1 else 0
    up.offer[CORE_RESPONSE] = _answer(end, CORE, queues, now)
    up.offer[ISA_WRITE] = _answer(end, ISA, queues, now)
    up.offer[ISA_READ] = NOTHING
    if end.sending == 0:
        if ready(queues, end.headers, now):
            up.offer[ISA_READ] = FIRST | front(queues, end.headers)
    elif ready(queues, end.beats, now):
        up.offer[ISA_READ] = LAST if end.sending == 1 else 0


@compiled
def _answer(end, which: int, queues: Queues, now: int) -> int:
    """The response that is due, as a header flit."""
    if not ready(queues, end.answers[which], now) or end.completed[which] == 0:
        return NOTHING
    head = front(queues, end.answers[which])
    return FIRST | LAST | head if field(head, ACKNOWLEDGE, 1) else NOTHING


@compiled
def advance(end, up, down, timing: Timing, queues: Queues, now: int) -> None:
    """One cycle, after the link has taken what it took."""
    if up.sent == CORE_REQUEST:
        end.traffic_left = end.traffic_rows if end.traffic_left == 0 else end.traffic_left - 1
    _write(end, up, down, timing, queues, now)
    _answer_writes(end, up, queues, now)
    _fetch(end, timing, queues, now)
    _send_reads(end, up, timing, queues)
    _cut(end, up, down, timing, queues, now)
    if arrived(up, down, CORE_RESPONSE, queues, now) != NOTHING:
        consume(up, down, CORE_RESPONSE, queues)
        end.traffic_answered += 1


@compiled
def _answer_writes(end, up, queues: Queues, now: int) -> None:
    for which in range(2):
        if ready(queues, end.answers[which], now) and end.completed[which] > 0:
            head = front(queues, end.answers[which])
            channel = CORE_RESPONSE if which == CORE else ISA_WRITE
            if not field(head, ACKNOWLEDGE, 1) or up.sent == channel:
                pop(queues, end.answers[which])
                end.completed[which] -= 1
                if field(head, IS_NOTIFY, 1):
                    end.poll = NEVER
                    end.visible = now + FLAG_CYCLES
                    end.flags += 1
        while ready(queues, end.written[which], now):
            pop(queues, end.written[which])
            end.completed[which] += 1
            end.unwritten[which] -= 1


@compiled
def _write(end, up, down, timing: Timing, queues: Queues, now: int) -> None:
    """Two servers, and the memory's one write channel, which keeps to a burst."""
    core = arrived(up, down, CORE_REQUEST, queues, now)
    isa = arrived(up, down, ISA_WRITE, queues, now)
    granted = end.holder
    if granted == NOTHING:
        first = 1 - end.last_writer
        if _wants_memory(end, first, core if first == CORE else isa):
            granted = first
        elif _wants_memory(end, 1 - first, isa if first == CORE else core):
            granted = 1 - first
        if granted != NOTHING:
            end.last_writer = granted
    _serve(end, CORE, core, CORE_REQUEST, granted, up, down, timing, queues, now)
    _serve(end, ISA, isa, ISA_WRITE, granted, up, down, timing, queues, now)


@compiled
def _wants_memory(end, which: int, flit: int) -> bool:
    """A burst is to begin."""
    if end.state[which] == NOTIFY:
        return end.unwritten[which] == 0
    return end.state[which] == PAYLOAD and end.open[which] == 0 and flit != NOTHING


@compiled
def _serve(
    end, which: int, flit: int, channel: int, granted: int, up, down, timing, queues, now: int
) -> None:
    if end.state[which] == HEADER:
        if flit != NOTHING and queues.held[end.answers[which]] < ANSWERS_WAITING:
            consume(up, down, channel, queues)
            end.header[which] = (flit >> FIELDS) << FIELDS
            end.state[which] = NOTIFY if field(flit, IS_NOTIFY, 1) else PAYLOAD
            end.open[which] = 0
    elif granted == which:
        if end.state[which] == NOTIFY:
            _last_beat(end, which, timing, queues, now)
        elif flit != NOTHING:
            consume(up, down, channel, queues)
            end.holder = which
            end.open[which] = 1
            end.rows[which] += 1
            if flit & LAST:
                _last_beat(end, which, timing, queues, now)


@compiled
def _last_beat(end, which: int, timing: Timing, queues: Queues, now: int) -> None:
    end.holder = NOTHING
    end.state[which] = HEADER
    end.unwritten[which] += 1
    push(queues, end.written[which], 0, now + WRITE_CYCLES + timing.memory)
    push(queues, end.answers[which], end.header[which], now + QUEUE_CYCLES)


@compiled
def _send_reads(end, up, timing: Timing, queues: Queues) -> None:
    if up.sent != ISA_READ:
        return
    if end.sending == 0:
        end.sending = field(pop(queues, end.headers), ROWS, ROWS_BITS)
    else:
        pop(queues, end.beats)
        end.sending -= 1
        end.room += 1


@compiled
def _fetch(end, timing: Timing, queues: Queues, now: int) -> None:
    """Bursts in the order of their packets; a beat per cycle."""
    if ready(queues, end.reads, now):
        head = queues.base[end.reads] + queues.head[end.reads]
        if queues.item[head] == POLL_BEAT:
            pop(queues, end.reads)
            end.poll = now + timing.poll_interval + POLL_CYCLES
        else:
            push(queues, end.beats, 0, now + 2)
            queues.item[head] -= 1
            if queues.item[head] == 0:
                pop(queues, end.reads)
    polls = end.poll <= now
    if polls and (end.last_reader == SERVER or not _fetches(end, queues)):
        push(queues, end.reads, POLL_BEAT, now + 1 + timing.memory)
        end.poll = NEVER
        end.last_reader = POLL
    elif _fetches(end, queues):
        packet = end.slot[end.chosen]
        rows = field(packet, ROWS, ROWS_BITS)
        end.last_reader = SERVER
        end.room -= rows
        push(queues, end.headers, packet, now + 2)
        push(queues, end.reads, rows, now + 1 + timing.memory)
        end.emptied = end.chosen
        end.chosen = NOTHING


@compiled
def _fetches(end, queues: Queues) -> bool:
    """A packet is chosen, and there is room for it."""
    if end.chosen == NOTHING or queues.held[end.headers] >= READ_HEADERS:
        return False
    return (
        end.room >= field(end.slot[end.chosen], ROWS, ROWS_BITS)
        and queues.held[end.reads] < READS_UNDER_WAY
    )


@compiled
def _cut(end, up, down, timing: Timing, queues: Queues, now: int) -> None:
    """Requests into packets, packets into slots, and the choice of the next."""
    slots = timing.shuffle
    occupied, free = 0, NOTHING
    for s in range(slots):
        if end.slot[s] != NOTHING:
            occupied += 1
        elif free == NOTHING:
            free = s
    _choose(end, slots, occupied)
    if end.emptied != NOTHING:
        end.slot[end.emptied] = NOTHING
        end.emptied = NOTHING
    final = end.cut_rows <= timing.packet_rows
    taken = end.cutting != 0 and free != NOTHING
    if taken:
        rows = min(end.cut_rows, timing.packet_rows)
        end.slot[free] = end.cut_entry << ENTRY | end.cut_packet << PACKET | rows << ROWS
        end.cut_rows -= rows
        end.cut_packet += 1
    if not end.cutting or (taken and final):
        end.cutting = 0
        request = arrived(up, down, ISA_READ, queues, now)
        if request != NOTHING:
            consume(up, down, ISA_READ, queues)
            end.cutting = 1
            end.cut_entry = field(request, ENTRY, ENTRY_BITS)
            end.cut_packet = field(request, PACKET, PACKET_BITS)
            end.cut_rows = field(request, ROWS, ROWS_BITS)


@compiled
def _choose(end, slots: int, occupied: int) -> None:
    """The packet to fetch next: with several slots at random, once they are full or patience
    ends. The random numbers are those of ``hw/endpoint/shuffle.py``."""
    grant, lowest_wanted, lowest = NOTHING, NOTHING, NOTHING
    for s in range(slots):
        if end.slot[s] == NOTHING:
            continue
        if end.noise >> s & 1:
            if lowest_wanted == NOTHING:
                lowest_wanted = s
            if s > end.last_grant and grant == NOTHING:
                grant = s
        if s != end.emptied and lowest == NOTHING:
            lowest = s
    if grant == NOTHING:
        grant = lowest_wanted
    if end.chosen == NOTHING and (slots == 1 or occupied == slots or end.patience == 2 * slots):
        end.chosen = grant if grant not in (NOTHING, end.emptied) else lowest
    if end.emptied != NOTHING and grant != NOTHING:
        end.last_grant = grant
    if occupied == 0:
        end.patience = 0
    elif end.patience != 2 * slots:
        end.patience += 1
    end.noise = (end.noise >> 1) ^ (SHUFFLE_TAPS if end.noise & 1 else 0)
