"""Wave table of one port: where read data waits for the other ports."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from hw.fabric.packets import header_of
from hw.isa.abandoned import count_abandoned
from hw.isa.jobs import allocation_layout, release_layout, stray_layout
from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.instruction import read_tag_layout
from hw.spec.packet import LENGTH_BITS, flit_layout
from hw.spec.status import Status
from hw.spec.timing import TABLE_CYCLES
from hw.stream.connect import event


class TableRows(wiring.Signature):
    """Rows of a wave table, seen from the one that reads them.

    ``entry``, ``asked``: a row of a wave. ``available``: that row and the wave's scales can be
    read, or never will come (then ``failure`` says why). ``complete``: the whole entry has been
    answered. ``failure``: status of the entry. ``row``, ``data``: the row of ``entry`` that was
    asked for two cycles earlier; ``scale_row``, ``scale_data``: the same for a row of its scales.
    """

    def __init__(self, config: Config):
        row = index_bits(config.rows_per_wave)
        super().__init__(
            {
                "entry": Out(index_bits(config.isa.waves)),
                "asked": Out(row),
                "row": Out(row),
                "scale_row": Out(index_bits(config.scale_rows_per_wave)),
                "available": In(1),
                "complete": In(1),
                "failure": In(Status),
                "data": In(config.flit_bits),
                "scale_data": In(config.flit_bits),
            }
        )


class WaveTable(wiring.Component):
    """Fill entries by tag, in whatever order responses come, and say which rows are there.

    Ports
    -----
    i : flit stream in, read responses; always ready, since entries are reserved first, but with
        ``fabric.registered`` for a flit every second cycle
    allocate : event in, expect these bytes, see :func:`hw.isa.jobs.allocation_layout`
    free : event in, an entry is free again, see :func:`hw.isa.jobs.release_layout`
    rows : see :class:`TableRows`
    stray : event out, an answer that no entry waits for
    late : pulse, an answer to an abandoned request was dropped
    waiting : out per controller, one of its entries still expects packets
    accepted : event out, a packet was accepted for this entry

    A response names entry, packet and generation in its tag; with burst reads the packet
    follows from the offset it carries. Only the packet now arriving is tracked by row,
    the others as done or not done: a channel never interleaves packets.
    """

    READ_LATENCY = TABLE_CYCLES

    def __init__(self, config: Config):
        self._config = config
        entries = index_bits(config.isa.waves)
        super().__init__(
            {
                "i": In(stream.Signature(flit_layout(config))),
                "burst_reads": In(1),
                "allocate": In(event(allocation_layout(config))),
                "free": In(event(release_layout(config))),
                "rows": In(TableRows(config)),
                "stray": Out(event(stray_layout(config))),
                "late": Out(1),
                "waiting": Out(config.isa.wave_controllers),
                "accepted": Out(event(entries)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        entries, packets = config.isa.waves, config.packets_per_wave
        scale_packets = config.scale_packets_per_wave
        rows = min(config.rows_per_packet, config.rows_per_wave)
        row_bits = ceil_log2(rows)
        flit_shift = exact_log2(config.fabric.flit_bytes)
        packet_shift = row_bits + flit_shift
        tag_layout = read_tag_layout(config)
        generation_bits = tag_layout["generation"].width

        def table(shape, name):
            return Array(Signal(shape, name=f"{name}_{e}") for e in range(entries))

        active = table(1, "active")
        generation = table(generation_bits, "generation")
        done = table(packets + scale_packets, "done")
        remaining = table(range(packets + 1), "remaining")
        length = table(LENGTH_BITS, "length")
        scales_remaining = table(range(scale_packets + 1), "scales_remaining")
        scale_length = table(LENGTH_BITS, "scale_length")
        failure = table(Status, "failure")
        # Answers still to come to requests given up: those counted, and those of the last cycle.
        given_up = Signal(range(packets + scale_packets + 1))
        abandoned = count_abandoned(m, "abandoned", more=given_up, less=self.late)

        # The response now arriving.
        packet = Signal(LENGTH_BITS)
        offered = header_of(self.i.payload)
        offered_packet = Signal(LENGTH_BITS)
        offered_tag = data.View(tag_layout, offered.tag)
        m.d.comb += offered_packet.eq(
            offered_tag.packet + (offered.address[:LENGTH_BITS] >> packet_shift)
        )
        arrives, flit = Signal(), Signal(flit_layout(config))
        entry = Signal(index_bits(entries))
        held, mine, current = Signal(), Signal(), Signal()
        taken = [
            flit.eq(self.i.payload),
            packet.eq(offered_packet),
            entry.eq(offered_tag.entry),
            mine.eq(generation[offered_tag.entry] == offered_tag.generation),
        ]
        leaves = self.free.valid & (self.free.payload.entry == entry)
        if config.fabric.registered:
            freed = self.free.valid & (self.free.payload.entry == offered_tag.entry)
            m.d.comb += self.i.ready.eq(~held)
            m.d.sync += [held.eq(self.i.valid & ~held), arrives.eq(held)]
            with m.If(~held):
                m.d.sync += [*taken, current.eq(active[offered_tag.entry] & ~freed)]
            with m.Elif(leaves):
                m.d.sync += current.eq(0)
        else:
            m.d.comb += [*taken, current.eq(active[entry]), arrives.eq(self.i.valid)]
            m.d.comb += self.i.ready.eq(1)
        header = header_of(flit)
        fill_entry = Signal.like(entry)
        fill_packet = Signal(range(packets + scale_packets))
        fill_scales = Signal()
        fill_rows = Signal(range(rows + 1))
        filling = Signal()
        expected = Signal(LENGTH_BITS)
        expected_rows = Signal(range(rows + 1))
        is_scales, fits, seen = Signal(), Signal(), Signal()
        for_scales = packet >= packets
        scale_packet = packet - packets
        m.d["sync" if config.fabric.registered else "comb"] += [
            fits.eq(packet < packets + scale_packets),
            seen.eq(done[entry].bit_select(packet, 1)),
            is_scales.eq(for_scales),
            expected.eq(
                Mux(
                    for_scales,
                    scale_length[entry] - (scale_packet << packet_shift),
                    length[entry] - (packet << packet_shift),
                )
            ),
        ]
        first = arrives & flit.first
        fresh = current & mine & ~seen & fits & ~leaves
        # Told a cycle later, when an entry freed meanwhile has been counted.
        stale, again = Signal(), Signal()
        m.d.sync += [
            self.accepted.valid.eq(first & fresh),
            self.stray.payload.entry.eq(entry),
            stale.eq(first & ~fresh & ~(mine & seen)),
            again.eq(first & mine & seen),
        ]
        owed = (abandoned != 0) | (given_up != 0)
        m.d.comb += [
            self.late.eq(stale & owed),
            self.stray.valid.eq(again | (stale & ~owed)),
            self.stray.payload.status.eq(Mux(again, Status.DUPLICATE_RESPONSE, Status.UNKNOWN_TAG)),
        ]
        m.d.comb += self.accepted.payload.eq(fill_entry)

        storage_rows = entries * config.rows_per_wave
        m.submodules.storage = storage = memory.Memory(
            shape=config.flit_bits, depth=storage_rows, init=[]
        )
        write = storage.write_port()
        read = storage.read_port(domain="sync")
        accept_row = Signal()
        m.d.comb += [
            accept_row.eq(arrives & ~flit.first & filling & (fill_rows != rows)),
            write.en.eq(accept_row & ~fill_scales),
            write.data.eq(flit.data),
            write.addr.eq((fill_entry * packets + fill_packet) * rows + fill_rows[:row_bits]),
        ]

        bad_length = Signal()
        m.d.comb += bad_length.eq(fill_rows + 1 != expected_rows)

        def count_down(e, scales, *, whole):
            left, scales_left = remaining[e], scales_remaining[e]
            return [
                left.eq(Mux(scales, left, Mux(whole, 0, left - 1))),
                scales_left.eq(Mux(scales, Mux(whole, 0, scales_left - 1), scales_left)),
            ]

        here = 1 << packet[: index_bits(packets + scale_packets)]
        burst = Mux(is_scales, ((1 << scale_packets) - 1) << packets, (1 << packets) - 1)
        with m.If(first):
            m.d.sync += [
                filling.eq(fresh & ~flit.last),
                fill_entry.eq(entry),
                fill_packet.eq(packet),
                fill_scales.eq(is_scales),
                fill_rows.eq(0),
                expected_rows.eq(
                    Mux(
                        expected >= rows << flit_shift,
                        rows,
                        (expected[: row_bits + flit_shift + 1] + config.fabric.flit_bytes - 1)
                        >> flit_shift,
                    )
                ),
            ]
            # No payload: the request failed. A burst fails as a whole.
            with m.If(fresh & flit.last):
                m.d.sync += [
                    failure[entry].eq(
                        Mux(header.status == Status.OK, Status.BAD_LENGTH, header.status)
                    ),
                    done[entry].eq(done[entry] | Mux(self.burst_reads, burst, here)),
                ]
                m.d.sync += count_down(entry, is_scales, whole=self.burst_reads)
        with m.If(accept_row):
            m.d.sync += fill_rows.eq(fill_rows + 1)
        with m.If(arrives & ~flit.first & filling & flit.last):
            m.d.sync += [
                filling.eq(0),
                done[fill_entry].eq(done[fill_entry] | (1 << fill_packet)),
                *count_down(fill_entry, fill_scales, whole=0),
            ]
            with m.If(flit.poison):
                m.d.sync += failure[fill_entry].eq(Status.POISONED)
            with m.Elif(bad_length):
                m.d.sync += failure[fill_entry].eq(Status.BAD_LENGTH)

        # Reservation.
        with m.If(self.allocate.valid):
            expected = self.allocate.payload
            e = expected.entry
            m.d.sync += [
                active[e].eq(1),
                generation[e].eq(expected.generation),
                done[e].eq(0),
                length[e].eq(expected.length),
                scale_length[e].eq(expected.scale_length),
                remaining[e].eq((expected.length + (rows << flit_shift) - 1) >> packet_shift),
                scales_remaining[e].eq(
                    (expected.scale_length + (rows << flit_shift) - 1) >> packet_shift
                ),
                failure[e].eq(Status.OK),
            ]
        # What has begun to come will not come again.
        released = self.free.payload.entry
        begun = filling & (fill_entry == released)
        unanswered = remaining[released] + scales_remaining[released] - begun
        abandons = self.free.valid & self.free.payload.abandon & active[released]
        m.d.sync += given_up.eq(Mux(abandons, unanswered, 0))
        with m.If(self.free.valid):
            m.d.sync += active[released].eq(0)
            with m.If(self.free.payload.abandon & begun):
                m.d.sync += filling.eq(0)

        each = config.waves_per_controller
        for c in range(config.isa.wave_controllers):
            m.d.comb += self.waiting[c].eq(
                Cat(
                    active[e] & ((remaining[e] != 0) | (scales_remaining[e] != 0))
                    for e in range(c * each, (c + 1) * each)
                ).any()
            )

        # The row asked for.
        asked = self.rows
        asked_packet = Signal(range(packets))
        asked_row = asked.asked[:row_bits]
        m.d.comb += asked_packet.eq(asked.asked >> row_bits)
        arriving = (
            filling
            & (fill_entry == asked.entry)
            & (fill_packet == asked_packet)
            & (asked_row < fill_rows)
        )
        m.d.comb += [
            asked.available.eq(
                (
                    (done[asked.entry].bit_select(asked_packet, 1) | arriving)
                    & (scales_remaining[asked.entry] == 0)
                )
                | (failure[asked.entry] != Status.OK)
            ),
            asked.complete.eq((remaining[asked.entry] == 0) & (scales_remaining[asked.entry] == 0)),
            asked.failure.eq(failure[asked.entry]),
            read.addr.eq(asked.entry * config.rows_per_wave + asked.row),
            read.en.eq(1),
        ]
        m.d.sync += asked.data.eq(read.data)
        if scale_packets:
            scale_rows = config.scale_rows_per_wave
            m.submodules.scale_storage = scale_storage = memory.Memory(
                shape=config.flit_bits, depth=entries * scale_rows, init=[]
            )
            scale_write = scale_storage.write_port()
            scale_read = scale_storage.read_port(domain="sync")
            scale_row = (fill_packet - packets)[:LENGTH_BITS] * rows + fill_rows
            m.d.comb += [
                scale_write.en.eq(accept_row & fill_scales & (scale_row < scale_rows)),
                scale_write.data.eq(flit.data),
                scale_write.addr.eq(fill_entry * scale_rows + scale_row),
                scale_read.addr.eq(asked.entry * scale_rows + asked.scale_row),
                scale_read.en.eq(1),
            ]
            m.d.sync += asked.scale_data.eq(scale_read.data)
        return m
