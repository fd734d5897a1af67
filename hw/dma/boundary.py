"""What enters and leaves a DMA engine, and the registers at its boundary."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.dma.csr import Control
from hw.memory.atomic import ADDITION_LAYOUT
from hw.memory.axi import BURST_LAYOUT, read_beat_layout, write_beat_layout
from hw.memory.windows import window_layout
from hw.spec.config import Config
from hw.spec.packet import WORD_BITS, flit_layout
from hw.stream.connect import connect_stream
from hw.stream.queue import Buffer


class EnginePorts(wiring.Signature):
    """Memory and fabric, seen from an engine.

    ``clock``: 64-bit cycle counter; ``windows``: memory windows. ``read_burst``, ``read_beat``,
    ``write_burst``, ``write_beat``, ``written``, ``write_error``: own memory, whose beats cannot be
    held up. ``addition``, ``added``, ``addition_error``: the endpoint's unit for atomic additions.
    ``read_request``, ``write_request``, ``read_response``, ``write_response``: flit streams, to
    and from other memories.
    """

    def __init__(self, config: Config):
        flits = stream.Signature(flit_layout(config))
        bursts = stream.Signature(BURST_LAYOUT)
        super().__init__(
            {
                "clock": In(WORD_BITS),
                "windows": In(data.ArrayLayout(window_layout(config), config.endpoint.windows)),
                "read_burst": Out(bursts),
                "read_beat": In(stream.Signature(read_beat_layout(config))),
                "write_burst": Out(bursts),
                "write_beat": Out(stream.Signature(write_beat_layout(config))),
                "written": In(1),
                "write_error": In(1),
                "addition": Out(stream.Signature(ADDITION_LAYOUT)),
                "added": In(1),
                "addition_error": In(1),
                "read_request": Out(flits),
                "write_request": Out(flits),
                "read_response": In(flits),
                "write_response": In(flits),
            }
        )


class Boundary(wiring.Component):
    """Everything that enters or leaves the engine passes a register here: no path runs through
    the engine, and while its clock rests nothing in it moves.

    Ports: ``outside`` and ``inside``, see :class:`EnginePorts`; ``control`` and ``held``, the
    registers' words and the same a cycle later, see :class:`hw.dma.csr.Control`. What the engine
    shows to its registers passes at once.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "outside": Out(EnginePorts(config)),
                "inside": In(EnginePorts(config)),
                "control": In(Control()),
                "held": Out(Control()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inside, outside = self.inside, self.outside
        for name, source, sink in (
            ("read_request", inside.read_request, outside.read_request),
            ("read_response", outside.read_response, inside.read_response),
            ("write_request", inside.write_request, outside.write_request),
            ("write_response", outside.write_response, inside.write_response),
            ("addition", inside.addition, outside.addition),
            ("read_burst", inside.read_burst, outside.read_burst),
            ("write_burst", inside.write_burst, outside.write_burst),
        ):
            m.submodules[f"{name}_buffer"] = buffer = Buffer(source.payload.shape())
            connect_stream(m, source, buffer.i)
            connect_stream(m, buffer.o, sink)
        m.d.comb += outside.read_beat.ready.eq(1)
        m.d.sync += [
            inside.read_beat.valid.eq(outside.read_beat.valid),
            inside.read_beat.payload.eq(outside.read_beat.payload),
        ]
        for name in ("clock", "windows", "written", "write_error", "added", "addition_error"):
            m.d.sync += getattr(inside, name).eq(getattr(outside, name))
        for name, member in Control().members.items():
            if member.flow == Out:
                m.d.sync += getattr(self.held, name).eq(getattr(self.control, name))
            else:
                m.d.comb += getattr(self.control, name).eq(getattr(self.held, name))
        self._write_beats(m)
        return m

    def _write_beats(self, m):
        """A beat is offered no earlier than its burst is taken."""
        burst, beat = self.outside.write_burst, self.outside.write_beat
        m.submodules.write_beat_buffer = beats = Buffer(beat.payload.shape())
        connect_stream(m, self.inside.write_beat, beats.i)
        taken, ended = Signal(), Signal()
        bursts = Signal(range(4))
        m.d.comb += [
            taken.eq(burst.valid & burst.ready),
            ended.eq(beat.valid & beat.ready & beats.o.payload.last),
            beat.payload.eq(beats.o.payload),
            beat.valid.eq(beats.o.valid & ((bursts != 0) | taken)),
            beats.o.ready.eq(beat.ready & ((bursts != 0) | taken)),
        ]
        m.d.sync += bursts.eq(bursts + taken - ended)
