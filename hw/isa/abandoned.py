"""Counts answers still to come to requests that were given up."""

from amaranth import Mux, Signal

ABANDONED_BITS = 16


def count_abandoned(m, name: str, *, more, less) -> Signal:
    """Answers still owed to requests that were given up, after ``more`` and ``less`` (one) of
    earlier cycles; adds what it takes to ``m``.

    It stays at its largest value. Those of a dead endpoint never come, so that after many
    timeouts it would begin anew at 0, and the next late answer be taken for a stray.
    """
    count = Signal(ABANDONED_BITS, name=name)
    total = Signal(ABANDONED_BITS + 1, name=f"{name}_total")
    m.d.comb += total.eq(count + more - less)
    m.d.sync += count.eq(Mux(count.all() | total[-1], ~0, total))
    return count
