"""The scales of a slice, taken apart and lined up with its elements."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.codec.arithmetic import maximum_of
from hw.codec.scale import EXPONENT_BITS, SCALE_BITS, SCALE_PARTS, scale_codec
from hw.isa.nonzero_blocks import NonzeroBlocks
from hw.isa.scale_buffer import widest_part_bits
from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.formats.block import groups
from hw.spec.timing import longest_block, scale_top_cycles
from hw.stream.delay import delayed


class ScaleDecode(wiring.Component):
    """Per group of elements that share a scale, what each port's is and how they compare.

    Ports
    -----
    slices : in, per port, the elements of the slice
    scales : in, per port, the scales of the slice's blocks, first block lowest
    present : in, one bit per port that takes part
    format : in, one bit per built format
    slices_left : in, further slices of this one's block
    significand, negative, distance : out, per group and port, :func:`latency` cycles later: the
        scale, and how far its products lie below the top of the window; of a block of zeros
        any distance
    top, bad : out, per group, :func:`scale_top_cycles` later: exponent field of a scale
        whose products reach the top; some port's scale is no number

    The window of scales that lie close together is fixed; that of others starts at the
    largest of the ports, of those whose block is not all zero. The slices of a block must
    enter in consecutive cycles.
    """

    def __init__(self, config: Config):
        self._config = config
        self._formats = block_formats(config)
        ports, count = config.system.endpoints, groups(config.slice_bytes)
        super().__init__(
            {
                "slices": In(8 * config.slice_bytes).array(ports),
                "scales": In(widest_part_bits(config)).array(ports),
                "present": In(ports),
                "format": In(len(self._formats)),
                "slices_left": In(index_bits(longest_block(config))),
                "significand": Out(SCALE_BITS).array(count, ports),
                "negative": Out(ports).array(count),
                "distance": Out(EXPONENT_BITS).array(count, ports),
                "top": Out(EXPONENT_BITS).array(count),
                "bad": Out(1).array(count),
            }
        )

    def elaborate(self, platform):
        m = Module()
        wait = scale_top_cycles(self._config) - 1
        form = delayed(m, self.format, wait, "format")
        present = delayed(m, self.present, wait, "present")
        scales = [delayed(m, part, wait, f"scales_{p}") for p, part in enumerate(self.scales)]
        nonzero = self._nonzero(m)
        form_decoded = delayed(m, form, 1, "format_decoded")
        for g in range(len(self.top)):
            parts = []
            for p in range(len(self.scales)):
                part = Signal(SCALE_PARTS, name=f"scale_{g}_{p}")
                for k, entry in enumerate(self._formats):
                    code = scales[p].word_select(entry.block_of_group(g), entry.scale.bits)
                    with m.If(form[k]):
                        for name, value in scale_codec(entry.scale).decode(code).items():
                            m.d.sync += part[name].eq(value)
                with m.If(~present[p]):
                    m.d.sync += [part.exponent.eq(0), part.bad.eq(0)]
                if nonzero is not None:
                    with m.If(~nonzero[g][p]):
                        m.d.sync += part.exponent.eq(0)
                parts.append(part)
            m.d.comb += [
                self.top[g].eq(maximum_of([part.exponent for part in parts])),
                self.bad[g].eq(Cat(part.bad for part in parts).any()),
            ]
            for k, entry in enumerate(self._formats):
                if not entry.scale.aligned:
                    with m.If(form_decoded[k]):
                        m.d.comb += self.top[g].eq(entry.scale.highest_exponent)
            for p, part in enumerate(parts):
                m.d.sync += [
                    self.significand[g][p].eq(part.significand),
                    self.negative[g][p].eq(part.negative),
                    self.distance[g][p].eq(self.top[g] - part.exponent),
                ]
        return m

    def _nonzero(self, m):
        """Per group a bit per port, with its scale; None where no window follows a scale."""
        if not any(entry.scale.aligned for entry in self._formats):
            return None
        m.submodules.nonzero = blocks = NonzeroBlocks(self._config)
        m.d.comb += [
            blocks.format.eq(self.format),
            blocks.slices_left.eq(self.slices_left),
            *(sink.eq(part) for sink, part in zip(blocks.slices, self.slices, strict=True)),
        ]
        return blocks.nonzero
