"""Notice that nothing moves any more."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Watchdog(wiring.Component):
    """Count cycles without progress.

    Ports
    -----
    running : in, there is something to wait for
    at_barrier : in, it waits for arrivals, which may take longer
    progress : in, something moved
    limit, barrier_limit : in, cycles; a ``barrier_limit`` of 0 waits for ever
    expired, barrier_expired : pulse, the limit was reached; the count starts over
    """

    def __init__(self):
        super().__init__(
            {
                "running": In(1),
                "at_barrier": In(1),
                "progress": In(1),
                "limit": In(32),
                "barrier_limit": In(32),
                "expired": Out(1),
                "barrier_expired": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        idle = Signal(32)
        barrier_before = Signal()
        m.d.comb += [
            # What was counted elsewhere does not count: the count starts over a cycle later.
            self.expired.eq(
                self.running & ~self.at_barrier & ~barrier_before & (idle >= self.limit)
            ),
            self.barrier_expired.eq(
                self.running
                & self.at_barrier
                & barrier_before
                & (self.barrier_limit != 0)
                & (idle >= self.barrier_limit)
            ),
        ]
        restart = (
            ~self.running
            | self.progress
            | (self.at_barrier != barrier_before)
            | self.expired
            | self.barrier_expired
        )
        m.d.sync += [barrier_before.eq(self.at_barrier), idle.eq(Mux(restart, 0, idle + 1))]
        return m
