"""Barriers: who has arrived where."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.packets import header_of
from hw.isa.jobs import index_bits
from hw.spec.config import MAX_ENDPOINTS, Config
from hw.spec.packet import Operation, flit_layout


class Arrival(wiring.Component):
    """Take arrivals (atomic adds with INC set) off one port.

    Ports: ``i`` (flit stream in, always ready), ``arrived`` (pulse), ``sync_id``. The
    pulse comes one cycle after the header flit. Other requests are ignored.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(flit_layout(config))),
                "arrived": Out(1),
                "sync_id": Out(index_bits(config.isa.sync_ids)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        header = header_of(self.i.payload)
        m.d.comb += self.i.ready.eq(1)
        m.d.sync += [
            self.arrived.eq(
                self.i.valid
                & self.i.payload.first
                & (header.operation == Operation.ATOMIC_ADD)
                & (header.address < 8 * self._config.isa.sync_ids)
            ),
            self.sync_id.eq(header.address >> 3),
        ]
        return m


class Barrier(wiring.Component):
    """Barrier manager: one set of arrivals per synchronisation id.

    Ports
    -----
    arrived, sync_id : per endpoint, an arrival
    query, participants : per controller, the barrier it waits at and for whom
    met : out per controller, every participant has arrived
    missing : out per controller, participants that have not
    take : in per controller, use up the arrivals of ``query``

    The published design counts arrivals; one bit per endpoint tells who is missing and
    cannot be fooled by an endpoint that arrives twice. ``met`` follows an arrival by one
    cycle.
    """

    def __init__(self, config: Config):
        self._config = config
        ports, controllers = config.system.endpoints, config.isa.wave_controllers
        sync_bits = index_bits(config.isa.sync_ids)
        super().__init__(
            {
                "arrived": In(1).array(ports),
                "sync_id": In(sync_bits).array(ports),
                "query": In(sync_bits).array(controllers),
                "participants": In(MAX_ENDPOINTS).array(controllers),
                "met": Out(1).array(controllers),
                "missing": Out(ports).array(controllers),
                "take": In(1).array(controllers),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ports = self._config.system.endpoints
        present = Array(
            Signal(ports, name=f"present_{s}") for s in range(self._config.isa.sync_ids)
        )
        for s, mask in enumerate(present):
            taken = 0
            for c in range(self._config.isa.wave_controllers):
                taken |= Mux(self.take[c] & (self.query[c] == s), self.participants[c], 0)
            arrivals = Signal(ports, name=f"arrivals_{s}")
            for port in range(ports):
                m.d.comb += arrivals[port].eq(self.arrived[port] & (self.sync_id[port] == s))
            m.d.sync += mask.eq((mask & ~taken) | arrivals)
        for c in range(self._config.isa.wave_controllers):
            m.d.comb += [
                self.missing[c].eq(self.participants[c] & ~present[self.query[c]]),
                self.met[c].eq(self.missing[c] == 0),
            ]
        return m
