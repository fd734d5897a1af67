"""Quantized slices in, new elements and behind them new scales out."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.isa.block_reduce import BlockReduce
from hw.isa.scale_buffer import ScaleBuffer, part_bytes, scale_position, widest_part_bits
from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.timing import block_reduce_cycles, longest_block
from hw.stream.delay import delayed


def control_layout(config: Config) -> data.StructLayout:
    """What goes with a slice of elements, or with a slot for a row of new scales."""
    return data.StructLayout(
        {
            "elements": 1,
            "scales": 1,
            "format": len(block_formats(config)),
            "sources": config.system.endpoints,
            "destinations": config.system.endpoints,
            "index": index_bits(config.slices_per_wave),
            "slices_left": index_bits(longest_block(config)),
            "slot": index_bits(config.scale_rows_per_wave),
        }
    )


def gathered(m, value, cycles: int):
    """What ``value`` was in the last ``cycles`` cycles, this one included, oldest lowest."""
    history = [value]
    for age in range(1, cycles):
        history.append(delayed(m, history[-1], 1, f"gathered_{age}"))
    return Cat(*reversed(history))


class QuantizedReduction(wiring.Component):
    """:class:`hw.isa.block_reduce.BlockReduce` between the scales read and those written.

    Ports
    -----
    control : in, ``elements`` or ``scales`` or neither; without either nothing arrives
    slices, scale_rows : in per port, with it: elements, and the row of scales theirs are in
    arriving : out, one bit per port, ``result`` is meant for it: with the last slice of a row

    Free-running, :func:`hw.spec.timing.quantized_cycles`. The new scales of a wave are
    collected, and read by the slots that follow them.
    """

    def __init__(self, config: Config):
        self._config = config
        ports = config.system.endpoints
        super().__init__(
            {
                "control": In(control_layout(config)),
                "slices": In(8 * config.slice_bytes).array(ports),
                "scale_rows": In(config.flit_bits).array(ports),
                "arriving": Out(ports),
                "result": Out(config.flit_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        parts = config.isa.cycles_per_row
        formats = block_formats(config)
        m.submodules.block = block = BlockReduce(config)
        m.submodules.buffer = buffer = ScaleBuffer(config)

        control = Signal(control_layout(config))
        m.d.sync += control.eq(self.control)
        m.d.comb += [
            block.present.eq(control.sources),
            block.format.eq(control.format),
            block.slices_left.eq(control.slices_left),
        ]
        # Of the row of scales: the byte where those of this slice begin.
        place = Signal(range(config.fabric.flit_bytes))
        for k, entry in enumerate(formats):
            _, part = scale_position(entry, config, control.index)
            with m.If(control.format[k]):
                m.d.comb += place.eq(part * part_bytes(entry, config))
        width = widest_part_bits(config)
        inside = (width // 8).bit_length() - 1
        for p in range(config.system.endpoints):
            elements, scales = Signal(8 * config.slice_bytes), Signal(config.flit_bits)
            m.d.sync += [elements.eq(self.slices[p]), scales.eq(self.scale_rows[p])]
            m.d.comb += [
                block.slices[p].eq(elements),
                block.scales[p].eq(
                    scales.word_select(place[inside:], width) >> Cat(Const(0, 3), place[:inside])
                ),
            ]

        waited = delayed(m, control.as_value(), block_reduce_cycles(config), "control")
        arrived = data.View(control_layout(config), waited)
        m.d.comb += [
            buffer.write.eq(arrived.elements & (arrived.slices_left == 0)),
            buffer.format.eq(arrived.format),
            buffer.index.eq(arrived.index),
            buffer.scales.eq(block.result_scales[: widest_part_bits(config)]),
            buffer.slot.eq(arrived.slot),
        ]
        row = gathered(m, block.result, parts)
        whole = arrived.elements & arrived.index[: ceil_log2(parts)].all()
        m.d.sync += [
            self.arriving.eq(Mux(whole | arrived.scales, arrived.destinations, 0)),
            self.result.eq(Mux(arrived.scales, buffer.data, row)),
        ]
        return m
