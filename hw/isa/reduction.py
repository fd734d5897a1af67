"""From a started row to what the write-back of every destination receives."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formats import block_formats
from hw.isa.block_reduce import BlockReduce
from hw.isa.block_reduce import latency as block_latency
from hw.isa.jobs import index_bits, longest_block_rows
from hw.isa.reduce import Reduce
from hw.isa.scale_buffer import ScaleBuffer, part_bytes, scale_position, widest_part_bits
from hw.isa.wave_table import WaveTable
from hw.spec.config import Config
from hw.spec.instruction import DataType, ReduceOp
from hw.stream.delay import Delay

OUTPUT_CYCLES = 1
"""Quantized rows and scales meet in a register."""


def ordinary_cycles() -> int:
    """From the start of an ordinary row to its result."""
    return WaveTable.READ_LATENCY + Reduce.LATENCY


def quantized_cycles(config: Config) -> int:
    """From the start of a quantized row, or of a row of new scales, to its result."""
    return WaveTable.READ_LATENCY + block_latency(config) + OUTPUT_CYCLES


def lead_cycles(config: Config) -> int:
    """So much later a quantized row arrives than an ordinary one."""
    return quantized_cycles(config) - ordinary_cycles() if block_formats(config) else 0


class Reduction(wiring.Component):
    """The two datapaths, and the scales that leave behind their elements.

    Ports
    -----
    start, sources, destinations, data_type, reduce_op, quantize, row, rows_left : in, a row
        starts; its data is read from the tables in this cycle
    start_scales, slot : in, row ``slot`` of the wave's new scales follows
    scale_row : out, row of scales to read from the tables together with the row
    rows, scale_rows : in per port, what was read, ``WaveTable.READ_LATENCY`` cycles later
    arriving : out, one bit per port, ``result`` is meant for it

    One row per cycle, :func:`ordinary_cycles` or :func:`quantized_cycles` later. Who starts
    rows sees to it that no two results meet.
    """

    def __init__(self, config: Config):
        self._config = config
        ports = config.system.endpoints
        super().__init__(
            {
                "start": In(1),
                "sources": In(ports),
                "destinations": In(ports),
                "data_type": In(DataType),
                "reduce_op": In(ReduceOp),
                "quantize": In(1),
                "row": In(index_bits(config.rows_per_wave)),
                "rows_left": In(index_bits(longest_block_rows(config))),
                "start_scales": In(1),
                "slot": In(index_bits(config.scale_rows_per_wave)),
                "scale_row": Out(index_bits(config.scale_rows_per_wave)),
                "rows": In(config.flit_bits).array(ports),
                "scale_rows": In(config.flit_bits).array(ports),
                "arriving": Out(ports),
                "result": Out(config.flit_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        ports = config.system.endpoints

        def later(value, cycles, name):
            m.submodules[f"delay_{name}"] = delay = Delay(len(value), cycles=cycles)
            m.d.comb += delay.i.eq(value)
            return delay.o

        m.submodules.reduce = reduce = Reduce(config)
        ordinary = Mux(self.start & ~self.quantize, self.destinations, 0)
        arriving = later(ordinary, ordinary_cycles(), "ordinary")
        read = WaveTable.READ_LATENCY
        sources = later(self.sources, read, "sources")
        m.d.comb += [
            self.arriving.eq(arriving),
            self.result.eq(reduce.result),
            reduce.present.eq(sources),
            reduce.data_type.eq(later(self.data_type, read, "data_type")),
            reduce.reduce_op.eq(later(self.reduce_op, read, "reduce_op")),
            *(lane.eq(row) for lane, row in zip(reduce.rows, self.rows, strict=True)),
        ]
        formats = block_formats(config)
        if not formats:
            return m

        m.submodules.block_reduce = block = BlockReduce(config)
        m.submodules.scale_buffer = buffer = ScaleBuffer(config)
        flit = config.fabric.flit_bytes
        form = Signal(len(formats))
        part = Signal(index_bits(flit))
        for k, entry in enumerate(formats):
            scale_row, position = scale_position(entry, flit, self.row)
            m.d.comb += form[k].eq(self.quantize & (self.data_type == entry.code))
            with m.If(form[k]):
                m.d.comb += [self.scale_row.eq(scale_row), part.eq(position)]
        form_read = later(form, read, "form")
        part_read = later(part, read, "part")
        m.d.comb += [
            block.present.eq(sources),
            block.format.eq(form_read),
            block.rows_left.eq(later(self.rows_left, read, "rows_left")),
        ]
        for p in range(ports):
            m.d.comb += block.rows[p].eq(self.rows[p])
            for k, entry in enumerate(formats):
                bits = 8 * part_bytes(entry, flit)
                with m.If(form_read[k]):
                    m.d.comb += block.scales[p].eq(self.scale_rows[p].word_select(part_read, bits))

        # Row by row the scales are collected where the elements leave.
        there = read + block_latency(config)
        control = Cat(
            self.start & self.quantize & (self.rows_left == 0),
            self.start_scales,
            Mux((self.start & self.quantize) | self.start_scales, self.destinations, 0),
            form,
            self.row,
            self.slot,
        )
        arrived = later(control, there, "control")
        block_ends, is_scales = arrived[0], arrived[1]
        fields = [ports, len(formats), len(self.row), len(self.slot)]
        values, offset = [], 2
        for width in fields:
            values.append(arrived[offset : offset + width])
            offset += width
        targets, form_there, row, slot = values
        m.d.comb += [
            buffer.write.eq(block_ends),
            buffer.format.eq(form_there),
            buffer.row.eq(row),
            buffer.scales.eq(block.result_scales[: widest_part_bits(config)]),
            buffer.slot.eq(slot),
        ]
        leaving = Signal(ports)
        result = Signal(config.flit_bits)
        m.d.sync += [
            leaving.eq(targets),
            result.eq(Mux(is_scales, buffer.data, block.result)),
        ]
        with m.If(leaving.any()):
            m.d.comb += [self.arriving.eq(leaving), self.result.eq(result)]
        return m
