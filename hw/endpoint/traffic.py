"""A source of ordinary traffic."""

from amaranth import Cat, Const, Module, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.packets import drive_header, header_of, node_id
from hw.spec.config import MAX_ENDPOINTS, TAG_BITS, Config
from hw.spec.dma import TAG_ENGINE_BITS, TRAFFIC_ENGINE, RequestTag
from hw.spec.packet import ADDRESS_BITS, LENGTH_BITS, MessageClass, Operation, flit_layout
from hw.spec.registers import COUNTER_BITS
from hw.spec.status import Status

SEQUENCE_BITS = 24


class Traffic(wiring.Component):
    """Write packets to one endpoint or several, as fast as the link takes them.

    Parameters: ``identity``, id of the endpoint, 0 … 15, or a value that holds it.

    Ports
    -----
    enable, limit : in, send while enabled, ``limit`` packets or for ever (0)
    destination, multicast : in, endpoint id or mask
    address, span : in, packets go to ``address`` onwards and start over after ``span`` bytes
    length : in, payload bytes, a multiple of the flit
    o, response : flit streams, write requests out and responses in, those to others too
    sent, answered : out, counts since enabled
    begins, failed : pulses, counts start over; a response was not OK

    Every 32-bit word of payload flit *n* is ``identity << 24 | n``, so that the receiver's
    memory tells which endpoint wrote last. One flit per cycle.
    """

    def __init__(self, config: Config, *, identity: ValueLike):
        self._config = config
        self._identity = node_id(identity)
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "enable": In(1),
                "limit": In(32),
                "destination": In(MAX_ENDPOINTS),
                "multicast": In(1),
                "address": In(ADDRESS_BITS),
                "span": In(32),
                "length": In(LENGTH_BITS),
                "o": Out(flits),
                "response": In(flits),
                "sent": Out(COUNTER_BITS),
                "answered": Out(COUNTER_BITS),
                "begins": Out(1),
                "failed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        flit_bytes = self._config.fabric.flit_bytes
        left = Signal(LENGTH_BITS)
        offset = Signal(32)
        following = Signal(32)
        sequence = Signal(SEQUENCE_BITS)
        started, exhausted = Signal(), Signal()
        number = Signal(32 - SEQUENCE_BITS)
        m.d.comb += number.eq(self._identity)
        word = Cat(sequence, number)
        own = Const(TRAFFIC_ENGINE, TAG_ENGINE_BITS)
        m.d.comb += following.eq(offset + self.length)
        with m.If(left == 0):
            m.d.comb += [
                self.o.valid.eq(self.enable & started & ~exhausted),
                *drive_header(
                    self.o.payload,
                    last=0,
                    message_class=MessageClass.WRITE_REQUEST,
                    operation=Operation.WRITE,
                    acknowledge=1,
                    multicast=self.multicast,
                    source=self._identity,
                    destination=self.destination,
                    tag=Cat(self.sent[: TAG_BITS - TAG_ENGINE_BITS], own),
                    length=self.length,
                    address=self.address + offset,
                ),
            ]
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += [left.eq(self.length), self.sent.eq(self.sent + 1)]
                with m.If(following >= self.span):
                    m.d.sync += offset.eq(0)
                with m.Else():
                    m.d.sync += offset.eq(following)
        with m.Else():
            m.d.comb += [
                self.o.valid.eq(1),
                self.o.payload.data.eq(Cat(*[word] * (flit_bytes // 4))),
                self.o.payload.first.eq(0),
                self.o.payload.last.eq(left <= flit_bytes),
            ]
            with m.If(self.o.ready):
                m.d.sync += sequence.eq(sequence + 1)
                with m.If(left <= flit_bytes):
                    m.d.sync += left.eq(0)
                with m.Else():
                    m.d.sync += left.eq(left - flit_bytes)

        m.d.comb += self.response.ready.eq(1)
        # A packet is at least two flits, so this is known when the next may begin.
        m.d.sync += [
            started.eq(self.enable),
            exhausted.eq((self.limit != 0) & (self.sent == self.limit)),
        ]
        tag = Signal(RequestTag.layout())
        m.d.comb += tag.eq(header_of(self.response.payload).tag)
        with m.If(self.response.valid & self.response.payload.first & (tag.engine == own)):
            m.d.sync += self.answered.eq(self.answered + 1)
            m.d.comb += self.failed.eq(header_of(self.response.payload).status != Status.OK)
        m.d.comb += self.begins.eq(self.enable & ~started)
        with m.If(self.begins):
            m.d.sync += [
                self.sent.eq(0),
                self.answered.eq(0),
                exhausted.eq(0),
                offset.eq(0),
                sequence.eq(0),
            ]
        return m
