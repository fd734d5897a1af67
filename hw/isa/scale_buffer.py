"""New scales of a wave, collected until its elements have left."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.formats import block_formats
from hw.formats.block import BlockFormat
from hw.isa.jobs import index_bits
from hw.spec.config import Config


def part_bytes(entry: BlockFormat, flit_bytes: int) -> int:
    """Scales of the blocks of one row."""
    return entry.scale_bytes * entry.blocks_per_row(flit_bytes)


def widest_part_bits(config: Config) -> int:
    return max(8 * part_bytes(entry, config.fabric.flit_bytes) for entry in block_formats(config))


def scale_position(entry: BlockFormat, flit_bytes: int, row):
    """(row of scales, part of it) that belong to ``row`` of a wave's elements."""
    part = row >> (entry.rows_per_block(flit_bytes).bit_length() - 1)
    parts_per_row = flit_bytes // part_bytes(entry, flit_bytes)
    bits = parts_per_row.bit_length() - 1
    return part[bits:], part[:bits]


class ScaleBuffer(wiring.Component):
    """A row of scales is written part by part and read whole.

    Ports
    -----
    write, format, row, scales : in, the scales of the blocks of ``row`` of the elements
    slot : in; data : out in the same cycle, row ``slot`` of the scales written before
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "write": In(1),
                "format": In(len(block_formats(config))),
                "row": In(index_bits(config.rows_per_wave)),
                "scales": In(widest_part_bits(config)),
                "slot": In(index_bits(config.scale_rows_per_wave)),
                "data": Out(config.flit_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        flit = config.fabric.flit_bytes
        m.submodules.rows = rows = memory.Memory(
            shape=config.flit_bits, depth=max(2, config.scale_rows_per_wave), init=[]
        )
        write, read = rows.write_port(granularity=8), rows.read_port(domain="comb")
        enable = Signal(flit)
        m.d.comb += [
            write.en.eq(Mux(self.write, enable, 0)),
            read.addr.eq(self.slot),
            self.data.eq(read.data),
        ]
        for k, entry in enumerate(block_formats(config)):
            size = part_bytes(entry, flit)
            slot, part = scale_position(entry, flit, self.row)
            with m.If(self.format[k]):
                m.d.comb += [
                    write.addr.eq(slot),
                    write.data.eq(Cat(*[self.scales[: 8 * size]] * (flit // size))),
                    enable.eq(((1 << size) - 1) << (part * size)),
                ]
        return m
