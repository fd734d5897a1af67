"""The in-switch accelerator, from instruction to completion flag; compiled.

Twin of ``hw/isa/``: issue, read_request, wave_table, write_tracker, retire. What lies between
table and link is in :mod:`models.simulator.reduction`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.simulator.compiled import compiled
from models.simulator.endpoint import (
    CONTEXT,
    CONTEXT_BITS,
    ENTRY,
    ENTRY_BITS,
    PACKET,
    PACKET_BITS,
    ROWS,
    field,
)
from models.simulator.link import FIRST, LAST, NOTHING, arrived, consume
from models.simulator.queues import Queues, push
from models.simulator.timing import ISA_READ, ISA_WRITE, Timing

MAX_PORTS = 72
MAX_CONTEXTS = 32
FETCH, CHECK, WAIT, ISSUE = range(4)
DRAIN, REPORT = range(2)
NEVER = -1

INSTRUCTION = np.dtype(
    [
        ("controller", np.int64),
        ("rows", np.int64),
        ("ratio", np.int64),  # bytes of elements per byte of scales; 0: no scales
        ("block_rows", np.int64),  # rows that cannot pause between them
        ("sources", np.int8, (MAX_PORTS,)),
        ("destinations", np.int8, (MAX_PORTS,)),
        ("participants", np.int8, (MAX_PORTS,)),
        ("notify", np.int64),
        ("barrier", np.int64),  # when it is met
        ("first_read", np.int64),
        ("first_data", np.int64),  # of a read response, at the table
        ("first_row", np.int64),
        ("last_write", np.int64),
        ("last_response", np.int64),
        ("done", np.int64),
        ("table_wait", np.int64),
    ],
    align=True,
)

CONTROLLER = np.dtype(
    [
        ("state", np.int64),
        ("following", np.int64),  # next instruction to fetch
        ("current", np.int64),
        ("slot", np.int64),
        ("newest", np.int64),
        ("oldest", np.int64),
        ("live", np.int64, (MAX_CONTEXTS,)),
        ("issued", np.int64, (MAX_CONTEXTS,)),
        ("pending", np.int64, (MAX_CONTEXTS,)),
        ("instruction", np.int64, (MAX_CONTEXTS,)),
        ("left", np.int64),
        ("position", np.int64),
        ("in_use", np.int64),
        ("wave_queue", np.int64),
        ("retiring", np.int64),
        ("notified", np.int64),
        ("wants_notify", np.int64),
    ],
    align=True,
)

PORT = np.dtype(
    [
        # Read requests under way.
        ("left", np.int64),
        ("entry", np.int64),
        ("packet", np.int64),
        ("elements", np.int64),  # rows of elements that follow the scales
        # The response that is arriving.
        ("fill_entry", np.int64),
        ("fill_packet", np.int64),
        # Write-back.
        ("room", np.int64),
        ("jobs", np.int64),
        ("rows", np.int64),
        ("pending", np.int64),
        ("job", np.int64),
        ("remaining", np.int64),
        ("payload", np.int64),
        # Write responses.
        ("outstanding", np.int64, (MAX_CONTEXTS,)),
        ("answered", np.int64, (MAX_CONTEXTS,)),
    ],
    align=True,
)


class Tables(NamedTuple):
    """Wave tables: by port and entry, and by packet."""

    filled: np.ndarray
    remaining: np.ndarray
    scales_remaining: np.ndarray


# A wave in its controller's queue.
WAVE_SLOT, WAVE_ENTRY, WAVE_ROWS, WAVE_SCALES = 0, 8, 16, 40
WAVE_ROWS_BITS = 24


@compiled
def scale_rows(rows: int, ratio: int) -> int:
    return -(-rows // ratio) if ratio else 0


@compiled
def packets_of(rows: int, timing: Timing) -> int:
    return -(-rows // min(timing.packet_rows, timing.wave_rows))


@compiled
def offer_request(port, down, timing: Timing) -> None:
    down.offer[ISA_READ] = NOTHING
    if port.left > 0:
        rows = port.left if timing.burst_reads else min(port.left, timing.packet_rows)
        down.offer[ISA_READ] = (
            FIRST | LAST | port.entry << ENTRY | port.packet << PACKET | rows << ROWS
        )


@compiled
def advance_request(port, down, timing: Timing) -> None:
    if down.sent != ISA_READ:
        return
    rows = port.left if timing.burst_reads else min(port.left, timing.packet_rows)
    port.left -= rows
    port.packet += 1
    if port.left == 0 and port.elements > 0:
        port.left, port.elements, port.packet = port.elements, 0, 0


@compiled
def issue(
    controllers, turn: int, instructions, ports, tables: Tables, timing, queues: Queues, now: int
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
        elif me.in_use == timing.waves:
            instructions[me.current].table_wait += 1
    return granted if granted != NOTHING else turn


@compiled
def _fetch(me, instructions, timing: Timing) -> None:
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
def _issue_wave(me, c: int, item, ports, tables: Tables, timing, queues: Queues, now: int) -> None:
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
        now + 2,
    )
    me.position = (me.position + 1) % timing.waves
    me.in_use += 1
    me.pending[me.slot] += 1
    me.left -= rows
    if me.left == 0:
        me.issued[me.slot] = 1
        me.state = FETCH


@compiled
def fill(
    port, index: int, up, down, instructions, tables: Tables, timing, queues: Queues, now: int
) -> None:
    """Take a read response into the table."""
    flit = arrived(down, up, ISA_READ, queues, now)
    if flit == NOTHING:
        return
    consume(down, up, ISA_READ, queues)
    if flit & FIRST:
        port.fill_entry = field(flit, ENTRY, ENTRY_BITS)
        port.fill_packet = field(flit, PACKET, PACKET_BITS)
        return
    tables.filled[index, port.fill_entry, port.fill_packet] += 1
    for k in range(len(instructions)):
        item = instructions[k]
        if item.controller == port.fill_entry // timing.waves and item.first_data == NEVER:
            item.first_data = now
            break
    if flit & LAST:
        if port.fill_packet >= timing.packets_per_wave:
            tables.scales_remaining[index, port.fill_entry] -= 1
        else:
            tables.remaining[index, port.fill_entry] -= 1


@compiled
def count_response(port, up, down, instructions, controllers, timing, queues, now: int) -> None:
    flit = arrived(down, up, ISA_WRITE, queues, now)
    if flit == NOTHING:
        return
    consume(down, up, ISA_WRITE, queues)
    context = field(flit, CONTEXT, CONTEXT_BITS)
    port.outstanding[context] -= 1
    port.answered[context] = now
    controller = controllers[context // timing.contexts]
    item = instructions[controller.instruction[context % timing.contexts]]
    item.last_response = now + 1


@compiled
def retire(me, c: int, instructions, ports, timing: Timing, now: int) -> None:
    """End the oldest instruction; ``wants_notify`` asks for its flag to be queued."""
    me.wants_notify = 0
    slot = me.oldest
    item = instructions[me.instruction[slot]]
    if me.retiring == REPORT:
        item.done = now
        me.live[slot] = 0
        me.notified = 0
        me.oldest = (slot + 1) % timing.contexts
        me.retiring = DRAIN
        return
    if not (me.live[slot] and me.issued[slot] and me.pending[slot] == 0):
        return
    answered = True
    for index in range(timing.ports):
        port = ports[index]
        context = c * timing.contexts + slot
        answered &= port.outstanding[context] == 0 and port.answered[context] < now - 1
    if item.notify and not me.notified:
        me.wants_notify = 1 if timing.fused or answered else 0
    elif answered:
        me.retiring = REPORT
