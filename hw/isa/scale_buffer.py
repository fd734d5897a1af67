"""New scales of a wave, collected until its elements have left."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.formats.block import BlockFormat


def part_bytes(entry: BlockFormat, config: Config) -> int:
    """Scales of the blocks of one slice."""
    return entry.scale_bytes * entry.blocks_per_slice(config.slice_bytes)


def widest_part_bits(config: Config) -> int:
    return max(8 * part_bytes(entry, config) for entry in block_formats(config))


def scale_position(entry: BlockFormat, config: Config, index):
    """(row of scales, part of it) that belong to slice ``index`` of a wave's elements."""
    part = index >> (entry.slices_per_block(config.slice_bytes).bit_length() - 1)
    parts_per_row = config.fabric.flit_bytes // part_bytes(entry, config)
    bits = parts_per_row.bit_length() - 1
    return part[bits:], part[:bits]


class ScaleBuffer(wiring.Component):
    """A row of scales is written part by part and read whole.

    Ports
    -----
    write, format, index, scales : in, the scales of the blocks of slice ``index`` of the
        elements
    slot : in; data : out in the same cycle, row ``slot`` of the scales written before
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "write": In(1),
                "format": In(len(block_formats(config))),
                "index": In(index_bits(config.slices_per_wave)),
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
            size = part_bytes(entry, config)
            slot, part = scale_position(entry, config, self.index)
            with m.If(self.format[k]):
                m.d.comb += [
                    write.addr.eq(slot),
                    write.data.eq(Cat(*[self.scales[: 8 * size]] * (flit // size))),
                    enable.eq(((1 << size) - 1) << (part * size)),
                ]
        return m
