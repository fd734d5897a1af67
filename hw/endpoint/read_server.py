"""Answers read requests of one queue set from memory."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.endpoint.shuffle import Shuffle
from hw.fabric.packets import drive_header, header_of, node_id
from hw.memory.axi import BURST_LAYOUT, beats_to_boundary, read_beat_layout
from hw.memory.windows import WindowCheck, requester_of, window_layout
from hw.spec.checks import one_of
from hw.spec.config import AXI_BOUNDARY_BYTES, MAX_ENDPOINTS, TAG_BITS, Config
from hw.spec.fault import Fault
from hw.spec.packet import (
    ADDRESS_BITS,
    LENGTH_BITS,
    MessageClass,
    Operation,
    QueueSet,
    flit_layout,
)
from hw.spec.status import Status
from hw.spec.timing import READ_HEADERS, read_beats
from hw.stream.bytes import all_but_last_bytes, first_bytes
from hw.stream.queue import Queue

PACKET_LAYOUT = data.StructLayout(
    {
        "destination": MAX_ENDPOINTS,
        "tag": TAG_BITS,
        "offset": LENGTH_BITS,
        "length": LENGTH_BITS,
        "address": ADDRESS_BITS,
        "status": Status,
    }
)
"""A response packet to be: ``length`` bytes at ``address``, ``offset`` into the request."""


class ReadServer(wiring.Component):
    """Cut read requests into response packets, fetch them over AXI4, send them.

    Parameters: ``queue_set`` of the requests; ``identity``, id of the endpoint, 0 … 15, or a
    value that holds it.

    Ports
    -----
    i : flit stream in, read requests
    o : flit stream out, read responses
    burst : stream out, AXI4 read bursts; never cross 4 KiB
    beat : stream in, their data in order; always ready, room is reserved first
    windows : in, memory windows
    fault : in, misbehave once with the next request; ``fault_taken`` out

    A range may start at any byte: it lies in the flits as in memory, and bytes around it
    read zero. A request outside the windows, or of no bytes, is answered at once with one empty
    packet. One flit per cycle without gaps between packets; a request reaches ``burst`` after 3
    cycles, a beat reaches ``o`` after 2. A memory error poisons the last flit of its packet.
    """

    def __init__(self, config: Config, *, queue_set: QueueSet, identity: ValueLike):
        self._config = config
        self._set = one_of("queue_set", queue_set, QueueSet)
        self._identity = node_id(identity)
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "i": In(flits),
                "o": Out(flits),
                "burst": Out(stream.Signature(BURST_LAYOUT)),
                "beat": In(stream.Signature(read_beat_layout(config))),
                "windows": In(data.ArrayLayout(window_layout(config), config.endpoint.windows)),
                "fault": In(Fault),
                "fault_taken": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.packets = packets = Shuffle(
            PACKET_LAYOUT, slots=self._config.endpoint.shuffle_slots
        )
        self._cut(m, packets)
        self._fetch_and_send(m, packets)
        return m

    def _cut(self, m, packets):
        """Requests into packets."""
        flit_bytes = self._config.fabric.flit_bytes
        limit = self._config.fabric.max_payload_bytes
        shift = exact_log2(flit_bytes)
        header = header_of(self.i.payload)
        m.submodules.check = check = WindowCheck(self._config)
        packet = Signal(PACKET_LAYOUT)
        remaining = Signal(LENGTH_BITS)
        busy = Signal()
        repeat = Signal()
        final = Signal()
        length, room = Signal(LENGTH_BITS), Signal(LENGTH_BITS)
        bad = Signal(Status)
        with m.If(header.operation != Operation.READ):
            m.d.comb += bad.eq(Status.BAD_OPERATION)
        with m.Elif(header.length == 0):
            m.d.comb += bad.eq(Status.BAD_LENGTH)
        with m.Elif(~check.allowed):
            m.d.comb += bad.eq(Status.WINDOW_VIOLATION)
        m.d.comb += [
            check.windows.eq(self.windows),
            check.address.eq(header.address),
            check.length.eq(header.length),
            check.write.eq(0),
            check.requester.eq(requester_of(header)),
            # Only the first packet starts within a flit; it takes no more flits for that.
            room.eq(limit - packet.address[:shift]),
            final.eq((remaining <= room) | (packet.status != Status.OK)),
            length.eq(Mux(final, remaining, room)),
            packets.i.valid.eq(busy),
            packets.i.payload.eq(packet),
            packets.i.payload.length.eq(Mux(packet.status == Status.OK, length, 0)),
            self.i.ready.eq(~busy | (packets.i.ready & final & ~repeat)),
        ]
        with m.If(packets.i.valid & packets.i.ready):
            m.d.sync += [
                packet.address.eq(packet.address + room),
                packet.offset.eq(packet.offset + room),
                remaining.eq(remaining - room),
            ]
            with m.If(final):
                m.d.sync += [busy.eq(repeat), repeat.eq(0)]
                with m.If(repeat):
                    # Only a request of one packet is repeated, see below.
                    m.d.sync += [
                        packet.address.eq(packet.address),
                        packet.offset.eq(packet.offset),
                        remaining.eq(remaining),
                    ]
        with m.If(self.i.valid & self.i.ready & self.i.payload.first):
            m.d.sync += [
                busy.eq(1),
                remaining.eq(header.length),
                packet.destination.eq(header.source),
                packet.tag.eq(header.tag),
                packet.offset.eq(0),
                packet.address.eq(header.address),
                packet.status.eq(bad),
            ]
            if self._config.endpoint.fault_injection:
                self._misbehave(m, header, busy, repeat, remaining, packet)

    def _misbehave(self, m, header, busy, repeat, remaining, packet):
        faults = (
            Fault.SILENT_READ,
            Fault.DUPLICATE_READ,
            Fault.UNKNOWN_READ,
            Fault.SHORT_READ,
        )
        for fault in faults:
            with m.If(self.fault == fault):
                m.d.comb += self.fault_taken.eq(1)
        with m.Switch(self.fault):
            with m.Case(Fault.SILENT_READ):
                m.d.sync += busy.eq(0)
            with m.Case(Fault.DUPLICATE_READ):
                m.d.sync += repeat.eq(header.length <= self._config.fabric.max_payload_bytes)
            with m.Case(Fault.UNKNOWN_READ):
                m.d.sync += packet.tag.eq(header.tag ^ (1 << (TAG_BITS - 1)))
            with m.Case(Fault.SHORT_READ):
                m.d.sync += remaining.eq(self._config.fabric.flit_bytes)

    def _fetch_and_send(self, m, packets):
        """Packets into bursts, in the order their responses leave."""
        config = self._config
        flit_bytes = config.fabric.flit_bytes
        shift = exact_log2(flit_bytes)
        depth = read_beats(config)
        m.submodules.beats = beats = Queue(read_beat_layout(config), depth=depth)
        m.submodules.headers = headers = Queue(PACKET_LAYOUT, depth=READ_HEADERS)
        room = Signal(range(depth + 1), init=depth)

        packet = packets.o.payload
        begun = Signal()
        address = Signal(ADDRESS_BITS)
        left = Signal(LENGTH_BITS)
        here, still = Signal(ADDRESS_BITS), Signal(LENGTH_BITS)
        rows = Signal(range(config.rows_per_packet + 2))
        to_boundary = Signal(range(AXI_BOUNDARY_BYTES // flit_bytes + 1))
        beats_now = Signal(9)
        crosses = Signal()
        plan = data.StructLayout(
            {"here": ADDRESS_BITS, "still": LENGTH_BITS, "beats": 9, "crosses": 1}
        )
        computed, used = Signal(plan), Signal(plan)
        registered = "sync" if config.fabric.registered else "comb"
        m.d[registered] += [
            computed.here.eq(Mux(begun, address, Cat(Const(0, shift), packet.address[shift:]))),
            computed.still.eq(Mux(begun, left, packet.length + packet.address[:shift])),
        ]
        m.d[registered] += [
            used.here.eq(computed.here),
            used.still.eq(computed.still),
            used.crosses.eq(rows > to_boundary),
            used.beats.eq(Mux(rows > to_boundary, to_boundary, rows)),
        ]
        m.d.comb += [
            rows.eq((computed.still + (flit_bytes - 1)) >> shift),
            to_boundary.eq(beats_to_boundary(computed.here, config)),
            here.eq(used.here),
            still.eq(used.still),
            beats_now.eq(used.beats),
            crosses.eq(used.crosses),
            headers.i.payload.eq(packet),
            self.burst.payload.address.eq(here),
            self.burst.payload.beats.eq(beats_now),
        ]
        issued, planned = Signal(), Signal()
        if config.fabric.registered:
            begins = Signal()
            stays = packets.o.valid & ~(issued | packets.o.ready)
            m.d.sync += [begins.eq(stays), planned.eq(begins & stays)]
        else:
            m.d.comb += planned.eq(1)
        with m.If(packets.o.valid & planned):
            with m.If(packet.status != Status.OK):
                m.d.comb += [
                    headers.i.valid.eq(1),
                    packets.o.ready.eq(headers.i.ready),
                ]
            with m.Elif((room >= beats_now) & (begun | headers.i.ready)):
                m.d.comb += [
                    self.burst.valid.eq(1),
                    issued.eq(self.burst.ready),
                    headers.i.valid.eq(~begun & issued),
                    packets.o.ready.eq(issued & ~crosses),
                ]
        with m.If(issued):
            m.d.sync += [
                begun.eq(crosses),
                address.eq(here + (beats_now << shift)),
                left.eq(still - (beats_now << shift)),
            ]
        taken = Signal()
        m.d.sync += room.eq(room + taken - Mux(issued, beats_now, 0))
        m.d.comb += [
            beats.i.valid.eq(self.beat.valid),
            beats.i.payload.eq(self.beat.payload),
            self.beat.ready.eq(1),
        ]

        # Send: header, then its beats.
        sending = Signal(range(config.rows_per_packet + 1))
        error = Signal()
        head = headers.o.payload
        # Bytes that were not asked for: the first of the first flit, the last of the last.
        skipped, surplus = Signal(shift), Signal(shift)
        asked = Signal(config.flit_bits)
        m.d.comb += asked.eq(
            ~first_bytes(skipped, config.flit_bits)
            & all_but_last_bytes(Mux(sending == 1, surplus, 0), config.flit_bits)
        )
        with m.If(sending == 0):
            m.d.comb += [
                self.o.valid.eq(headers.o.valid),
                headers.o.ready.eq(self.o.ready),
                *drive_header(
                    self.o.payload,
                    last=head.status != Status.OK,
                    inc=self._set.value,
                    message_class=MessageClass.READ_RESPONSE,
                    operation=Operation.READ,
                    status=head.status,
                    source=self._identity,
                    destination=head.destination,
                    tag=head.tag,
                    length=head.length,
                    address=head.offset,
                ),
            ]
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += [
                    sending.eq(
                        Mux(
                            head.status == Status.OK,
                            (head.address[:shift] + head.length + (flit_bytes - 1)) >> shift,
                            0,
                        )
                    ),
                    skipped.eq(head.address[:shift]),
                    surplus.eq(-(head.address + head.length)),
                    error.eq(0),
                ]
        with m.Else():
            bad = error | beats.o.payload.error
            m.d.comb += [
                self.o.valid.eq(beats.o.valid),
                self.o.payload.data.eq(beats.o.payload.data & asked),
                self.o.payload.first.eq(0),
                self.o.payload.last.eq(sending == 1),
                self.o.payload.poison.eq(bad & (sending == 1)),
                beats.o.ready.eq(self.o.ready),
                taken.eq(self.o.valid & self.o.ready),
            ]
            with m.If(taken):
                m.d.sync += [sending.eq(sending - 1), skipped.eq(0), error.eq(bad)]
