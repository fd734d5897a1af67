"""The end of instructions; compiled. Twin of ``hw/isa/retire.py``."""

from __future__ import annotations

from models.simulator.compiled import Record, Records, compiled
from models.simulator.timing import Timing

DRAIN, REPORT = range(2)


@compiled
def retire(
    me: Record, c: int, instructions: Records, ports: Records, timing: Timing, now: int
) -> None:
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
