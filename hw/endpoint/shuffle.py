"""Answer in another order than asked, as a real memory system may."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import within
from hw.spec.timing import SHUFFLE_SEED, SHUFFLE_TAPS
from hw.stream.arbiter import RoundRobin, lowest_set, select

NOISE_BITS = 16


class Shuffle(wiring.Component):
    """A pool of ``slots`` items that leave in pseudo-random order.

    Parameters: ``shape`` of an item; ``slots``, 1 … 16, a bit of the noise for each.

    Ports: ``i``, ``o`` (streams). With one slot this is a plain register. An item waits
    at least ``slots`` x 2 cycles for company before the pool gives one out, unless the
    pool is full; the order is the same in every run.
    """

    def __init__(self, shape, *, slots: int):
        self._shape = shape
        self._slots = within("slots", slots, 1, NOISE_BITS)
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        slots = self._slots
        items = [Signal(self._shape, name=f"item_{s}") for s in range(slots)]
        full = Signal(slots)
        noise = Signal(NOISE_BITS, init=SHUFFLE_SEED)
        m.d.sync += noise.eq((noise >> 1) ^ Mux(noise[0], SHUFFLE_TAPS, 0))
        m.submodules.turn = turn = RoundRobin(slots)
        m.d.comb += turn.requests.eq(full & noise[:slots])
        waited = Signal(range(2 * slots + 1))
        chosen = Signal(slots)
        with m.If((chosen == 0) | self.o.ready):
            willing = full.all() | (waited == 2 * slots)
            left = full & ~chosen
            pick = Mux((left & turn.grant) != 0, left & turn.grant, lowest_set(left))
            m.d.sync += chosen.eq(Mux(willing | (slots == 1), pick, 0))
        with m.If(full.any() & (waited != 2 * slots)):
            m.d.sync += waited.eq(waited + 1)
        with m.If(~full.any()):
            m.d.sync += waited.eq(0)
        free = lowest_set(~full)
        accept = Signal()
        m.d.comb += [
            accept.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(~full.all()),
            self.o.valid.eq(chosen.any()),
            self.o.payload.eq(select(chosen, items)),
            turn.advance.eq(self.o.valid & self.o.ready),
        ]
        for s in range(slots):
            with m.If(accept & free[s]):
                m.d.sync += items[s].eq(self.i.payload)
        m.d.sync += full.eq(
            (full & ~Mux(self.o.valid & self.o.ready, chosen, 0)) | Mux(accept, free, 0)
        )
        return m
