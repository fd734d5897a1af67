"""Reads of the accelerator from an endpoint's memory; compiled.

Twin of ``hw/endpoint/``: read_server, shuffle, sync, and the reading half of
``hw/memory/memory_port.py``.
"""

from __future__ import annotations

from hw.spec.timing import QUEUE_CYCLES, READ_HEADERS, READS_UNDER_WAY, SHUFFLE_TAPS
from models.simulator.compiled import Record, compiled
from models.simulator.flit import (
    ENTRY,
    ENTRY_BITS,
    NOTHING,
    PACKET,
    PACKET_BITS,
    ROWS,
    ROWS_BITS,
    field,
)
from models.simulator.link import arrived, consume
from models.simulator.queues import Queues, pop, push, ready
from models.simulator.timing import ISA_READ, Timing

MAX_SHUFFLE = 8
ADDRESS_CYCLES = 1
POLL_BEAT = 0
"""In the queue of reads: one beat of the flag instead of a packet's rows."""

POLL_CYCLES = 2
"""Of a poll beside its interval: into the pause, and out of it."""

NEVER = 1 << 60
SERVER, POLL = 0, 1


def first_poll(timing: Timing, arrival: int) -> int:
    """From time 0 on, of an endpoint that arrived then or earlier: its memory is idle before."""
    first = arrival + timing.poll_interval + POLL_CYCLES
    period = ADDRESS_CYCLES + timing.memory + timing.poll_interval + POLL_CYCLES
    return max(first, first % period)


@compiled
def fetch(end: Record, timing: Timing, queues: Queues, now: int) -> None:
    """Bursts in the order of their packets; a beat per cycle."""
    if ready(queues, end.reads, now):
        head = queues.base[end.reads] + queues.head[end.reads]
        if queues.item[head] == POLL_BEAT:
            pop(queues, end.reads)
            end.poll = now + timing.poll_interval + POLL_CYCLES
        else:
            push(queues, end.beats, 0, now + QUEUE_CYCLES)
            queues.item[head] -= 1
            if queues.item[head] == 0:
                pop(queues, end.reads)
    polls = end.poll <= now
    if polls and (end.last_reader == SERVER or not _fetches(end, queues)):
        push(queues, end.reads, POLL_BEAT, now + ADDRESS_CYCLES + timing.memory)
        end.poll = NEVER
        end.last_reader = POLL
    elif _fetches(end, queues):
        packet = end.slot[end.chosen]
        rows = field(packet, ROWS, ROWS_BITS)
        end.last_reader = SERVER
        end.room -= rows
        push(queues, end.headers, packet, now + QUEUE_CYCLES)
        push(queues, end.reads, rows, now + ADDRESS_CYCLES + timing.memory)
        end.emptied = end.chosen
        end.chosen = NOTHING


@compiled
def _fetches(end: Record, queues: Queues) -> bool:
    """A packet is chosen, and there is room for it."""
    if end.chosen == NOTHING or queues.held[end.headers] >= READ_HEADERS:
        return False
    fits: bool = (
        end.room >= field(end.slot[end.chosen], ROWS, ROWS_BITS)
        and queues.held[end.reads] < READS_UNDER_WAY
    )
    return fits


@compiled
def send(end: Record, up: Record, queues: Queues) -> None:
    if up.sent != ISA_READ:
        return
    if end.sending == 0:
        end.sending = field(pop(queues, end.headers), ROWS, ROWS_BITS)
    else:
        pop(queues, end.beats)
        end.sending -= 1
        end.room += 1


@compiled
def cut(end: Record, up: Record, down: Record, timing: Timing, queues: Queues, now: int) -> None:
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
def _choose(end: Record, slots: int, occupied: int) -> None:
    """The packet to fetch next: with several slots at random, once they are full or a bounded wait
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
    if end.chosen == NOTHING and (slots == 1 or occupied == slots or end.waited == 2 * slots):
        end.chosen = grant if grant not in (NOTHING, end.emptied) else lowest
    if end.emptied != NOTHING and grant != NOTHING:
        end.last_grant = grant
    if occupied == 0:
        end.waited = 0
    elif end.waited != 2 * slots:
        end.waited += 1
    end.noise = (end.noise >> 1) ^ (SHUFFLE_TAPS if end.noise & 1 else 0)
