"""Quantized rows in, new elements and behind them new scales out."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.formats import block_formats
from hw.isa.block_reduce import BlockReduce
from hw.isa.block_reduce import latency as block_latency
from hw.isa.jobs import index_bits, longest_block_rows
from hw.isa.scale_buffer import ScaleBuffer, part_bytes, scale_position, widest_part_bits
from hw.spec.config import Config
from hw.stream.delay import delayed

SELECT_CYCLES = 1
OUTPUT_CYCLES = 1


def latency(config: Config) -> int:
    """From a row, or the slot of a row of scales, to its result."""
    return SELECT_CYCLES + block_latency(config) + OUTPUT_CYCLES


def control_layout(config: Config) -> data.StructLayout:
    """What goes with a row of elements, or with a slot for a row of new scales."""
    return data.StructLayout(
        {
            "elements": 1,
            "scales": 1,
            "format": len(block_formats(config)),
            "sources": config.system.endpoints,
            "destinations": config.system.endpoints,
            "row": index_bits(config.rows_per_wave),
            "rows_left": index_bits(longest_block_rows(config)),
            "slot": index_bits(config.scale_rows_per_wave),
        }
    )


class QuantizedReduction(wiring.Component):
    """:class:`hw.isa.block_reduce.BlockReduce` between the scales read and those written.

    Ports
    -----
    control : in, ``elements`` or ``scales`` or neither; without either nothing arrives
    rows, scale_rows : in per port, with it: elements, and the row of scales theirs are in
    arriving : out, one bit per port, ``result`` is meant for it

    Free-running, :func:`latency` cycles. The new scales of a wave's rows are collected, and
    read by the slots that follow them.
    """

    def __init__(self, config: Config):
        self._config = config
        ports = config.system.endpoints
        super().__init__(
            {
                "control": In(control_layout(config)),
                "rows": In(config.flit_bits).array(ports),
                "scale_rows": In(config.flit_bits).array(ports),
                "arriving": Out(ports),
                "result": Out(config.flit_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        flit = config.fabric.flit_bytes
        formats = block_formats(config)
        m.submodules.block = block = BlockReduce(config)
        m.submodules.buffer = buffer = ScaleBuffer(config)

        control = Signal(control_layout(config))
        m.d.sync += control.eq(self.control)
        m.d.comb += [
            block.present.eq(control.sources),
            block.format.eq(control.format),
            block.rows_left.eq(control.rows_left),
        ]
        for p in range(config.system.endpoints):
            row, scales = Signal(config.flit_bits), Signal(config.flit_bits)
            m.d.sync += [row.eq(self.rows[p]), scales.eq(self.scale_rows[p])]
            m.d.comb += block.rows[p].eq(row)
            for k, entry in enumerate(formats):
                _, part = scale_position(entry, flit, control.row)
                with m.If(control.format[k]):
                    bits = 8 * part_bytes(entry, flit)
                    m.d.comb += block.scales[p].eq(scales.word_select(part, bits))

        waited = delayed(m, control.as_value(), block_latency(config), "control")
        arrived = data.View(control_layout(config), waited)
        m.d.comb += [
            buffer.write.eq(arrived.elements & (arrived.rows_left == 0)),
            buffer.format.eq(arrived.format),
            buffer.row.eq(arrived.row),
            buffer.scales.eq(block.result_scales[: widest_part_bits(config)]),
            buffer.slot.eq(arrived.slot),
        ]
        m.d.sync += [
            self.arriving.eq(Mux(arrived.elements | arrived.scales, arrived.destinations, 0)),
            self.result.eq(Mux(arrived.scales, buffer.data, block.result)),
        ]
        return m
