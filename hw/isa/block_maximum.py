"""The largest magnitude of every block of a row."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.codec.arithmetic import maximum_of
from hw.isa.dequantize import total_bits
from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.formats.block import GROUP_BYTES, groups
from hw.spec.timing import bytes_per_group, group_levels, longest_block, maximum_hold
from hw.stream.delay import delayed


class BlockMaximum(wiring.Component):
    """Over the lanes of a group, over the groups of a slice, over the slices of a block.

    Ports
    -----
    magnitudes : in, per byte of the slice, of its element or the lower of its narrow ones
    upper_magnitudes : in, per byte, of the upper narrow one; there only where such formats are
    format : in, one bit per built format
    slices_left : in, further slices of this one's block
    highest : out, per group, of its block

    Free-running, :func:`hw.spec.timing.block_maximum_cycles`, one comparison per cycle. The
    slices of a block must enter in consecutive cycles.
    """

    def __init__(self, config: Config):
        self._config = config
        self._formats = block_formats(config)
        ports, size = config.system.endpoints, config.slice_bytes
        width = total_bits(ports, self._formats)
        members = {
            "magnitudes": In(width).array(size),
            "format": In(len(self._formats)),
            "slices_left": In(index_bits(longest_block(config))),
            "highest": Out(width).array(groups(size)),
        }
        self._narrow = tuple(entry for entry in self._formats if entry.narrow)
        if self._narrow:
            members["upper_magnitudes"] = In(total_bits(ports, self._narrow)).array(size)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        values = [
            self._register(m, self._of_byte(n), f"byte_{n}") for n in range(len(self.magnitudes))
        ]
        step = bytes_per_group(self._config)
        highest = [
            self._largest(m, values[start : start + step], f"group_{start}")
            for start in range(0, len(values), step)
        ]
        cycles = group_levels(self._config)
        span = 1
        while span < len(highest):
            form = delayed(m, self.format, cycles, f"format_{span}")
            joined = self._any(form, lambda e, s=span: e.block_bytes > s * GROUP_BYTES)
            highest = [
                self._register(
                    m,
                    Mux(joined, maximum_of([value, highest[g ^ span]]), value),
                    f"slice_{span}_{g}",
                )
                for g, value in enumerate(highest)
            ]
            cycles, span = cycles + 1, 2 * span
        self._over_slices(m, highest, cycles)
        return m

    def _of_byte(self, n):
        """The larger of its elements; a narrow one has no more bits than ``upper``."""
        value = self.magnitudes[n]
        if not self._narrow:
            return value
        upper = self.upper_magnitudes[n]
        cut = len(value) - len(upper)
        larger = self._any(self.format, lambda e: e.narrow) & (upper > value[cut:])
        return Cat(value[:cut], Mux(larger, upper, value[cut:]))

    def _over_slices(self, m, highest, cycles):
        width, hold = self._config.slice_bytes, maximum_hold(self._config)
        form = delayed(m, self.format, cycles, "format_slice")
        left = delayed(m, self.slices_left, cycles, "left")
        longest = Signal.like(self.slices_left)
        for k, entry in enumerate(self._formats):
            with m.If(form[k]):
                m.d.comb += longest.eq(entry.slices_per_block(width) - 1)
        leaving = delayed(m, left, 1 + hold, "leaving")
        for g, value in enumerate(highest):
            running = Signal.like(value, name=f"running_{g}")
            m.d.sync += running.eq(Mux(left == longest, value, maximum_of([running, value])))
            # When a slice leaves, its block was complete `hold - slices left` cycles ago.
            history = [running]
            for age in range(1, hold + 1):
                history.append(delayed(m, history[-1], 1, f"complete_{g}_{age}"))
            with m.Switch(leaving):
                for remaining in range(hold + 1):
                    complete = history[hold - remaining]
                    with m.Case(remaining):
                        m.d.comb += self.highest[g].eq(complete)

    def _any(self, form, wanted):
        return Cat(form[k] for k, entry in enumerate(self._formats) if wanted(entry)).any()

    @classmethod
    def _largest(cls, m, values, name):
        level = 0
        while len(values) > 1:
            values = [
                cls._register(m, maximum_of(values[i : i + 2]), f"{name}_{level}_{i}")
                for i in range(0, len(values), 2)
            ]
            level += 1
        return values[0]

    @staticmethod
    def _register(m, value, name):
        register = Signal.like(value, name=name)
        m.d.sync += register.eq(value)
        return register
