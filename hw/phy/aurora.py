"""A board-to-board link over serial transceivers: the vendor's Aurora core carries flits."""

from amaranth import Module, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hw.fabric.phy import wire_signature
from hw.phy.supervisor import LinkStatus
from hw.phy.training import TrainingState
from hw.spec.config import Config
from hw.spec.link import wire_layout

LANE_BITS = 64
"""Of Aurora 64b/66b, per lane and user clock."""

FIFO_DEPTH = 32


def aurora_lanes(config: Config) -> int:
    """As many as carry a link flit in one cycle of the user clock."""
    return -(-wire_layout(config).size // LANE_BITS)


class AuroraPhy(wiring.Component):
    """Between a link and the streaming interface of an Aurora 64b/66b core.

    Ports
    -----
    i, o : links, in domain ``sync``
    transmit_data, transmit_valid, transmit_ready : to the core, in domain ``user``
    receive_data, receive_valid : from the core, in domain ``user``
    channel_up : in, asynchronous
    status : out

    A flit per cycle of either clock; crossing takes 3 cycles of each. The core aligns, and
    initialises its lanes by itself; flits are taken while the channel is up.
    """

    def __init__(self, config: Config):
        self._config = config
        width = LANE_BITS * aurora_lanes(config)
        super().__init__(
            {
                "i": In(wire_signature(config)),
                "o": Out(wire_signature(config)),
                "transmit_data": Out(width),
                "transmit_valid": Out(1),
                "transmit_ready": In(1),
                "receive_data": In(width),
                "receive_valid": In(1),
                "channel_up": In(1),
                "status": Out(LinkStatus),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = wire_layout(self._config).size
        m.submodules.transmit = transmit = fifo.AsyncFIFO(
            width=width, depth=FIFO_DEPTH, w_domain="sync", r_domain="user"
        )
        m.submodules.receive = receive = fifo.AsyncFIFO(
            width=width, depth=FIFO_DEPTH, w_domain="user", r_domain="sync"
        )
        up, was_up = Signal(), Signal()
        m.submodules.cross_up = FFSynchronizer(self.channel_up, up)
        drops, errors = Signal(8), Signal(16)
        lost = Signal()
        m.d.comb += [
            transmit.w_data.eq(self.i.payload),
            transmit.w_en.eq(self.i.valid & up),
            self.i.ready.eq(transmit.w_rdy & up),
            self.transmit_data.eq(transmit.r_data),
            self.transmit_valid.eq(transmit.r_rdy),
            transmit.r_en.eq(self.transmit_ready),
            receive.w_data.eq(self.receive_data),
            receive.w_en.eq(self.receive_valid),
            receive.r_en.eq(1),
            self.o.valid.eq(receive.r_rdy),
            self.o.payload.as_value().eq(receive.r_data),
            lost.eq(was_up & ~up & ~drops.all()),
            self.status.up.eq(up),
            self.status.trained.eq(up),
            self.status.far_trained.eq(up),
            self.status.aligned.eq(up),
            self.status.clock.eq(1),
            self.status.state.eq(TrainingState.TRAINED),
            self.status.drops.eq(drops),
            self.status.errors.eq(errors),
        ]
        m.d.sync += [was_up.eq(up), drops.eq(drops + lost)]
        return m
