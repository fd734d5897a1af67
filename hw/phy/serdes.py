"""A board-to-board link over a serial transceiver: one pair of wires each way."""

from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, Mux, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hw.fabric.phy import wire_signature
from hw.phy.serializer import Sending
from hw.phy.supervisor import LinkStatus, LinkSupervisor
from hw.phy.training import TrainingState
from hw.phy.word_receiver import WordReceiver
from hw.phy.word_transmitter import WordTransmitter
from hw.phy.words import WORD_BYTES, Word, frame_words
from hw.spec.config import Config
from hw.spec.link import wire_layout

FIFO_DEPTH = 4

CROSSING_CYCLES = 14
"""Both FIFOs between clocks, and the registers of transmitter and receiver."""


def serial_latency(config: Config) -> int:
    """Cycles from a flit that is offered to the same at the far end, without transceivers and
    cable: it may wait for one frame to end, then is sent and taken whole."""
    return 2 * frame_words(config) + CROSSING_CYCLES


class SerdesPhy(wiring.Component):
    """Between a link and a transceiver that encodes 8b/10b and finds where symbols begin.

    Ports
    -----
    i, o : links, in domain ``sync``
    transmit_clock, word_out : in, out: the transceiver's clock, and a word with each of it
    receive_clock, word_in, bad_in : in, the recovered clock, words, and which of their bytes
        were no symbols
    status : out, see :class:`~hw.phy.supervisor.LinkStatus`

    The protocol is that of the link over pins, without lanes: headers tell whether their sender
    is trained, and flits flow while both ends are. There is nothing to sweep, so a receiver is
    trained when it is aligned. Clocks may differ as there; a flit takes ``frame_words`` cycles
    of the transceiver's clock.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "i": In(wire_signature(config)),
                "o": Out(wire_signature(config)),
                "transmit_clock": In(1),
                "word_out": Out(Word),
                "receive_clock": In(1),
                "word_in": In(Word),
                "bad_in": In(WORD_BYTES),
                "status": Out(LinkStatus),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # These clocks may stop and come back: nothing may hang on a reset from here.
        for name in ("transmit", "receive"):
            m.domains += ClockDomain(name, reset_less=True, local=True)
            m.d.comb += ClockSignal(name).eq(getattr(self, f"{name}_clock"))
        width = wire_layout(self._config).size
        m.submodules.leaving = leaving = fifo.AsyncFIFO(
            width=width, depth=FIFO_DEPTH, w_domain="sync", r_domain="transmit"
        )
        m.submodules.arriving = arriving = fifo.AsyncFIFO(
            width=width, depth=FIFO_DEPTH, w_domain="receive", r_domain="sync"
        )
        m.submodules.transmitter = transmitter = DomainRenamer("transmit")(
            WordTransmitter(self._config)
        )
        m.submodules.receiver = receiver = DomainRenamer("receive")(WordReceiver(self._config))
        m.submodules.supervisor = supervisor = LinkSupervisor()
        m.d.comb += [
            leaving.w_data.eq(self.i.payload),
            leaving.w_en.eq(self.i.valid & supervisor.status.up),
            self.i.ready.eq(leaving.w_rdy & supervisor.status.up),
            transmitter.i.payload.as_value().eq(leaving.r_data),
            transmitter.i.valid.eq(leaving.r_rdy),
            leaving.r_en.eq(transmitter.i.ready),
            self.word_out.eq(transmitter.word),
            receiver.word.eq(self.word_in),
            receiver.bad.eq(self.bad_in),
            arriving.w_data.eq(receiver.flit),
            arriving.w_en.eq(receiver.flit_valid),
            arriving.r_en.eq(1),
            self.o.valid.eq(arriving.r_rdy),
            self.o.payload.as_value().eq(arriving.r_data),
            supervisor.receiver_aligned.eq(receiver.aligned),
            supervisor.receiver_far_trained.eq(receiver.far_trained),
            supervisor.receiver_error.eq(receiver.error),
            supervisor.receiver_beat.eq(receiver.beat),
            supervisor.trained.eq(supervisor.aligned & supervisor.alive),
            supervisor.state.eq(
                Mux(supervisor.trained, TrainingState.TRAINED, TrainingState.CHECKING)
            ),
            self.status.eq(supervisor.status),
        ]
        # Two bits that cross apart: in between they say less than is true, never more.
        trained, up = Signal(), Signal()
        for name, level, value in (
            ("trained", trained, Sending.TRAINED),
            ("up", up, Sending.FLITS),
        ):
            held = Signal(name=f"{name}_held")
            m.d.sync += held.eq(supervisor.sending >= value)
            m.submodules[f"cross_{name}"] = FFSynchronizer(held, level, o_domain="transmit")
        m.d.comb += transmitter.sending.eq(
            Mux(up, Sending.FLITS, Mux(trained, Sending.TRAINED, Sending.UNTRAINED))
        )
        return m
