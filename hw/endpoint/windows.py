"""Which parts of an endpoint's memory the fabric may touch."""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import Config
from hw.spec.packet import ADDRESS_BITS, LENGTH_BITS

WINDOW_LAYOUT = data.StructLayout(
    {"base": ADDRESS_BITS, "end": ADDRESS_BITS + 1, "read": 1, "write": 1}
)
"""``end`` is the first address behind the window."""


class WindowCheck(wiring.Component):
    """Combinational: does one window hold the whole range?

    Ports: ``windows`` (in, array), ``address``, ``length`` (bytes), ``write`` in;
    ``allowed`` out. A range that only several windows together cover is refused.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "windows": In(data.ArrayLayout(WINDOW_LAYOUT, config.endpoint.windows)),
                "address": In(ADDRESS_BITS),
                "length": In(LENGTH_BITS),
                "write": In(1),
                "allowed": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inside = []
        end = Signal(ADDRESS_BITS + 1)
        m.d.comb += end.eq(self.address + self.length)
        for window in self.windows:
            permitted = (self.write & window.write) | (~self.write & window.read)
            fits = (self.address >= window.base) & (end <= window.end)
            inside.append(permitted & fits)
        result = inside[0]
        for entry in inside[1:]:
            result = result | entry
        m.d.comb += self.allowed.eq(result)
        return m
