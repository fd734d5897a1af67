"""The largest magnitude of every block of a row."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formats import block_formats
from hw.formats.block import GROUP_BYTES
from hw.isa.arithmetic import maximum_of
from hw.isa.dequantize import total_bits
from hw.isa.jobs import index_bits, longest_block_rows
from hw.spec.config import Config
from hw.stream.delay import delayed

NIBBLE_BITS = 4
NIBBLES_PER_GROUP = 8 * GROUP_BYTES // NIBBLE_BITS
GROUP_LEVELS = (NIBBLES_PER_GROUP - 1).bit_length()


def hold_cycles(config: Config) -> int:
    """A row waits until the last row of the longest block is there."""
    return longest_block_rows(config) - 1


def latency(config: Config) -> int:
    row_levels = (config.fabric.flit_bytes // GROUP_BYTES - 1).bit_length()
    return GROUP_LEVELS + row_levels + 1 + hold_cycles(config)


class BlockMaximum(wiring.Component):
    """Over the lanes of a group of 8 bytes, over the groups of a row, over the rows of a block.

    Ports
    -----
    magnitudes : in, per 4 bits of the row; every other one counts for 8-bit elements
    format : in, one bit per built format
    rows_left : in, further rows of this row's block
    highest : out, per group, of its block

    Free-running, :func:`latency` cycles, one comparison per cycle. The rows of a block must
    enter in consecutive cycles.
    """

    def __init__(self, config: Config):
        self._config = config
        self._formats = block_formats(config)
        width = total_bits(config.system.endpoints)
        groups = config.fabric.flit_bytes // GROUP_BYTES
        super().__init__(
            {
                "magnitudes": In(width).array(groups * NIBBLES_PER_GROUP),
                "format": In(len(self._formats)),
                "rows_left": In(index_bits(longest_block_rows(config))),
                "highest": Out(width).array(groups),
            }
        )

    def elaborate(self, platform):
        m = Module()
        narrow = Signal()
        m.d.comb += narrow.eq(self._any(self.format, lambda e: e.element.bits == NIBBLE_BITS))
        values = [
            Mux(narrow, value, 0) if n % 2 else value for n, value in enumerate(self.magnitudes)
        ]
        highest = [
            self._largest(m, values[start : start + NIBBLES_PER_GROUP], f"group_{start}")
            for start in range(0, len(values), NIBBLES_PER_GROUP)
        ]
        cycles = GROUP_LEVELS
        span = 1
        while span < len(highest):
            form = delayed(m, self.format, cycles, f"format_{span}")
            joined = self._any(form, lambda e, s=span: e.block_bytes > s * GROUP_BYTES)
            highest = [
                self._register(
                    m,
                    Mux(joined, maximum_of([value, highest[g ^ span]]), value),
                    f"row_{span}_{g}",
                )
                for g, value in enumerate(highest)
            ]
            cycles, span = cycles + 1, 2 * span
        self._over_rows(m, highest, cycles)
        return m

    def _over_rows(self, m, highest, cycles):
        flit, hold = self._config.fabric.flit_bytes, hold_cycles(self._config)
        form = delayed(m, self.format, cycles, "format_row")
        left = delayed(m, self.rows_left, cycles, "left")
        longest = Signal.like(self.rows_left)
        for k, entry in enumerate(self._formats):
            with m.If(form[k]):
                m.d.comb += longest.eq(entry.rows_per_block(flit) - 1)
        leaving = delayed(m, left, 1 + hold, "leaving")
        for g, value in enumerate(highest):
            running = Signal.like(value, name=f"running_{g}")
            m.d.sync += running.eq(Mux(left == longest, value, maximum_of([running, value])))
            # When a row leaves, its block was complete `hold - rows left` cycles ago.
            with m.Switch(leaving):
                for rows in range(hold + 1):
                    complete = delayed(m, running, hold - rows, f"complete_{g}_{rows}")
                    with m.Case(rows):
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
