"""Registers of an endpoint."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import CsrBus, Decoder
from hw.endpoint.sync import Sync
from hw.endpoint.traffic import Traffic
from hw.endpoint.windows import window_layout
from hw.fabric.link import LinkEvents
from hw.fabric.transport import TransportCounts
from hw.spec.config import Config
from hw.spec.fault import Fault
from hw.spec.packet import ADDRESS_BITS, QueueSet
from hw.spec.registers import (
    COUNTER_BITS,
    ENDPOINT,
    IDENTITY,
    POLL_INTERVAL,
    WINDOW_READ,
    WINDOW_REFUSED_SHIFT,
    WINDOW_WORDS,
    WINDOW_WRITE,
)


class EndpointRegisters(wiring.Component):
    """Register page of an endpoint; the map is ``hw.spec.registers.ENDPOINT``.

    Parameters: ``sync``, ``traffic``: the parts these registers steer.

    Ports: ``bus``; ``cycles`` (counter) in; ``windows``, ``fault``, ``fault_set`` out;
    ``fault_taken``, ``visible`` (pulses) in; ``counts``, ``link_events``, ``given_up`` in, of the
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
                "given_up": In(1),
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
            low, high, bytes_low, bytes_high = (
                registers.storage("WINDOW", index=WINDOW_WORDS * index + word)
                for word in range(WINDOW_WORDS)
            )
            window = self.windows[index]
            end = Signal(ADDRESS_BITS + 1, name=f"window_end_{index}")
            size = Cat(bytes_low, bytes_high)[:ADDRESS_BITS]
            m.d.sync += end.eq(Cat(low, high)[:ADDRESS_BITS] + size)
            m.d.comb += [
                window.base.eq(Cat(low, high)),
                window.refused_sources.eq(high[WINDOW_REFUSED_SHIFT:]),
                window.refused_tenants.eq(bytes_high[WINDOW_REFUSED_SHIFT:]),
                window.end.eq(end),
                window.read.eq((bytes_high & WINDOW_READ).any()),
                window.write.eq((bytes_high & WINDOW_WRITE).any()),
            ]
        fault = Signal(Fault)
        fault_set = Signal(QueueSet, init=QueueSet.ISA)
        with m.If(self.fault_taken):
            m.d.sync += fault.eq(Fault.NONE)
        with m.If(registers.written("FAULT")):
            m.d.sync += [fault.eq(self.bus.write_data), fault_set.eq(~self.bus.write_data[8])]
        registers.read("FAULT", fault)
        m.d.comb += [self.fault.eq(fault), self.fault_set.eq(fault_set)]
        for name, _ in data.Layout.cast(TransportCounts):
            counter = Signal(COUNTER_BITS, name=name)
            m.d.sync += counter.eq(counter + self.counts[name])
            registers.counter(name.upper(), counter)
        registers.read("LINK_STATE", Cat(self.link_events.up, self.given_up))
        if self._config.link.reliable:
            was_up = Signal()
            m.d.sync += was_up.eq(self.link_events.up)
            registers.tally("LINK_REPLAYS", self.link_events.replayed)
            registers.tally("LINK_DAMAGED", self.link_events.damaged)
            registers.tally("LINK_REJECTS", self.link_events.rejected)
            registers.tally("LINK_CORRECTED", self.link_events.corrected)
            registers.tally("LINK_DROPS", was_up & ~self.link_events.up)
        registers.counter("CORE_BYTES", self.core_bytes)
        registers.counter("ISA_BYTES", self.isa_bytes)
        return m

    def _synchronisation(self, m, registers, cycles):
        sync = self._sync
        base = self._config.flag_base
        m.d.comb += [
            sync.start.eq(registers.written("ARRIVE")),
            sync.sync_id.eq(self.bus.write_data),
            sync.flag_base.eq(
                Cat(
                    registers.storage("FLAG_BASE", init=base & 0xFFFFFFFF, index=0),
                    registers.storage("FLAG_BASE", init=base >> 32, index=1),
                )
            ),
            sync.interval.eq(
                registers.storage("POLL_INTERVAL", init=POLL_INTERVAL, bits=len(sync.interval))
            ),
        ]
        registers.read("SYNC_STATE", Cat(sync.waiting, Signal(3), sync.status))
        registers.read("FLAG_IDENTIFIER", sync.identifier)
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
        control = registers.storage("TRAFFIC_CONTROL")
        m.d.comb += [
            traffic.enable.eq(control[0]),
            traffic.multicast.eq(control[1]),
            traffic.destination.eq(
                registers.storage("TRAFFIC_DESTINATION", bits=len(traffic.destination))
            ),
            traffic.address.eq(
                Cat(
                    registers.storage("TRAFFIC_ADDRESS", index=0),
                    registers.storage("TRAFFIC_ADDRESS", index=1),
                )[:ADDRESS_BITS]
            ),
            traffic.length.eq(registers.storage("TRAFFIC_BYTES", bits=len(traffic.length))),
            traffic.span.eq(registers.storage("TRAFFIC_SPAN")),
            traffic.limit.eq(registers.storage("TRAFFIC_LIMIT")),
        ]
        registers.counter("TRAFFIC_SENT", traffic.sent)
        registers.counter("TRAFFIC_ANSWERED", traffic.answered)
        registers.tally("TRAFFIC_ERRORS", traffic.failed, clear=traffic.begins)
