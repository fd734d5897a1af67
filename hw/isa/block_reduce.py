"""Reduction of block-scaled slices: dequantize, add, find the scale, quantize."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.isa.block_maximum import BlockMaximum
from hw.isa.block_scale import LANE_SHIFT_BITS, RECIPROCAL_BITS, BlockScale
from hw.isa.dequantize import DequantizeLane
from hw.isa.quantize import QuantizeLane
from hw.isa.scale_buffer import widest_part_bits
from hw.isa.scale_decode import ScaleDecode
from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.formats.block import NARROW_BITS
from hw.spec.timing import (
    QUANTIZE_CYCLES,
    block_reduce_cycles,
    bytes_per_group,
    elements_wait,
    longest_block,
    quantize_at,
    scale_at,
    scale_top_cycles,
    totals_at,
)
from hw.stream.delay import delayed


class BlockReduce(wiring.Component):
    """Lanes side by side, one scale unit per group that may begin a block.

    Ports
    -----
    slices : in, elements, per port
    scales : in, per port, the scales of the slice's blocks, first block lowest
    present : in, one bit per port that takes part
    format : in, one bit per built format
    slices_left : in, further slices of this one's block
    result : out, one slice of elements
    result_scales : out, the scales of the slice's blocks, first block lowest; of a block of
        several slices with each of them

    A free-running pipeline like :class:`hw.isa.reduce.Reduce`, :func:`block_reduce_cycles`. The
    slices of a block must enter in consecutive cycles.
    """

    def __init__(self, config: Config):
        self._config = config
        self._formats = block_formats(config)
        ports = config.system.endpoints
        super().__init__(
            {
                "slices": In(8 * config.slice_bytes).array(ports),
                "scales": In(widest_part_bits(config)).array(ports),
                "present": In(ports),
                "format": In(len(self._formats)),
                "slices_left": In(index_bits(longest_block(config))),
                "result": Out(8 * config.slice_bytes),
                "result_scales": Out(widest_part_bits(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.decode = decode = ScaleDecode(self._config)
        m.d.comb += [
            decode.present.eq(self.present),
            decode.format.eq(self.format),
            decode.slices_left.eq(self.slices_left),
            *(sink.eq(part) for sink, part in zip(decode.slices, self.slices, strict=True)),
            *(sink.eq(scales) for sink, scales in zip(decode.scales, self.scales, strict=True)),
        ]
        lanes = self._dequantize(m, decode)
        units = self._find_scales(m, decode, lanes)
        outputs = self._quantize(m, lanes, units)
        self._assemble(m, outputs, units)
        return m

    def _lanes(self):
        """(position in units of 4 bits, formats known there): bytes begin at the even ones."""
        narrow = tuple(entry for entry in self._formats if entry.narrow)
        for n in range(2 * self._config.slice_bytes):
            known = self._formats if n % 2 == 0 else narrow
            if known:
                yield n, known

    def _group(self, position):
        return position // (2 * bytes_per_group(self._config))

    def _subset(self, form, known):
        return Cat(form[k] for k, entry in enumerate(self._formats) if entry in known)

    def _dequantize(self, m, decode):
        wait = elements_wait(self._config)
        slices = [delayed(m, s, wait, f"slice_{p}") for p, s in enumerate(self.slices)]
        form = delayed(m, self.format, wait, "format_elements")
        present = delayed(m, self.present, wait, "present_elements")
        lanes = {}
        for n, known in self._lanes():
            g = self._group(n)
            m.submodules[f"dequantize_{n}"] = lane = DequantizeLane(len(slices), known)
            m.d.comb += [
                lane.present.eq(present),
                lane.format.eq(self._subset(form, known)),
                lane.scale_negative.eq(decode.negative[g]),
            ]
            for p, elements in enumerate(slices):
                m.d.comb += [
                    lane.elements[p].eq(elements[NARROW_BITS * n : NARROW_BITS * n + 8]),
                    lane.scale_significand[p].eq(decode.significand[g][p]),
                    lane.distance[p].eq(decode.distance[g][p]),
                ]
            lanes[n] = lane
        return lanes

    def _find_scales(self, m, decode, lanes):
        """By group, where a block can begin; the others' entry is None."""
        config = self._config
        m.submodules.maximum = maximum = BlockMaximum(config)
        at_totals = totals_at(config)
        m.d.comb += [
            maximum.format.eq(delayed(m, self.format, at_totals, "format_totals")),
            maximum.slices_left.eq(delayed(m, self.slices_left, at_totals, "left_totals")),
        ]
        for n, lane in lanes.items():
            side = maximum.upper_magnitudes if n % 2 else maximum.magnitudes
            m.d.comb += side[n // 2].eq(lane.magnitude)
        form = delayed(m, self.format, scale_at(config), "format_scale")
        wait = scale_at(config) - scale_top_cycles(config)
        units = []
        for g, highest in enumerate(maximum.highest):
            known = tuple(entry for entry in self._formats if entry.first_group(g) == g)
            if not known:
                units.append(None)
                continue
            m.submodules[f"scale_{g}"] = unit = BlockScale(config.system.endpoints, known)
            m.d.comb += [
                unit.highest.eq(highest[len(highest) - len(unit.highest) :]),
                unit.top.eq(delayed(m, decode.top[g], wait, f"top_{g}")),
                unit.bad.eq(delayed(m, decode.bad[g], wait, f"bad_{g}")),
                unit.format.eq(self._subset(form, known)),
            ]
            units.append(unit)
        return units

    def _quantize(self, m, lanes, units):
        """Every group gets what the unit of its block says."""
        config = self._config
        form = delayed(m, self.format, quantize_at(config), "format_quantize")
        settings = []
        for g in range(len(units)):
            shift = Signal(LANE_SHIFT_BITS, name=f"shift_{g}")
            reciprocal = Signal(RECIPROCAL_BITS, name=f"reciprocal_{g}")
            flawed = Signal(name=f"flawed_{g}")
            for k, entry in enumerate(self._formats):
                unit = units[entry.first_group(g)]
                with m.If(form[k]):
                    m.d.comb += [
                        shift.eq(unit.shift),
                        reciprocal.eq(unit.reciprocal),
                        flawed.eq(unit.flawed),
                    ]
            settings.append((shift, reciprocal, flawed))
        outputs = {}
        for n, known in self._lanes():
            lane = lanes[n]
            total = Cat(lane.magnitude, lane.negative, lane.nan)
            waited = delayed(m, total, quantize_at(config) - totals_at(config), f"total_{n}")
            shift, reciprocal, flawed = settings[self._group(n)]
            m.submodules[f"quantize_{n}"] = output = QuantizeLane(len(self.slices), known)
            m.d.comb += [
                Cat(output.magnitude, output.negative, output.nan).eq(waited),
                output.format.eq(self._subset(form, known)),
                output.shift.eq(shift),
                output.reciprocal.eq(reciprocal),
                output.flawed.eq(flawed),
            ]
            outputs[n] = output.element
        return outputs

    def _assemble(self, m, outputs, units):
        form = delayed(m, self.format, block_reduce_cycles(self._config), "format_result")
        codes = {
            g: delayed(m, unit.code, QUANTIZE_CYCLES, f"code_{g}")
            for g, unit in enumerate(units)
            if unit is not None
        }
        for k, entry in enumerate(self._formats):
            step = entry.element.bits // NARROW_BITS
            positions = range(0, 2 * self._config.slice_bytes, step)
            starts = sorted({entry.first_group(g) for g in range(len(units))})
            with m.If(form[k]):
                m.d.comb += [
                    self.result.eq(Cat(outputs[n][: entry.element.bits] for n in positions)),
                    self.result_scales.eq(Cat(codes[g][: entry.scale.bits] for g in starts)),
                ]
