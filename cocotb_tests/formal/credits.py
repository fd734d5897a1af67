"""hw/fabric/transmitter.py and receiver.py: no credit is lost or made, so no queue can overflow."""

from amaranth import Module, Mux
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cocotb_tests.support.formal import Claim
from hw.fabric.receiver import Receiver
from hw.fabric.transmitter import Transmitter
from hw.spec.config import Config, load
from hw.spec.packet import Channel, credit_layout, flit_layout, queue_flits
from hw.stream.connect import connect_stream

QUEUES = {"fabric.data_queue_flits": 8, "fabric.control_queue_flits": 4}
CONFIG = load("tiny", QUEUES)
CHANNELS = (Channel.CORE_READ_REQUEST, Channel.ISA_READ_REQUEST)


class CreditLoop(wiring.Component):
    """A transmitter, a receiver, and the far end's transmitter that returns the credits.

    The link registers of the two transmitters are all that is in flight. Everything the
    outside does is free: what is offered, when the physical layers take it (``takes``), and
    when the receiver's streams are drained. Induction starts from any state, with a link given
    up as well.
    """

    def __init__(self, config: Config = CONFIG, *, broken: bool = False):
        self._config = config
        self._broken = broken
        flits = stream.Signature(flit_layout(CONFIG))
        super().__init__(
            {
                "i": In(flits).array(len(CHANNELS)),
                "o": Out(flits).array(len(CHANNELS)),
                "other": In(flits).array(len(CHANNELS)),
                "takes": In(2),
                "owes": In(2),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.near = near = Transmitter(self._config, CHANNELS)
        m.submodules.far = far = Receiver(self._config, CHANNELS)
        m.submodules.back = back = Transmitter(self._config, CHANNELS)
        for outer, inner in (*zip(self.i, near.i, strict=True), *zip(far.o, self.o, strict=True)):
            connect_stream(m, outer, inner)
        for outer, inner in zip(self.other, back.i, strict=True):
            connect_stream(m, outer, inner)
        returned = data.View(credit_layout(), back.link.payload.flit.data[: credit_layout().size])
        held = back.link.valid & back.link.payload.credit
        returning = held & self.takes[1]
        m.d.comb += [
            Assume(~ResetSignal()),
            # What the near end owes itself is free, and goes the same way.
            Assume(~self.owes[1] | self.owes[0]),
            near.owed_any.eq(self.owes[0]),
            near.owed_urgent.eq(self.owes[1]),
            near.link.ready.eq(self.takes[0]),
            back.link.ready.eq(self.takes[1]),
            far.link.valid.eq(near.link.valid & self.takes[0]),
            far.link.payload.eq(near.link.payload),
            back.owed.eq(far.owed),
            back.owed_any.eq(far.owed_any),
            back.owed_urgent.eq(far.owed_urgent),
            far.take_owed.eq(back.take_owed),
            # The seeded bug: whatever crosses the link counts as returned credits.
            near.grant_valid.eq(back.link.valid & self.takes[1] if self._broken else returning),
            near.grant.eq(returned),
            Assert(~far.overflow),
            Assert((near.chosen & (near.chosen - 1)) == 0),
            Assert((near.chosen & ~near.credited) == 0),
            Assert(far.owed_any == (far.owed.as_value() != 0)),
            Assert(~far.owed_urgent | far.owed_any),
        ]
        for channel in CHANNELS:
            number = channel.value
            sent = near.link.valid & ~near.link.payload.credit
            flying = sent & (near.link.payload.channel == channel)
            coming = Mux(held, returned[number], 0)
            depth = queue_flits(CONFIG, channel)
            total = near.credits[number] + flying + far.held[number] + far.owed[number] + coming
            m.d.comb += [
                Assert(total == depth),
                Assert(near.credited[CHANNELS.index(channel)] == (near.credits[number] != 0)),
                Cover(far.held[number] == depth),
            ]
        return m


CLAIMS = [
    Claim(
        f"fabric/transmitter.py, receiver.py, {kind}",
        "credits + in flight + queued + owed = places; no queue overflows",
        lambda registered=registered: CreditLoop(
            load("tiny", QUEUES | {"fabric.registered": registered})
        ),
        lambda registered=registered: CreditLoop(
            load("tiny", QUEUES | {"fabric.registered": registered}), broken=True
        ),
        depth=8,
        cover_depth=16,
        induction=True,
    )
    for registered, kind in ((False, "a queue each"), (True, "queues in one memory"))
]
