"""From a started row to what the write-back of every destination receives."""

from amaranth import DomainRenamer, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.isa.quantized_reduction import QuantizedReduction, control_layout, gathered
from hw.isa.reduce import Reduce
from hw.isa.scale_buffer import scale_position
from hw.isa.wave_table import WaveTable
from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.instruction import DataType, ReduceOp
from hw.spec.timing import average_lead, longest_block, quantized_cycles
from hw.stream.delay import delayed


class Reduction(wiring.Component):
    """The ordinary datapath and the quantizing one.

    Parameters: ``gated``: the ordinary datapath runs in clock domain ``reduce``, the quantizing
    one in ``quantize``: the same clock, which may rest in every cycle in which ``reducing``, or
    ``quantizing``, is low. Otherwise both run in ``sync``.

    Ports
    -----
    start, sources, destinations, data_type, reduce_op, quantize, index, slices_left : in, slice
        ``index`` of a wave starts; its row is read from the tables in this cycle
    start_scales, slot : in, row ``slot`` of the wave's new scales follows
    scale_row : out, row of scales to read from the tables together with the row
    rows, scale_rows : in per port, what was read, ``WaveTable.READ_LATENCY`` cycles later
    arriving : out, one bit per port, ``result`` is meant for it
    reducing, quantizing : out, registers: the ordinary, or the quantizing, datapath is in use

    One slice per cycle. A row arrives ``WaveTable.READ_LATENCY + Reduce.LATENCY`` cycles after
    the start of its last slice, an average ``average_lead`` and a quantized one
    :func:`lead_cycles` later; the component that starts rows sees
    to it that their slices follow each other without a pause and that no two results meet.
    """

    def __init__(self, config: Config, *, gated: bool = False):
        self._config = config
        self._gated = gated
        ports = config.system.endpoints
        super().__init__(
            {
                "start": In(1),
                "sources": In(ports),
                "destinations": In(ports),
                "data_type": In(DataType),
                "reduce_op": In(ReduceOp),
                "quantize": In(1),
                "index": In(index_bits(config.slices_per_wave)),
                "slices_left": In(index_bits(longest_block(config))),
                "start_scales": In(1),
                "slot": In(index_bits(config.scale_rows_per_wave)),
                "scale_row": Out(index_bits(config.scale_rows_per_wave)),
                "rows": In(config.flit_bits).array(ports),
                "scale_rows": In(config.flit_bits).array(ports),
                "arriving": Out(ports),
                "result": Out(config.flit_bits),
                "reducing": Out(1),
                "quantizing": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        reduce = Reduce(config)
        m.submodules.reduce = DomainRenamer("reduce")(reduce) if self._gated else reduce
        read = WaveTable.READ_LATENCY
        parts = config.isa.cycles_per_row
        part = self.index[: ceil_log2(parts)]
        ordinary = self.start & ~self.quantize
        divides = ordinary & (self.reduce_op == ReduceOp.AVG)
        targets = Mux(ordinary & part.all(), self.destinations, 0)
        now = delayed(m, part, read, "part")
        slices = [row.word_select(now, 8 * config.slice_bytes) for row in self.rows]
        m.d.comb += [
            self.arriving.eq(self._arriving(m, targets, divides)),
            self.result.eq(gathered(m, reduce.result, parts)),
            reduce.present.eq(delayed(m, self.sources, read, "sources")),
            reduce.data_type.eq(delayed(m, self.data_type, read, "data_type")),
            # No average without a start: it would stand in the way of what started later.
            reduce.reduce_op.eq(
                delayed(m, Mux(ordinary, self.reduce_op, ReduceOp.SUM), read, "reduce_op")
            ),
            *(sink.eq(source) for sink, source in zip(reduce.slices, slices, strict=True)),
        ]
        _awake(m, self.reducing, ordinary, Reduce.LATENCY + average_lead(config))
        if block_formats(config):
            self._quantize(m, slices)
        return m

    def _arriving(self, m, targets, divides):
        """Where the ordinary row that is there now goes; ``targets`` of the one that starts."""
        cycles, later = WaveTable.READ_LATENCY + Reduce.LATENCY, average_lead(self._config)
        if not later:
            return delayed(m, targets, cycles, "targets")
        soon = delayed(m, Mux(divides, 0, targets), cycles, "targets")
        return soon | delayed(m, Mux(divides, targets, 0), cycles + later, "targets_divided")

    def _quantize(self, m, slices):
        config = self._config
        quantized = QuantizedReduction(config)
        m.submodules.quantized = DomainRenamer("quantize")(quantized) if self._gated else quantized

        control = Signal(control_layout(config))
        m.d.comb += [
            control.elements.eq(self.start & self.quantize),
            control.scales.eq(self.start_scales),
            *(
                control[name].eq(getattr(self, name))
                for name in ("sources", "destinations", "index", "slices_left", "slot")
            ),
        ]
        for k, entry in enumerate(block_formats(config)):
            scale_row, _ = scale_position(entry, config, self.index)
            m.d.comb += control.format[k].eq(self.quantize & (self.data_type == entry.code))
            with m.If(control.format[k]):
                m.d.comb += self.scale_row.eq(scale_row)
        read_control = delayed(m, control.as_value(), WaveTable.READ_LATENCY, "control")
        m.d.comb += quantized.control.eq(data.View(control_layout(config), read_control))
        for p, source in enumerate(slices):
            m.d.comb += [
                quantized.slices[p].eq(source),
                quantized.scale_rows[p].eq(self.scale_rows[p]),
            ]
        with m.If(quantized.arriving.any()):
            m.d.comb += [self.arriving.eq(quantized.arriving), self.result.eq(quantized.result)]
        begins = control.elements | control.scales
        _awake(m, self.quantizing, begins, quantized_cycles(config))


def _awake(m, awake, begins, cycles: int) -> None:
    """``awake`` from what ``begins`` until nothing is left of it in a datapath of ``cycles``, the
    arrival included."""
    last = WaveTable.READ_LATENCY + cycles + 1
    left = Signal(range(last + 1))
    with m.If(begins):
        m.d.sync += [left.eq(last), awake.eq(1)]
    with m.Elif(left != 0):
        m.d.sync += left.eq(left - 1)
    with m.Else():
        m.d.sync += awake.eq(0)
