"""Which row is reduced when; compiled. Twin of ``hw/isa/``: scheduler, reduction."""

from __future__ import annotations

import numpy as np

from hw.spec.timing import QUEUE_CYCLES, WRITEBACK_JOBS
from models.simulator.compiled import Record, Records, compiled
from models.simulator.flit import field
from models.simulator.queues import Queues, front, pop, push, ready
from models.simulator.records import (
    NEVER,
    WAVE_ENTRY,
    WAVE_ROWS,
    WAVE_ROWS_BITS,
    WAVE_SCALES,
    WAVE_SLOT,
    Tables,
    packets_of,
)
from models.simulator.timing import Timing
from models.simulator.writeback import JOB_CONTEXT, JOB_MORE, JOB_NOTIFY, JOB_ROWS

SELECT, BEGIN, ROWS, SCALES, FINISH = range(5)

SCHEDULER = np.dtype(
    [
        ("state", np.int64),
        ("chosen", np.int64),
        ("turn", np.int64),
        ("job_turn", np.int64),  # what queued a job last: 0 the scheduler, 1 a controller
        ("wave", np.int64),
        ("index", np.int64),  # of the next slice
        ("slot", np.int64),
        ("overtake", np.int64),
        ("issue_turn", np.int64),
    ],
    align=True,
)


@compiled
def schedule(
    me: Record,
    controllers: Records,
    instructions: Records,
    ports: Records,
    tables: Tables,
    timing: Timing,
    queues: Queues,
    now: int,
) -> None:
    """Start at most one row, and queue at most one job of the write-back."""
    wanted = False
    for c in range(timing.controllers):
        wanted |= controllers[c].wants_notify != 0
    queued = False
    if me.overtake > 0:
        me.overtake -= 1
    if me.state == SELECT:
        for step in range(1, timing.controllers + 1):
            c = (me.turn + step) % timing.controllers
            if ready(queues, controllers[c].wave_queue, now):
                me.chosen, me.turn = c, c
                me.wave = front(queues, controllers[c].wave_queue)
                me.index, me.slot = 0, 0
                me.state = BEGIN
                break
    else:
        queued = _step(me, controllers, instructions, ports, tables, timing, queues, now, wanted)
    if queued:
        me.job_turn = 0
        return
    for c in range(timing.controllers):
        if controllers[c].wants_notify:
            _notify(me, controllers[c], c, instructions, ports, timing, queues, now)
            return


@compiled
def _step(
    me: Record,
    controllers: Records,
    instructions: Records,
    ports: Records,
    tables: Tables,
    timing: Timing,
    queues: Queues,
    now: int,
    wanted: bool,
) -> bool:
    controller = controllers[me.chosen]
    item = instructions[controller.instruction[field(me.wave, WAVE_SLOT, 8)]]
    entry = field(me.wave, WAVE_ENTRY, 8)
    rows = field(me.wave, WAVE_ROWS, WAVE_ROWS_BITS)
    mask = item.run - 1
    asked = (me.index | mask) // timing.cycles_per_row
    goes_on = me.index & mask != 0
    slices = rows * timing.cycles_per_row
    here, complete, room, free = True, True, True, True
    packet, row = asked // timing.packet_rows, asked % timing.packet_rows
    for index in range(timing.ports):
        if item.sources[index]:
            scaled = tables.scales_remaining[index, entry] == 0
            whole = tables.remaining[index, entry] == 0
            here &= scaled and (whole or tables.filled[index, entry, packet] > row)
            complete &= scaled and whole
        if item.destinations[index]:
            room &= ports[index].room >= timing.block_rows
            free &= queues.held[ports[index].jobs] < WRITEBACK_JOBS
    free &= not (wanted and me.job_turn == 0)
    if me.state == BEGIN:
        begins = here if timing.streaming else complete
        clear = me.overtake <= item.lead
        if begins and room and clear:
            if free:
                _queue_job(me, item, False, rows, ports, timing, queues, now)
                _start(me, item, ports, timing, queues, now)
                me.index = 1
                me.state = ROWS
                if slices == 1:
                    _end(me, controller, item, complete, queues)
                return True
        elif not (begins and room):
            for other in range(timing.controllers):
                if other != me.chosen and ready(queues, controllers[other].wave_queue, now):
                    me.state = SELECT
    elif me.state == ROWS:
        if goes_on or (here and room):
            _start(me, item, ports, timing, queues, now)
            me.index += 1
            if me.index == slices:
                _end(me, controller, item, complete, queues)
    elif me.state == SCALES:
        if room and (me.slot > 0 or free):
            first: bool = me.slot == 0
            scales = field(me.wave, WAVE_SCALES, WAVE_ROWS_BITS)
            if first:
                _queue_job(me, item, True, scales, ports, timing, queues, now)
            _reserve(item, ports, timing)
            _arrive(me, item, ports, timing, queues, now)
            me.slot += 1
            if me.slot == scales:
                me.state = FINISH
                if complete:
                    _free(me, controller, queues)
            return first
    elif complete:
        _free(me, controller, queues)
    return False


@compiled
def _start(
    me: Record, item: Record, ports: Records, timing: Timing, queues: Queues, now: int
) -> None:
    """A slice is reduced; with the last one of a row its result goes to every destination."""
    part = me.index % timing.cycles_per_row
    if part == 0:
        _reserve(item, ports, timing)
    if part == timing.cycles_per_row - 1:
        _arrive(me, item, ports, timing, queues, now)
    else:
        me.overtake = item.lead


@compiled
def _reserve(item: Record, ports: Records, timing: Timing) -> None:
    """A row will need room at its destinations."""
    for index in range(timing.ports):
        if item.destinations[index]:
            ports[index].room -= 1


@compiled
def _arrive(
    me: Record, item: Record, ports: Records, timing: Timing, queues: Queues, now: int
) -> None:
    """A row's result is on its way to every destination."""
    me.overtake = item.lead
    item.last_write = now
    if item.first_row == NEVER:
        item.first_row = now
    for index in range(timing.ports):
        if item.destinations[index]:
            push(queues, ports[index].rows, 0, now + timing.result + item.lead + QUEUE_CYCLES)


@compiled
def _end(me: Record, controller: Record, item: Record, complete: bool, queues: Queues) -> None:
    if item.ratio:
        me.slot = 0
        me.state = SCALES
    elif complete:
        _free(me, controller, queues)
    else:
        me.state = FINISH


@compiled
def _free(me: Record, controller: Record, queues: Queues) -> None:
    pop(queues, controller.wave_queue)
    controller.in_use -= 1
    controller.pending[field(me.wave, WAVE_SLOT, 8)] -= 1
    me.state = SELECT


@compiled
def _queue_job(
    me: Record,
    item: Record,
    scales: bool,
    rows: int,
    ports: Records,
    timing: Timing,
    queues: Queues,
    now: int,
) -> None:
    context = me.chosen * timing.contexts + field(me.wave, WAVE_SLOT, 8)
    more = 1 if item.ratio and not scales else 0
    answers = 1 - more if timing.coalesced else packets_of(rows, timing)
    for index in range(timing.ports):
        if item.destinations[index]:
            job = more << JOB_MORE | context << JOB_CONTEXT | rows << JOB_ROWS
            push(queues, ports[index].jobs, job, now + QUEUE_CYCLES)
            ports[index].outstanding[context] += answers


@compiled
def _notify(
    me: Record,
    controller: Record,
    c: int,
    instructions: Records,
    ports: Records,
    timing: Timing,
    queues: Queues,
    now: int,
) -> None:
    item = instructions[controller.instruction[controller.oldest]]
    context = c * timing.contexts + controller.oldest
    for index in range(timing.ports):
        if item.participants[index] and queues.held[ports[index].jobs] >= WRITEBACK_JOBS:
            return
    for index in range(timing.ports):
        if item.participants[index]:
            push(
                queues,
                ports[index].jobs,
                1 << JOB_NOTIFY | context << JOB_CONTEXT,
                now + QUEUE_CYCLES,
            )
    controller.notified = 1
    me.job_turn = 1
