"""From instructions to waves; compiled. Twin of ``hw/isa/issue.py``."""

from __future__ import annotations

from hw.spec.timing import QUEUE_CYCLES
from models.simulator.compiled import Record, Records, compiled
from models.simulator.flit import NOTHING
from models.simulator.queues import Queues, push
from models.simulator.records import (
    NEVER,
    WAVE_ENTRY,
    WAVE_ROWS,
    WAVE_SCALES,
    WAVE_SLOT,
    Tables,
    packets_of,
    scale_rows,
)
from models.simulator.timing import Timing

FETCH, CHECK, WAIT, ISSUE = range(4)


@compiled
def issue(
    controllers: Records,
    turn: int,
    instructions: Records,
    ports: Records,
    tables: Tables,
    timing: Timing,
    queues: Queues,
    now: int,
) -> int:
    """Each controller's next step; at most one wave of all is issued. The new turn."""
    idle = True
    for port in range(timing.ports):
        idle &= ports[port].left == 0
    granted = NOTHING
    for step in range(1, timing.controllers + 1):
        c = (turn + step) % timing.controllers
        me = controllers[c]
        if me.state == ISSUE and me.in_use < timing.waves:
            granted = c
            break
    if not idle:
        granted = NOTHING
    for c in range(timing.controllers):
        me = controllers[c]
        if me.state == FETCH:
            _fetch(me, instructions, timing)
        elif me.state == CHECK:
            me.state = WAIT
        elif me.state == WAIT:
            item = instructions[me.current]
            if now >= item.barrier:
                me.state = ISSUE
                me.left = item.rows
        elif c == granted:
            _issue_wave(me, c, instructions[me.current], ports, tables, timing, queues, now)
    return granted if granted != NOTHING else turn


@compiled
def _fetch(me: Record, instructions: Records, timing: Timing) -> None:
    if me.following == NOTHING or me.live[me.newest]:
        return
    me.current, me.slot = me.following, me.newest
    me.newest = (me.newest + 1) % timing.contexts
    me.live[me.slot], me.issued[me.slot], me.pending[me.slot] = 1, 0, 0
    me.instruction[me.slot] = me.current
    me.state = CHECK
    controller = instructions[me.current].controller
    me.following = NOTHING
    for later in range(me.current + 1, len(instructions)):
        if instructions[later].controller == controller:
            me.following = later
            break


@compiled
def _issue_wave(
    me: Record,
    c: int,
    item: Record,
    ports: Records,
    tables: Tables,
    timing: Timing,
    queues: Queues,
    now: int,
) -> None:
    rows = min(me.left, timing.wave_rows)
    scales = scale_rows(rows, item.ratio)
    entry = c * timing.waves + me.position
    if item.first_read == NEVER:
        item.first_read = now
    for index in range(timing.ports):
        if not item.sources[index]:
            continue
        port = ports[index]
        port.entry = entry
        if scales:
            port.left, port.packet, port.elements = scales, timing.packets_per_wave, rows
        else:
            port.left, port.packet, port.elements = rows, 0, 0
        tables.filled[index, entry, :] = 0
        tables.remaining[index, entry] = packets_of(rows, timing)
        tables.scales_remaining[index, entry] = packets_of(scales, timing)
    push(
        queues,
        me.wave_queue,
        me.slot << WAVE_SLOT | entry << WAVE_ENTRY | rows << WAVE_ROWS | scales << WAVE_SCALES,
        now + QUEUE_CYCLES,
    )
    me.position = (me.position + 1) % timing.waves
    me.in_use += 1
    me.pending[me.slot] += 1
    me.left -= rows
    if me.left == 0:
        me.issued[me.slot] = 1
        me.state = FETCH
