"""One end of a link: credits, and which channel sends next; compiled. Twin of
``hw/fabric/transmitter.py`` and ``receiver.py``."""

from __future__ import annotations

import numpy as np

from models.simulator.compiled import Record, compiled
from models.simulator.flit import NOTHING
from models.simulator.queues import Queues, front, pop, push, ready
from models.simulator.timing import CHANNELS, WHOLE, Timing

SETS = 2
PER_SET = CHANNELS // SETS

GRANT_BITS = 14
END = np.dtype(
    [
        ("offer", np.int64, (CHANNELS,)),  # flit to send, or NOTHING
        ("sent", np.int64),  # channel that sent in this cycle, or NOTHING
        ("budget", np.int64),  # a slower link carries a flit only when this is whole
        ("credits", np.int64, (CHANNELS,)),
        ("owed", np.int64, (CHANNELS,)),  # for what was consumed here
        ("urgent", np.int64, (CHANNELS,)),  # owed so much, credits do not wait
        ("arrives", np.int64, (CHANNELS,)),  # receive queues at the far end
        ("grants", np.int64),  # queue of credits under way to this end
        ("far_grants", np.int64),
        ("last_set", np.int64),
        ("last_in_set", np.int64, (SETS,)),
    ],
    align=True,
)


@compiled
def transmit(end: Record, queues: Queues, timing: Timing, now: int) -> None:
    """Send one flit, or the credits owed. Sets alternate, and channels within a set."""
    link = timing.link
    while ready(queues, end.grants, now):
        counts = pop(queues, end.grants)
        for channel in range(CHANNELS):
            end.credits[channel] += (counts >> GRANT_BITS * channel) & ((1 << GRANT_BITS) - 1)
    end.sent = NOTHING
    end.budget = min(end.budget + timing.share, 2 * WHOLE - 1)
    if end.budget < WHOLE:
        return
    chosen, chosen_set = NOTHING, NOTHING
    for turn in range(1, SETS + 1):
        which = (end.last_set + turn) % SETS
        for step in range(1, PER_SET + 1):
            channel = which * PER_SET + (end.last_in_set[which] + step) % PER_SET
            if end.offer[channel] != NOTHING and end.credits[channel] > 0:
                chosen, chosen_set = channel, which
                break
        if chosen != NOTHING:
            break
    owed, urgent = False, False
    for channel in range(CHANNELS):
        owed |= end.owed[channel] > 0
        urgent |= end.owed[channel] >= end.urgent[channel]
    if owed and (urgent or chosen == NOTHING):
        counts = 0
        for channel in range(CHANNELS):
            counts |= end.owed[channel] << GRANT_BITS * channel
            end.owed[channel] = 0
        end.budget -= WHOLE
        # They pass no receive queue, and are spent the cycle after.
        push(queues, end.far_grants, counts, now + link - 1)
    elif chosen != NOTHING:
        end.sent = chosen
        end.budget -= WHOLE
        end.last_set = chosen_set
        end.last_in_set[chosen_set] = chosen % PER_SET
        end.credits[chosen] -= 1
        push(queues, end.arrives[chosen], end.offer[chosen], now + link)


@compiled
def arrived(end: Record, far: Record, channel: int, queues: Queues, now: int) -> int:
    """The flit at the head of a receive queue at ``end``, filled from ``far``; or NOTHING."""
    queue = far.arrives[channel]
    if not ready(queues, queue, now):
        return NOTHING
    return front(queues, queue)


@compiled
def consume(end: Record, far: Record, channel: int, queues: Queues) -> None:
    pop(queues, far.arrives[channel])
    end.owed[channel] += 1
