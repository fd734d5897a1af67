"""Registers of an endpoint."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import CsrBus, Decoder
from hw.endpoint.sync import Sync
from hw.endpoint.traffic import Traffic
from hw.fabric.link import LinkEvents
from hw.fabric.transport import TransportCounts
from hw.memory.windows import window_layout
from hw.spec.config import LONGEST_WAIT_CYCLES, MAX_ENDPOINTS, Config
from hw.spec.fault import Fault
from hw.spec.packet import (
    ADDRESS_BITS,
    LENGTH_BITS,
    WORD_BYTES,
    QueueSet,
)
from hw.spec.registers import (
    COUNTER_BITS,
    ENDPOINT,
    IDENTITY,
    POLL_INTERVAL,
)


class EndpointRegisters(wiring.Component):
    """Register page of an endpoint; the map is ``hw.spec.registers.ENDPOINT``.

    Parameters: ``sync``, ``traffic``: the parts these registers steer.

    Ports: ``bus``; ``cycles`` (counter) in; ``windows``, ``fault``, ``fault_set`` out;
    ``fault_taken``, ``visible`` (pulses) in; ``counts``, ``link_events``, ``peer_dead`` in, of the
    transport;
    ``core_bytes``, ``isa_bytes`` (counts) in.
    """

    def __init__(self, config: Config, *, sync: Sync, traffic: Traffic):
        self._config = config
        self._sync = sync
        self._traffic = traffic
        super().__init__(
            {
                "bus": In(CsrBus()),
                "cycles": In(COUNTER_BITS),
                "windows": Out(data.ArrayLayout(window_layout(config), config.endpoint.windows)),
                "fault": Out(Fault),
                "fault_set": Out(QueueSet),
                "fault_taken": In(1),
                "visible": In(1),
                "counts": In(TransportCounts),
                "link_events": In(LinkEvents),
                "peer_dead": In(1),
                "core_bytes": In(COUNTER_BITS),
                "isa_bytes": In(COUNTER_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        registers = Decoder(m, self.bus, ENDPOINT, registered=self._config.fabric.registered)
        cycles = self.cycles
        registers.read("IDENTITY", IDENTITY)
        registers.counter("CYCLES", cycles)
        self._synchronisation(m, registers, cycles)
        self._ordinary_traffic(m, registers)
        for index in range(self._config.endpoint.windows):
            register, window = ENDPOINT["WINDOW"], self.windows[index]
            first = register.words * index
            words = [registers.storage("WINDOW", index=first + n) for n in range(register.words)]
            given = data.View(register.layout, Cat(*words))
            end = Signal(ADDRESS_BITS + 1, name=f"window_end_{index}")
            m.d.sync += end.eq(given.base + given.bytes)
            m.d.comb += [
                window.end.eq(end),
                window.base.eq(given.base),
                window.refused_sources.eq(given.refused_sources),
                window.refused_tenants.eq(given.refused_tenants),
                window.read.eq(given.read),
                window.write.eq(given.write),
            ]
        self._misbehaviour(m, registers)
        for name, _ in data.Layout.cast(TransportCounts):
            counter = Signal(COUNTER_BITS, name=name)
            m.d.sync += counter.eq(counter + self.counts[name])
            registers.counter(name.upper(), counter)
        registers.read_fields("LINK_STATE", heard=self.link_events.up, dead=self.peer_dead)
        was_up = Signal()
        m.d.sync += was_up.eq(self.link_events.up)
        for name, event in (
            ("LINK_REPLAYS", self.link_events.replayed),
            ("LINK_DAMAGED", self.link_events.damaged),
            ("LINK_REJECTS", self.link_events.rejected),
            ("LINK_CORRECTED", self.link_events.corrected),
            ("LINK_DROPS", was_up & ~self.link_events.up),
        ):
            registers.tally(name, event if self._config.link.reliable else 0)
        registers.counter("CORE_BYTES", self.core_bytes)
        registers.counter("ISA_BYTES", self.isa_bytes)
        return m

    def _misbehaviour(self, m, registers):
        """FAULT: what the endpoint does wrong next, if that circuit is built."""
        fault = Signal(Fault)
        fault_set = Signal(QueueSet, init=QueueSet.ISA)
        registers.read_fields("FAULT", fault=fault)
        m.d.comb += [self.fault.eq(fault), self.fault_set.eq(fault_set)]
        if not self._config.endpoint.fault_injection:
            return
        written = registers.written_fields("FAULT")
        with m.If(self.fault_taken):
            m.d.sync += fault.eq(Fault.NONE)
        with m.If(registers.written("FAULT", accepts=~registers.written_beyond("FAULT"))):
            m.d.sync += [
                fault.eq(written.fault),
                fault_set.eq(Mux(written.core, QueueSet.CORE, QueueSet.ISA)),
            ]

    def _synchronisation(self, m, registers, cycles):
        sync, written = self._sync, self.bus.write_data
        barriers, arrival = len(sync.waiting), registers.written_fields("ARRIVE")
        # CANCEL has the barrier at the same place.
        waits = sync.waiting.bit_select(written[: len(sync.sync_id)], 1)
        known = (arrival.barrier < barriers) & ~registers.written_beyond("ARRIVE")
        m.d.comb += [
            sync.start.eq(registers.written("ARRIVE", accepts=known & ~waits)),
            sync.sync_id.eq(arrival.barrier),
            sync.round.eq(arrival.round),
            sync.cancel.eq(registers.written("CANCEL", accepts=(written < barriers) & waits)),
            sync.cancel_id.eq(written),
            sync.flag_base.eq(
                registers.address("FLAG_BASE", init=self._config.flag_base, align=WORD_BYTES)
            ),
            sync.interval.eq(
                registers.storage("POLL_INTERVAL", init=POLL_INTERVAL, bits=len(sync.interval))
            ),
            sync.cycles.eq(cycles),
            sync.timeout.eq(
                registers.storage(
                    "WAIT_TIMEOUT",
                    init=self._config.endpoint.wait_timeout_cycles,
                    accepts=lambda value: value <= LONGEST_WAIT_CYCLES,
                )
            ),
        ]
        for s in range(barriers):
            registers.read_fields(
                "SYNC_STATE",
                s,
                waiting=sync.waiting[s],
                status=sync.statuses[s],
                round=sync.rounds[s],
            )
            registers.read("FLAG_IDENTIFIER", sync.identifiers[s], s)
        for name, event in (
            ("ARRIVED_AT", sync.arrived),
            ("VISIBLE_AT", self.visible),
            ("POLLED_AT", sync.seen),
        ):
            moment = Signal(32, name=name.lower())
            m.d.sync += moment.eq(Mux(event, cycles, moment))
            registers.read(name, moment)

    def _ordinary_traffic(self, m, registers):
        traffic = self._traffic
        layout = ENDPOINT["TRAFFIC_CONTROL"].layout
        control = Signal(layout)
        kept = registers.storage("TRAFFIC_CONTROL", bits=ENDPOINT["TRAFFIC_CONTROL"].bits)
        flit, most = self._config.fabric.flit_bytes, self._config.fabric.max_payload_bytes
        # A packet without payload, or with too much, would hold up what others send.
        length = registers.storage(
            "TRAFFIC_BYTES",
            init=flit,
            bits=LENGTH_BITS,
            align=flit,
            accepts=lambda value: (value >= flit) & (value <= most),
        )
        m.d.comb += [
            control.eq(kept),
            traffic.enable.eq(control.send),
            traffic.multicast.eq(control.multicast),
            traffic.destination.eq(registers.storage("TRAFFIC_DESTINATION", bits=MAX_ENDPOINTS)),
            traffic.address.eq(registers.address("TRAFFIC_ADDRESS")),
            traffic.length.eq(length),
            traffic.span.eq(registers.storage("TRAFFIC_SPAN")),
            traffic.limit.eq(registers.storage("TRAFFIC_LIMIT")),
        ]
        registers.counter("TRAFFIC_SENT", traffic.sent)
        registers.counter("TRAFFIC_ANSWERED", traffic.answered)
        registers.tally("TRAFFIC_ERRORS", traffic.failed, clear=traffic.begins)
