"""Atomic additions to an endpoint's memory, one at a time."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.memory.axi import BURST_LAYOUT, read_beat_layout, write_beat_layout
from hw.spec.checks import at_least
from hw.spec.config import Config
from hw.spec.packet import ADDRESS_BITS, WORD_BITS
from hw.stream.arbiter import StreamArbiter
from hw.stream.connect import register_stage
from hw.stream.queue import Buffer

ADDITION_LAYOUT = data.StructLayout({"address": ADDRESS_BITS, "operand": WORD_BITS})
"""Add ``operand`` to the 64-bit word at ``address``, a multiple of 8."""


class Atomic(wiring.Component):
    """Read a word over AXI4, add to it, write it back, before any other addition.

    Parameters: ``requesters``, how many share it, at least 1.

    Ports
    -----
    i : streams in, additions, one stream per requester
    done : pulse per requester, its addition is visible
    error : out with ``done``, memory answered with an error
    read_burst, read_beat, write_burst, write_beat, written, write_error : the memory port

    AXI4 itself has no atomic access, so this unit is the only one of its endpoint that adds.
    Plain writes to the same word are not held off. An addition takes 4 cycles and the
    memory's latency twice; a requester has one under way at most.
    """

    def __init__(self, config: Config, *, requesters: int):
        self._config = config
        self._requesters = at_least("requesters", requesters, 1)
        bursts = stream.Signature(BURST_LAYOUT)
        super().__init__(
            {
                "i": In(stream.Signature(ADDITION_LAYOUT)).array(requesters),
                "done": Out(requesters),
                "error": Out(1),
                "read_burst": Out(bursts),
                "read_beat": In(stream.Signature(read_beat_layout(config))),
                "write_burst": Out(bursts),
                "write_beat": Out(stream.Signature(write_beat_layout(config))),
                "written": In(1),
                "write_error": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        flit_bytes = self._config.fabric.flit_bytes
        words = flit_bytes * 8 // WORD_BITS
        shift = exact_log2(flit_bytes)
        tagged = data.StructLayout({"addition": ADDITION_LAYOUT, "requester": self._requesters})
        m.submodules.turn = turn = StreamArbiter(tagged, count=self._requesters)
        for index, source in enumerate(self.i):
            if self._config.fabric.registered:
                source = register_stage(m, f"entrance_{index}", source, Buffer)
            m.d.comb += [
                turn.i[index].valid.eq(source.valid),
                turn.i[index].payload.addition.eq(source.payload),
                turn.i[index].payload.requester.eq(1 << index),
                source.ready.eq(turn.i[index].ready),
            ]
        job = Signal(tagged)
        address = job.addition.address
        word = address[3:shift]
        total = Signal(WORD_BITS)
        failed = Signal()
        m.d.comb += [
            self.read_beat.ready.eq(1),
            self.error.eq(failed | self.write_error),
            self.read_burst.payload.beats.eq(1),
            self.read_burst.payload.address.eq(Cat(Const(0, shift), address[shift:])),
            self.write_burst.payload.eq(self.read_burst.payload),
            self.write_beat.payload.data.eq(Cat(*[total] * words)),
            self.write_beat.payload.strobe.eq(0xFF << (word << 3)),
            self.write_beat.payload.last.eq(1),
        ]
        with m.FSM():
            with m.State("idle"):
                m.d.comb += turn.o.ready.eq(1)
                with m.If(turn.o.valid):
                    m.d.sync += job.eq(turn.o.payload)
                    m.next = "ask"
            with m.State("ask"):
                m.d.comb += self.read_burst.valid.eq(1)
                with m.If(self.read_burst.ready):
                    m.next = "add"
            with m.State("add"), m.If(self.read_beat.valid):
                found = self.read_beat.payload.data.word_select(word, WORD_BITS)
                m.d.sync += [
                    total.eq(found + job.addition.operand),
                    failed.eq(self.read_beat.payload.error),
                ]
                m.next = "write"
            with m.State("write"):
                m.d.comb += [
                    self.write_burst.valid.eq(1),
                    self.write_beat.valid.eq(self.write_burst.ready),
                ]
                with m.If(self.write_burst.ready):
                    m.next = "written"
                    with m.If(~self.write_beat.ready):
                        m.next = "beat"
            with m.State("beat"):
                m.d.comb += self.write_beat.valid.eq(1)
                with m.If(self.write_beat.ready):
                    m.next = "written"
            with m.State("written"), m.If(self.written):
                m.d.comb += self.done.eq(job.requester)
                m.next = "idle"
        return m
