"""Reads of an engine's own memory: commands, polled words and data on one AXI4 id."""

from amaranth import Module, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.dma.jobs import segment_bits, segment_burst_layout
from hw.memory.axi import BURST_LAYOUT, read_beat_layout
from hw.spec.config import Config
from hw.spec.packet import ADDRESS_BITS, WORD_BITS
from hw.stream.arbiter import StreamArbiter
from hw.stream.queue import Queue

UNDER_WAY = 16


class Reader(enum.IntEnum, shape=2):
    COMMAND = 0
    POLL = 1
    DATA = 2


class MemoryReader(wiring.Component):
    """Ports
    -----
    command, command_beat : bursts of the command fetch, and their data
    poll, word, word_valid, word_error : addresses to look at, and what was there
    segment, segment_beat, beat_segment, beat_last : bursts of data, with the segment each is
        for; data with their segment
    burst, beat : the memory port

    Round robin; up to 16 bursts are under way. AXI4 answers in order, so a queue tells which
    burst's data come next. No cycle is added either way.
    """

    def __init__(self, config: Config):
        self._config = config
        bursts = stream.Signature(BURST_LAYOUT)
        beats = stream.Signature(read_beat_layout(config))
        super().__init__(
            {
                "command": In(bursts),
                "command_beat": Out(beats),
                "poll": In(stream.Signature(ADDRESS_BITS)),
                "word": Out(WORD_BITS),
                "word_valid": Out(1),
                "word_error": Out(1),
                "segment": In(stream.Signature(segment_burst_layout(config))),
                "segment_beat": Out(beats),
                "beat_segment": Out(segment_bits(config)),
                "beat_last": Out(1),
                "burst": Out(bursts),
                "beat": In(beats),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shift = exact_log2(self._config.fabric.flit_bytes)
        owner_layout = data.StructLayout(
            {
                "reader": Reader,
                "segment": segment_bits(self._config),
                "lane": shift - 3,
                "beats": 9,
            }
        )
        request_layout = data.StructLayout({"burst": BURST_LAYOUT, "owner": owner_layout})
        m.submodules.turn = turn = StreamArbiter(request_layout, count=len(Reader))
        m.submodules.owners = owners = Queue(owner_layout, depth=UNDER_WAY)
        aligned = self.poll.payload & ~((1 << shift) - 1)
        for reader, source, address, beats in (
            (
                Reader.COMMAND,
                self.command,
                self.command.payload.address,
                self.command.payload.beats,
            ),
            (Reader.POLL, self.poll, aligned, 1),
            (
                Reader.DATA,
                self.segment,
                self.segment.payload.burst.address,
                self.segment.payload.burst.beats,
            ),
        ):
            entry = turn.i[reader.value]
            m.d.comb += [
                entry.valid.eq(source.valid),
                source.ready.eq(entry.ready),
                entry.payload.burst.address.eq(address),
                entry.payload.burst.beats.eq(beats),
                entry.payload.owner.reader.eq(reader),
                entry.payload.owner.segment.eq(self.segment.payload.segment),
                entry.payload.owner.lane.eq(self.poll.payload[3:shift]),
                entry.payload.owner.beats.eq(beats),
            ]
        m.d.comb += [
            self.burst.valid.eq(turn.o.valid & owners.i.ready),
            self.burst.payload.eq(turn.o.payload.burst),
            owners.i.valid.eq(turn.o.valid & self.burst.ready),
            owners.i.payload.eq(turn.o.payload.owner),
            turn.o.ready.eq(owners.i.ready & self.burst.ready),
        ]

        owner = owners.o.payload
        count = Signal(9, init=1)
        last = Signal()
        m.d.comb += [
            self.beat.ready.eq(1),
            last.eq(count == owner.beats),
            owners.o.ready.eq(self.beat.valid & last),
            self.command_beat.payload.eq(self.beat.payload),
            self.command_beat.valid.eq(self.beat.valid & (owner.reader == Reader.COMMAND)),
            self.word.eq(self.beat.payload.data.word_select(owner.lane, WORD_BITS)),
            self.word_error.eq(self.beat.payload.error),
            self.word_valid.eq(self.beat.valid & (owner.reader == Reader.POLL)),
            self.segment_beat.payload.eq(self.beat.payload),
            self.segment_beat.valid.eq(self.beat.valid & (owner.reader == Reader.DATA)),
            self.beat_segment.eq(owner.segment),
            self.beat_last.eq(last),
        ]
        with m.If(self.beat.valid):
            m.d.sync += count.eq(count + 1)
            with m.If(last):
                m.d.sync += count.eq(1)
        return m
