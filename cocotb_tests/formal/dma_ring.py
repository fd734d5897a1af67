"""hw/dma/ring.py: pointers never pass each other, and no fetched command is lost."""

from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from cocotb_tests.support.formal import Claim
from hw.dma.ring import Ring
from hw.spec.config import load
from hw.spec.dma import COMMAND_BYTES
from hw.spec.status import Status

CONFIG = load("tiny", {"dma.prefetch": 2, "fabric.flit_bytes": 32, "fabric.header_bytes": 32})
BEATS = COMMAND_BYTES // CONFIG.fabric.flit_bytes
SIZE = 4


class FetchLoop(wiring.Component):
    """A ring of four places; a host that announces commands where there is room, and inline
    ones at any time; a memory that answers what was asked, whenever it likes; a sequencer
    that takes commands whenever it likes."""

    def __init__(self, *, impatient: bool = False):
        self._impatient = impatient
        super().__init__({"more": In(1), "inline": In(1), "answer": In(1), "take": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ring = ring = Ring(CONFIG)
        doorbell = Signal(32)
        owed = Signal(8)
        announced = Signal()
        issued = Signal()
        m.d.comb += [
            Assume(~ResetSignal()),
            announced.eq(self.more & ((doorbell - ring.fetched) < SIZE)),
            ring.size.eq(SIZE),
            ring.doorbell.eq(doorbell),
            ring.inline_valid.eq(self.inline),
            ring.burst.ready.eq(1),
            issued.eq(ring.burst.valid),
            # The seeded bug: data that the ring did not ask for.
            ring.beat.valid.eq(self.answer & ((owed != 0) | self._impatient)),
            ring.o.ready.eq(self.take),
        ]
        m.d.sync += [
            doorbell.eq(doorbell + announced),
            ring.ring.eq(announced),
            owed.eq(owed + (issued << (BEATS.bit_length() - 1)) - ring.beat.valid),
        ]
        given = Signal(4)
        with m.If(ring.o.valid & ring.o.ready):
            m.d.sync += given.eq(given + 1)
        m.d.comb += [
            Assert(~ring.lost),
            Assert((doorbell - ring.fetched) <= SIZE),
            Assert((ring.failure == Status.OK) | self.inline),
            Cover(given == 3),
            Cover(ring.failure == Status.RING_OVERRUN),
        ]
        return m


CLAIMS = [
    Claim(
        "dma/ring.py",
        "pointers never pass each other; no fetched command is lost",
        FetchLoop,
        lambda: FetchLoop(impatient=True),
        depth=14,
        cover_depth=18,
        full_depth=20,
    )
]
