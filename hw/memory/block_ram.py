"""Memory of an endpoint in block RAM, behind its AXI4 port and a port of the host's."""

from dataclasses import dataclass

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.memory.axi import OKAY, AxiSignature, id_bits
from hw.spec.config import Config

SLVERR = 0b10
HOST_WORD_BITS = 32
HOST_ADDRESS_BITS = 26


class HostMemorySignature(wiring.Signature):
    """Single accesses of whole words, seen from the host: ``valid`` until ``done``, with which
    ``read_data`` is there. ``address`` is in words."""

    def __init__(self):
        super().__init__(
            {
                "valid": Out(1),
                "write": Out(1),
                "address": Out(HOST_ADDRESS_BITS - 2),
                "write_data": Out(HOST_WORD_BITS),
                "read_data": In(HOST_WORD_BITS),
                "done": In(1),
                "error": In(1),
            }
        )


@dataclass(frozen=True)
class HostAccess:
    """Where it is, the row and the word in it; whether it ``writes`` or ``reads`` in this cycle."""

    row: Value
    word: Value
    writes: Signal
    reads: Signal


class BlockRam(wiring.Component):
    """``endpoint.memory_bytes`` of synchronous memory.

    Ports: ``axi`` (AXI4 in, incrementing bursts of full beats), ``host`` (in).

    A beat per cycle each way; the first read beat is there 2 cycles after its address, the
    answer to a write the cycle after its last beat. Accesses beyond the end answer SLVERR and
    change nothing. The host writes first and takes
    a cycle from the bursts; it reads between them.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__({"axi": In(AxiSignature(config)), "host": In(HostMemorySignature())})

    def elaborate(self, platform):
        m = Module()
        config, host = self._config, self.host
        flit = config.fabric.flit_bytes
        rows = config.endpoint.memory_bytes // flit
        shift = exact_log2(flit)
        m.submodules.storage = storage = memory.Memory(shape=config.flit_bits, depth=rows, init=[])
        write = storage.write_port(granularity=8)
        read = storage.read_port()

        word_shift = shift - 2
        host_row = host.address >> word_shift
        host_word = host.address[:word_shift]
        host_writes, host_reads = Signal(), Signal()
        access = HostAccess(host_row, host_word, host_writes, host_reads)
        busy, fetched, draining = self._read_bursts(m, read, access)
        self._write_bursts(m, write, access)

        # A host's read must not overwrite a row that was fetched and not taken yet: it waits
        # until none is, and no burst begins meanwhile.
        kept = Signal(config.flit_bits)
        m.d.comb += host.read_data.eq(kept.word_select(host_word, HOST_WORD_BITS))
        with m.FSM(name="host"):
            with m.State("idle"):
                with m.If(host.valid & host.write):
                    m.d.comb += host_writes.eq(1)
                    m.next = "done"
                with m.Elif(host.valid):
                    m.next = "drain"
            with m.State("drain"):
                m.d.comb += draining.eq(1)
                with m.If(~busy & ~fetched):
                    m.d.comb += host_reads.eq(1)
                    m.next = "fetch"
            with m.State("fetch"):
                m.d.sync += kept.eq(read.data)
                m.next = "done"
            with m.State("done"):
                m.d.comb += [host.done.eq(1), host.error.eq(host_row >= rows)]
                m.next = "idle"
        return m

    def _read_bursts(self, m, read, access):
        """A row is fetched, then kept in a register, so that no logic follows the memory.
        Returns whether a burst is under way, whether a row was fetched; and ``draining``, which
        lets no burst begin."""
        config, axi = self._config, self.axi
        rows = config.endpoint.memory_bytes // config.fabric.flit_bytes
        shift = exact_log2(config.fabric.flit_bytes)
        busy, fetched = Signal(), Signal()
        row, beats = Signal(axi.araddr.shape()), Signal(9)
        identifier, bad = Signal(id_bits(config)), Signal()
        fetched_id, fetched_last, fetched_bad = Signal.like(identifier), Signal(), Signal()
        advance, draining = Signal(), Signal()
        m.d.comb += [
            advance.eq((~axi.rvalid | axi.rready) & ~access.reads),
            axi.arready.eq(~busy & ~draining),
            read.en.eq(advance | access.reads),
            read.addr.eq(Mux(access.reads, access.row, row)),
        ]
        with m.If(axi.arvalid & axi.arready):
            m.d.sync += [
                busy.eq(1),
                row.eq(axi.araddr >> shift),
                beats.eq(axi.arlen),
                identifier.eq(axi.arid),
                bad.eq((axi.araddr >> shift) + axi.arlen >= rows),
            ]
        with m.If(axi.rready):
            m.d.sync += axi.rvalid.eq(0)
        with m.If(advance):
            m.d.sync += [
                fetched.eq(busy),
                fetched_id.eq(identifier),
                fetched_last.eq(beats == 0),
                fetched_bad.eq(bad),
                axi.rvalid.eq(fetched),
                axi.rdata.eq(read.data),
                axi.rid.eq(fetched_id),
                axi.rlast.eq(fetched_last),
                axi.rresp.eq(Mux(fetched_bad, SLVERR, OKAY)),
            ]
            with m.If(busy):
                m.d.sync += [row.eq(row + 1), beats.eq(beats - 1)]
                with m.If(beats == 0):
                    m.d.sync += busy.eq(0)
        return busy, fetched, draining

    def _write_bursts(self, m, write, access):
        """They wait while the host writes."""
        axi, flit = self.axi, self._config.fabric.flit_bytes
        rows = self._config.endpoint.memory_bytes // flit
        shift = exact_log2(flit)
        filling, write_row, write_bad = Signal(), Signal.like(axi.awaddr), Signal()
        takes = Signal()
        m.d.comb += [
            axi.awready.eq(~filling & ~axi.bvalid),
            axi.wready.eq(filling & ~access.writes),
            takes.eq(axi.wvalid & axi.wready),
            write.addr.eq(Mux(access.writes, access.row, write_row)),
            write.data.eq(Mux(access.writes, self.host.write_data.replicate(flit // 4), axi.wdata)),
        ]
        with m.If(access.writes):
            m.d.comb += write.en.eq(Mux(access.row < rows, 0b1111 << (access.word << 2), 0))
        with m.Elif(takes & ~write_bad):
            m.d.comb += write.en.eq(axi.wstrb)
        with m.If(axi.bready):
            m.d.sync += axi.bvalid.eq(0)
        with m.If(axi.awvalid & axi.awready):
            m.d.sync += [
                filling.eq(1),
                write_row.eq(axi.awaddr >> shift),
                write_bad.eq((axi.awaddr >> shift) + axi.awlen >= rows),
                axi.bid.eq(axi.awid),
            ]
        with m.If(takes):
            m.d.sync += write_row.eq(write_row + 1)
            with m.If(axi.wlast):
                m.d.sync += [
                    filling.eq(0),
                    axi.bvalid.eq(1),
                    axi.bresp.eq(Mux(write_bad, SLVERR, OKAY)),
                ]
