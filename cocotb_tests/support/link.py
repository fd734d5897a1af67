"""Two transports joined by a delay line each way: a link with both its ends."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.phy import DelayLine
from hw.fabric.transport import TRANSPORT_CYCLES, Transport
from hw.spec.config import Config
from hw.spec.packet import TO_ENDPOINT, TO_SWITCH, flit_layout
from hw.stream.connect import connect_stream


class Link(wiring.Component):
    """Ports: ``up_in``, ``up_out`` (channels to the switch), ``down_in``, ``down_out``."""

    def __init__(self, config: Config):
        self._config = config
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "up_in": In(flits).array(len(TO_SWITCH)),
                "up_out": Out(flits).array(len(TO_SWITCH)),
                "down_in": In(flits).array(len(TO_ENDPOINT)),
                "down_out": Out(flits).array(len(TO_ENDPOINT)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        cycles = self._config.link.latency_cycles - TRANSPORT_CYCLES
        m.submodules.near = near = Transport(
            self._config, transmit=TO_SWITCH, receive=TO_ENDPOINT, buffered=TO_SWITCH
        )
        m.submodules.far = far = Transport(self._config, transmit=TO_ENDPOINT, receive=TO_SWITCH)
        m.submodules.up = up = DelayLine(self._config, cycles=cycles)
        m.submodules.down = down = DelayLine(self._config, cycles=cycles)
        for source, sink in (
            (near.link_out, up.i),
            (up.o, far.link_in),
            (far.link_out, down.i),
            (down.o, near.link_in),
        ):
            connect_stream(m, source, sink)
        for outer, inner in (
            *zip(self.up_in, near.transmit, strict=True),
            *zip(self.down_in, far.transmit, strict=True),
            *zip(far.receive, self.up_out, strict=True),
            *zip(near.receive, self.down_out, strict=True),
        ):
            connect_stream(m, outer, inner)
        return m
