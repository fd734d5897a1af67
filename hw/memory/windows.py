"""Which parts of an endpoint's memory the fabric may touch."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import Config
from hw.spec.packet import ADDRESS_BITS, LENGTH_BITS, NODE_BITS, TENANT_BITS


def window_layout(config: Config) -> data.StructLayout:
    """``end`` is the first address behind the window."""
    return data.StructLayout(
        {
            "base": ADDRESS_BITS,
            "end": ADDRESS_BITS + 1,
            "read": 1,
            "write": 1,
            "refused_sources": config.system.endpoints,
            "refused_tenants": 1 << TENANT_BITS,
        }
    )


REQUESTER_LAYOUT = data.StructLayout({"inc": 1, "source": NODE_BITS, "tenant": TENANT_BITS})
"""The requester; for the accelerator (``inc``), only the tenant counts."""


def requester_of(header) -> Value:
    """The fields of :data:`REQUESTER_LAYOUT` in a packet's header, lowest first."""
    return Cat(header.inc, header.source, header.tenant)


class WindowCheck(wiring.Component):
    """Combinational: does one window hold the whole range, and is it open to the requester?

    Ports: ``windows`` (in, array), ``address``, ``length`` (bytes), ``write``,
    ``requester`` (see :data:`REQUESTER_LAYOUT`) in;
    ``allowed`` out. A range that only several windows together cover is refused.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "windows": In(data.ArrayLayout(window_layout(config), config.endpoint.windows)),
                "address": In(ADDRESS_BITS),
                "length": In(LENGTH_BITS),
                "write": In(1),
                "requester": In(REQUESTER_LAYOUT),
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
            requester = self.requester
            refused = window.refused_tenants.bit_select(requester.tenant, 1) | (
                ~requester.inc & window.refused_sources.bit_select(requester.source, 1)
            )
            fits = (self.address >= window.base) & (end <= window.end)
            inside.append(permitted & ~refused & fits)
        result = inside[0]
        for entry in inside[1:]:
            result = result | entry
        m.d.comb += self.allowed.eq(result)
        return m
