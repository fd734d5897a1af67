"""Writes of both queue sets into an endpoint's memory, and their answers; compiled.

Twin of ``hw/endpoint/``: write_server, write_answer, and the writing half of
``hw/memory/memory_port.py``.
"""

from __future__ import annotations

from hw.spec.timing import ANSWERS_WAITING, QUEUE_CYCLES
from models.simulator.compiled import Record, compiled
from models.simulator.flit import ACKNOWLEDGE, FIELDS, FIRST, IS_NOTIFY, LAST, NOTHING, field
from models.simulator.link import arrived, consume
from models.simulator.queues import Queues, front, pop, push, ready
from models.simulator.read_server import NEVER
from models.simulator.timing import CORE_REQUEST, CORE_RESPONSE, ISA_WRITE, Timing

CORE, ISA = 0, 1
HEADER, PAYLOAD, NOTIFY = range(3)
FLAG_CYCLES = 1
"""From the answer of a completion flag until it is recorded as visible."""


@compiled
def answer(end: Record, which: int, queues: Queues, now: int) -> int:
    """The response that is due, as a header flit."""
    if not ready(queues, end.answers[which], now) or end.completed[which] == 0:
        return NOTHING
    head = front(queues, end.answers[which])
    return FIRST | LAST | head if field(head, ACKNOWLEDGE, 1) else NOTHING


@compiled
def write(end: Record, up: Record, down: Record, timing: Timing, queues: Queues, now: int) -> None:
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
def _wants_memory(end: Record, which: int, flit: int) -> bool:
    """A burst is to begin."""
    if end.state[which] == NOTIFY:
        written: bool = end.unwritten[which] == 0
        return written
    begins: bool = end.state[which] == PAYLOAD and end.open[which] == 0 and flit != NOTHING
    return begins


@compiled
def _serve(
    end: Record,
    which: int,
    flit: int,
    channel: int,
    granted: int,
    up: Record,
    down: Record,
    timing: Timing,
    queues: Queues,
    now: int,
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
def _last_beat(end: Record, which: int, timing: Timing, queues: Queues, now: int) -> None:
    end.holder = NOTHING
    end.state[which] = HEADER
    end.unwritten[which] += 1
    push(queues, end.written[which], 0, now + QUEUE_CYCLES + timing.memory)
    push(queues, end.answers[which], end.header[which], now + QUEUE_CYCLES)


@compiled
def answer_writes(end: Record, up: Record, queues: Queues, now: int) -> None:
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
