"""Which blocks hold anything but zeros: only their scales decide where the window lies."""

from functools import reduce
from operator import and_

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.formats.block import BlockFormat, groups
from hw.spec.timing import longest_block, nonzero_hold
from hw.stream.delay import delayed


class NonzeroBlocks(wiring.Component):
    """One bit per port and group of elements that share a scale.

    Parameters: ``config``, with at least one format whose window follows the largest scale.

    Ports
    -----
    slices : in, elements, per port
    format : in, one bit per built format
    slices_left : in, further slices of this one's block
    nonzero : out, per group a bit per port: its block has an element that is not zero, NaN
        included; 1 for every port in formats with a fixed window

    Free-running, ``1 + nonzero_hold(config)`` cycles. The slices of a block must enter in
    consecutive cycles.
    """

    def __init__(self, config: Config):
        self._config = config
        self._formats = block_formats(config)
        if not any(entry.scale.aligned for entry in self._formats):
            raise ValueError("isa.block_formats: no format whose window follows the largest scale")
        ports = config.system.endpoints
        super().__init__(
            {
                "slices": In(8 * config.slice_bytes).array(ports),
                "format": In(len(self._formats)),
                "slices_left": In(index_bits(longest_block(config))),
                "nonzero": Out(ports).array(groups(config.slice_bytes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ports, count = range(len(self.slices)), len(self.nonzero)
        width = len(self.slices[0]) // count
        form = delayed(m, self.format, 1, "format")
        # 1: per group of each port.
        filled = []
        for g in range(count):
            group = Signal(len(self.slices), name=f"filled_{g}")
            for p in ports:
                m.d.sync += group[p].eq(self._any(self.slices[p].word_select(g, width)))
            filled.append(group)
        # Then over the groups of a block, and over its slices.
        whole = [Signal(len(self.slices), name=f"whole_{g}") for g in range(count)]
        for k, entry in enumerate(self._formats):
            with m.If(form[k]):
                for g in range(count):
                    first = entry.first_group(g)
                    joined = [filled[h] for h in range(count) if entry.first_group(h) == first]
                    m.d.comb += whole[g].eq(_any_of(joined))
        leaving = delayed(m, form, nonzero_hold(self._config), "format_leaving")
        fixed = [k for k, entry in enumerate(self._formats) if not entry.scale.aligned]
        regardless = Cat(leaving[k] for k in fixed).any()
        for g, value in enumerate(self._over_slices(m, form, whole)):
            m.d.comb += self.nonzero[g].eq(value | regardless.replicate(len(value)))
        return m

    def _any(self, group):
        """Has ``group`` an element that is not zero? Signs do not count where zero has two."""
        aligned = {k: entry for k, entry in enumerate(self._formats) if entry.scale.aligned}
        masks = {k: _magnitude_bits(entry, len(group)) for k, entry in aligned.items()}
        common = reduce(and_, masks.values())
        found = (group & common).any()
        for k, mask in masks.items():
            if mask != common:
                found = found | (self.format[k] & (group & (mask ^ common)).any())
        return found

    def _over_slices(self, m, form, whole):
        hold = nonzero_hold(self._config)
        if hold == 0:
            return whole
        left = delayed(m, self.slices_left, 1, "left")
        # Of a slice that leaves, the block was complete `hold - slices left` cycles ago.
        leaving = delayed(m, left, hold, "leaving")
        longest = Signal.like(left)
        for k, entry in enumerate(self._formats):
            with m.If(form[k]):
                m.d.comb += longest.eq(entry.slices_per_block(self._config.slice_bytes) - 1)
        found = []
        for g, value in enumerate(whole):
            running = Signal.like(value, name=f"running_{g}")
            complete = Signal.like(value, name=f"complete_{g}")
            m.d.comb += complete.eq(value | Mux(left == longest, 0, running))
            m.d.sync += running.eq(complete)
            history = [complete, running]
            for age in range(2, hold + 1):
                history.append(delayed(m, history[-1], 1, f"complete_{g}_{age}"))
            result = Signal.like(value, name=f"result_{g}")
            with m.Switch(leaving):
                for remaining in range(hold + 1):
                    with m.Case(remaining):
                        m.d.comb += result.eq(history[hold - remaining])
            found.append(result)
        return found


def _any_of(values):
    return reduce(lambda a, b: a | b, values)


def _magnitude_bits(entry: BlockFormat, width: int) -> int:
    """The bits of ``width`` bits of elements of which one is set unless all are zero."""
    bits = entry.element.bits
    return sum(entry.element.magnitude_mask << low for low in range(0, width, bits))
