"""Arrive at a barrier, then poll the completion flag."""

from amaranth import Module, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.endpoint.axi import BURST_LAYOUT, read_beat_layout
from hw.fabric.packets import drive_header
from hw.spec.config import Config
from hw.spec.packet import ADDRESS_BITS, FlagWord, MessageClass, Operation, flit_layout
from hw.spec.status import Status


class Sync(wiring.Component):
    """What an accelerator does around a collective.

    Ports
    -----
    start, sync_id : in, arrive at that barrier
    flag_base, interval : in, address of flag 0; cycles between polls
    o : flit stream out, the arrival (header and one payload flit: add 1)
    burst, beat : streams, reads of the flag
    waiting : out, from the arrival until the flag is seen
    status, identifier : out, from the flag
    arrived, seen : pulses, the arrival has left; the flag was seen

    Software clears the flag before it arrives.
    """

    def __init__(self, config: Config, *, identity: ValueLike):
        self._config = config
        self._identity = identity
        super().__init__(
            {
                "start": In(1),
                "sync_id": In(8),
                "flag_base": In(ADDRESS_BITS),
                "interval": In(16),
                "o": Out(stream.Signature(flit_layout(config))),
                "burst": Out(stream.Signature(BURST_LAYOUT)),
                "beat": In(stream.Signature(read_beat_layout(config))),
                "waiting": Out(1),
                "status": Out(Status),
                "identifier": Out(16),
                "arrived": Out(1),
                "seen": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        flit_bytes = self._config.fabric.flit_bytes
        sync_id = Signal(8)
        address = Signal(ADDRESS_BITS)
        countdown = Signal(16)
        lane = address[3 : (flit_bytes - 1).bit_length()]
        word = data.View(FlagWord, self.beat.payload.data.word_select(lane, 64))
        m.d.comb += [
            self.beat.ready.eq(1),
            self.burst.payload.address.eq(address & ~(flit_bytes - 1)),
            self.burst.payload.beats.eq(1),
        ]
        with m.FSM():
            with m.State("idle"), m.If(self.start):
                m.d.sync += [
                    sync_id.eq(self.sync_id),
                    address.eq(self.flag_base + (self.sync_id << 3)),
                    self.waiting.eq(1),
                ]
                m.next = "header"
            with m.State("header"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    *drive_header(
                        self.o.payload,
                        last=0,
                        inc=1,
                        message_class=MessageClass.WRITE_REQUEST,
                        operation=Operation.ATOMIC_ADD,
                        source=self._identity,
                        length=8,
                        address=sync_id << 3,
                    ),
                ]
                with m.If(self.o.ready):
                    m.next = "operand"
            with m.State("operand"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(1),
                    self.o.payload.first.eq(0),
                    self.o.payload.last.eq(1),
                ]
                with m.If(self.o.ready):
                    m.d.comb += self.arrived.eq(1)
                    m.d.sync += countdown.eq(self.interval)
                    m.next = "pause"
            with m.State("pause"):
                m.d.sync += countdown.eq(countdown - 1)
                with m.If(countdown == 0):
                    m.next = "poll"
            with m.State("poll"):
                m.d.comb += self.burst.valid.eq(1)
                with m.If(self.burst.ready):
                    m.next = "look"
            with m.State("look"), m.If(self.beat.valid):
                m.d.sync += countdown.eq(self.interval)
                m.next = "pause"
                with m.If(word.valid):
                    m.d.comb += self.seen.eq(1)
                    m.d.sync += [
                        self.waiting.eq(0),
                        self.status.eq(word.status),
                        self.identifier.eq(word.identifier),
                    ]
                    m.next = "idle"
        return m
