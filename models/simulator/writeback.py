"""Write requests and completion flags of one port; compiled. Twin of ``hw/isa/writeback.py``."""

from __future__ import annotations

from models.simulator.compiled import Record, compiled
from models.simulator.flit import ACKNOWLEDGE, CONTEXT, FIRST, IS_NOTIFY, LAST, NOTHING
from models.simulator.queues import Queues, pop, ready
from models.simulator.timing import ISA_WRITE, Timing

# A job; a flag has no rows.
JOB_NOTIFY, JOB_MORE, JOB_CONTEXT, JOB_ROWS = 0, 1, 2, 16


@compiled
def offer_write(port: Record, down: Record, timing: Timing, queues: Queues, now: int) -> None:
    down.offer[ISA_WRITE] = NOTHING
    if port.payload == 0:
        if port.pending:
            flag = port.job >> JOB_NOTIFY & 1
            more = port.job >> JOB_MORE & 1
            final = port.remaining <= timing.packet_rows
            answered = not flag and (not timing.coalesced or (final and not more))
            context = port.job >> JOB_CONTEXT & 0xFF
            down.offer[ISA_WRITE] = (
                FIRST
                | (LAST if flag else 0)
                | (1 if answered else 0) << ACKNOWLEDGE
                | flag << IS_NOTIFY
                | context << CONTEXT
            )
    elif ready(queues, port.rows, now):
        down.offer[ISA_WRITE] = LAST if port.payload == 1 else 0


@compiled
def advance_write(port: Record, down: Record, timing: Timing, queues: Queues, now: int) -> None:
    took_header = False
    if down.sent == ISA_WRITE:
        if port.payload == 0:
            took_header = True
        else:
            pop(queues, port.rows)
            port.room += 1
            port.payload -= 1
    final = port.remaining <= timing.packet_rows
    rows = min(port.remaining, timing.packet_rows)
    if took_header and not port.job >> JOB_NOTIFY & 1:
        port.payload = rows
    if not port.pending or (took_header and final):
        port.pending = 0
        if ready(queues, port.jobs, now):
            port.job = pop(queues, port.jobs)
            port.remaining = port.job >> JOB_ROWS
            port.pending = 1
    elif took_header:
        port.remaining -= rows
