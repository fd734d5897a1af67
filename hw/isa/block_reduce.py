"""Reduction of block-scaled rows: dequantize, add, find the scale, quantize."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formats import block_formats
from hw.formats.block import GROUP_BYTES, BlockFormat
from hw.formats.scale import EXPONENT_BITS, SCALE_PARTS
from hw.isa.arithmetic import maximum_of
from hw.isa.block_scale import LANE_SHIFT_BITS, RECIPROCAL_BITS, BlockScale
from hw.isa.dequantize import DequantizeLane, total_bits
from hw.isa.jobs import index_bits, longest_block_rows
from hw.isa.quantize import QuantizeLane
from hw.isa.scale_buffer import widest_part_bits
from hw.spec.config import Config
from hw.stream.delay import Delay

NIBBLE_BITS = 4
NIBBLES_PER_GROUP = 8 * GROUP_BYTES // NIBBLE_BITS
SELECT_CYCLES = 2
"""Scales are selected and decoded before their elements enter the lanes."""
LEVELS = (NIBBLES_PER_GROUP - 1).bit_length()


def hold_cycles(config: Config) -> int:
    """A row waits until the last row of the longest block is there."""
    return longest_block_rows(config) - 1


def latency(config: Config) -> int:
    """Cycles from a row to its result."""
    groups = config.fabric.flit_bytes // GROUP_BYTES
    combine = LEVELS + (groups - 1).bit_length() + 1
    return (
        SELECT_CYCLES
        + DequantizeLane.LATENCY
        + combine
        + hold_cycles(config)
        + BlockScale.LATENCY
        + QuantizeLane.LATENCY
    )


class BlockReduce(wiring.Component):
    """Lanes side by side, one scale unit per group of 8 bytes that may be a block.

    Ports
    -----
    rows : in, one flit of elements per port
    scales : in, per port, the scales of the row's blocks, first block lowest
    present : in, one bit per port that takes part
    format : in, one bit per built format
    rows_left : in, further rows of this row's block
    result : out, one flit of elements
    result_scales : out, the scales of the row's blocks, first block lowest; of a block of
        several rows with each of them

    A free-running pipeline like :class:`hw.isa.reduce.Reduce`, :func:`latency` cycles. The
    rows of a block must enter in consecutive cycles.
    """

    def __init__(self, config: Config):
        self._config = config
        self._formats = block_formats(config)
        ports = config.system.endpoints
        super().__init__(
            {
                "rows": In(config.flit_bits).array(ports),
                "scales": In(widest_part_bits(config)).array(ports),
                "present": In(ports),
                "format": In(len(self._formats)),
                "rows_left": In(index_bits(longest_block_rows(config))),
                "result": Out(config.flit_bits),
                "result_scales": Out(widest_part_bits(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, formats = self._config, self._formats
        ports = config.system.endpoints
        flit = config.fabric.flit_bytes
        groups = flit // GROUP_BYTES
        width = total_bits(ports)
        hold = hold_cycles(config)

        def later(value, cycles, name):
            if cycles == 0:
                return value
            m.submodules[f"delay_{name}"] = delay = Delay(len(value), cycles=cycles)
            m.d.comb += delay.i.eq(value)
            return delay.o

        # The scales of each group, decoded; the largest one of the ports.
        form = later(self.format, 1, "format_1")
        present_1 = later(self.present, 1, "present_1")
        scales = [later(self.scales[p], 1, f"scales_{p}") for p in range(ports)]
        significands, negatives, distances, tops, bads = [], [], [], [], []
        for g in range(groups):
            parts = []
            for p in range(ports):
                part = Signal(SCALE_PARTS, name=f"scale_{g}_{p}")
                for k, entry in enumerate(formats):
                    index = _block_of(entry, g)
                    code = scales[p].word_select(index, entry.scale.bits)
                    with m.If(form[k]):
                        for name, value in entry.scale.decode(code).items():
                            m.d.sync += part[name].eq(value)
                with m.If(~present_1[p]):
                    m.d.sync += [part.exponent.eq(0), part.bad.eq(0)]
                parts.append(part)
            top, bad = Signal(EXPONENT_BITS, name=f"top_{g}"), Signal(name=f"bad_{g}")
            form_2 = later(form, 1, f"format_2_{g}")
            m.d.comb += top.eq(maximum_of([part.exponent for part in parts]))
            for k, entry in enumerate(formats):
                if not entry.scale.aligned:
                    with m.If(form_2[k]):
                        m.d.comb += top.eq(entry.scale.highest_exponent)
            m.d.comb += bad.eq(Cat(part.bad for part in parts).any())
            for name, values in (
                ("significand", significands),
                ("negative", negatives),
            ):
                values.append(
                    [later(part[name], 1, f"{name}_{g}_{p}") for p, part in enumerate(parts)]
                )
            spread = []
            for p, part in enumerate(parts):
                distance = Signal(EXPONENT_BITS, name=f"distance_{g}_{p}")
                m.d.sync += distance.eq(top - part.exponent)
                spread.append(distance)
            distances.append(spread)
            tops.append(top)
            bads.append(bad)

        # The lanes: a byte of elements at the even ones, 4-bit elements at all.
        rows = [later(self.rows[p], SELECT_CYCLES, f"rows_{p}") for p in range(ports)]
        form_rows = later(self.format, SELECT_CYCLES, "format_rows")
        present = later(self.present, SELECT_CYCLES, "present")
        narrow = tuple(entry for entry in formats if entry.element.bits == NIBBLE_BITS)
        lanes = []
        for n in range(2 * flit):
            known = formats if n % 2 == 0 else narrow
            if not known:
                lanes.append(None)
                continue
            m.submodules[f"dequantize_{n}"] = lane = DequantizeLane(ports, known)
            g = n // NIBBLES_PER_GROUP
            m.d.comb += [
                lane.present.eq(present),
                lane.format.eq(_subset(form_rows, formats, known)),
            ]
            for p in range(ports):
                m.d.comb += [
                    lane.elements[p].eq(rows[p][NIBBLE_BITS * n : NIBBLE_BITS * n + 8]),
                    lane.scale_significand[p].eq(significands[g][p]),
                    lane.scale_negative[p].eq(negatives[g][p]),
                    lane.distance[p].eq(distances[g][p]),
                ]
            lanes.append(lane)

        # The largest magnitude of each block, over lanes, groups and rows.
        at_totals = SELECT_CYCLES + DequantizeLane.LATENCY
        form_totals = later(self.format, at_totals, "format_totals")
        wide_only = Signal()
        m.d.comb += wide_only.eq(_any(form_totals, [e not in narrow for e in formats]))
        highest = []
        for g in range(groups):
            values = []
            for n in range(g * NIBBLES_PER_GROUP, (g + 1) * NIBBLES_PER_GROUP):
                if lanes[n] is None:
                    continue
                magnitude = Mux(lanes[n].nan, 0, lanes[n].magnitude)
                values.append(Mux(wide_only, 0, magnitude) if n % 2 else magnitude)
            highest.append(self._tree(m, values, LEVELS, f"group_{g}", width))
        at_groups = at_totals + LEVELS
        form_groups = later(self.format, at_groups, "format_groups")
        level = 1
        while level < groups:
            span = 2 * level
            joined = Signal(name=f"joined_{span}")
            m.d.comb += joined.eq(
                _any(form_groups, [entry.block_bytes >= span * GROUP_BYTES for entry in formats])
            )
            combined = []
            for g in range(groups):
                other = g ^ level
                larger = Mux(highest[g] > highest[other], highest[g], highest[other])
                result = Signal(width, name=f"highest_{span}_{g}")
                m.d.sync += result.eq(Mux(joined, larger, highest[g]))
                combined.append(result)
            highest = combined
            form_groups = later(form_groups, 1, f"format_groups_{span}")
            at_groups += 1
            level = span
        left = later(self.rows_left, at_groups, "left")
        first = Signal()
        longest = Signal.like(self.rows_left)
        for k, entry in enumerate(formats):
            with m.If(form_groups[k]):
                m.d.comb += longest.eq(entry.rows_per_block(flit) - 1)
        m.d.comb += first.eq(left == longest)
        exit_left = later(left, 1 + hold, "exit_left")
        blocks = []
        for g in range(groups):
            running = Signal(width, name=f"running_{g}")
            history = [running]
            for step in range(hold):
                history.append(later(history[-1], 1, f"history_{g}_{step}"))
            larger = Mux(running > highest[g], running, highest[g])
            m.d.sync += running.eq(Mux(first, highest[g], larger))
            # When a row leaves, its block was complete `hold - rows left` cycles ago.
            block = Signal(width, name=f"block_{g}")
            with m.Switch(exit_left):
                for value in range(hold + 1):
                    with m.Case(value):
                        m.d.comb += block.eq(history[hold - value])
            blocks.append(block)

        # One scale unit where a block can begin.
        at_scale = at_groups + 1 + hold
        form_scale = later(self.format, at_scale, "format_scale")
        at_quantize = at_scale + BlockScale.LATENCY
        form_quantize = later(self.format, at_quantize, "format_quantize")
        units = []
        for g in range(groups):
            known = tuple(entry for entry in formats if _first_group(entry, g) == g)
            if not known:
                units.append(None)
                continue
            m.submodules[f"scale_{g}"] = unit = BlockScale(width, known)
            m.d.comb += [
                unit.highest.eq(blocks[g]),
                unit.top.eq(later(tops[g], at_scale - SELECT_CYCLES, f"top_{g}")),
                unit.bad.eq(later(bads[g], at_scale - SELECT_CYCLES, f"bad_{g}")),
                unit.format.eq(_subset(form_scale, formats, known)),
            ]
            units.append(unit)
        settings = []
        for g in range(groups):
            shift = Signal(LANE_SHIFT_BITS, name=f"shift_{g}")
            reciprocal = Signal(RECIPROCAL_BITS, name=f"reciprocal_{g}")
            flawed = Signal(name=f"flawed_{g}")
            for k, entry in enumerate(formats):
                unit = units[_first_group(entry, g)]
                with m.If(form_quantize[k]):
                    m.d.comb += [
                        shift.eq(unit.shift),
                        reciprocal.eq(unit.reciprocal),
                        flawed.eq(unit.flawed),
                    ]
            settings.append((shift, reciprocal, flawed))

        # Back to elements.
        form_result = later(self.format, at_quantize + QuantizeLane.LATENCY, "format_result")
        outputs = {}
        for n, lane in enumerate(lanes):
            if lane is None:
                continue
            known = formats if n % 2 == 0 else narrow
            shift, reciprocal, flawed = settings[n // NIBBLES_PER_GROUP]
            waiting = Cat(lane.magnitude, lane.negative, lane.nan)
            total = later(waiting, at_quantize - at_totals, f"total_{n}")
            m.submodules[f"quantize_{n}"] = output = QuantizeLane(width, known)
            m.d.comb += [
                Cat(output.magnitude, output.negative, output.nan).eq(total),
                output.format.eq(_subset(form_quantize, formats, known)),
                output.shift.eq(shift),
                output.reciprocal.eq(reciprocal),
                output.flawed.eq(flawed),
            ]
            outputs[n] = output.element
        codes = [
            later(unit.code, QuantizeLane.LATENCY, f"code_{g}") if unit is not None else None
            for g, unit in enumerate(units)
        ]
        for k, entry in enumerate(formats):
            step = entry.element.bits // NIBBLE_BITS
            elements = [outputs[n][: entry.element.bits] for n in range(0, 2 * flit, step)]
            starts = [g for g in range(groups) if _first_group(entry, g) == g]
            with m.If(form_result[k]):
                m.d.comb += [
                    self.result.eq(Cat(*elements)),
                    self.result_scales.eq(Cat(codes[g][: entry.scale.bits] for g in starts)),
                ]
        return m

    @staticmethod
    def _tree(m, values, levels, name, width):
        """The largest value, one comparison per cycle."""
        for level in range(levels):
            pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
            values = []
            for index, pair in enumerate(pairs):
                result = Signal(width, name=f"{name}_{level}_{index}")
                m.d.sync += result.eq(maximum_of(pair))
                values.append(result)
        return values[0]


def _block_of(entry: BlockFormat, group: int) -> int:
    """Which block of the row a group belongs to."""
    return group * GROUP_BYTES // entry.block_bytes


def _first_group(entry: BlockFormat, group: int) -> int:
    return _block_of(entry, group) * (entry.block_bytes // GROUP_BYTES)


def _any(form, wanted: list[bool]):
    return Cat(form[k] for k, want in enumerate(wanted) if want).any()


def _subset(form, formats, known):
    return Cat(form[k] for k, entry in enumerate(formats) if entry in known)
