"""AXI4-Lite port onto the register pages of several blocks."""

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import ADDRESS_BITS, CsrBus
from hw.spec.bits import index_bits
from hw.spec.checks import increasing


class AxiResponse(enum.IntEnum, shape=2):
    """AXI4-Lite response (AMBA AXI and ACE, part A3.4.4)."""

    OKAY = 0b00
    SLVERR = 0b10
    """The block that was addressed refuses the access; nothing has happened."""
    DECERR = 0b11
    """There is no block at this address, or the access is not of a whole word."""


class AxiLiteSignature(wiring.Signature):
    """AXI4-Lite, 32 bits, seen from the host (AMBA AXI and ACE, part B)."""

    def __init__(self, address_bits: int):
        super().__init__(
            {
                "awaddr": Out(address_bits),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(32),
                "wstrb": Out(4),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(address_bits),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(32),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


def page_bits(pages: int) -> int:
    """Of an address that reaches so many pages."""
    return index_bits(pages)


class AxiLiteBridge(wiring.Component):
    """One AXI4-Lite port for several blocks of 4 KiB each.

    Parameters: ``pages``, the numbers of those that are there, from 0 on and increasing, at least
    one; ``registered``: accesses reach them a cycle later, and what is read comes a cycle later, so
    that a bus to every block of a board costs no time of the clock.

    Ports: ``axi`` (AXI4-Lite in), ``page`` (array of register buses out, in the order of
    ``pages``). One access at a time: a write per cycle, answered in the next, or one per two
    cycles if ``registered``; a read in 4, or 6 if ``registered``. Writes act on whole words:
    strobes other than all ones, and pages that are absent, answer DECERR and change nothing; what
    a block refuses (see :class:`hw.csr.bus.CsrBus`) answers SLVERR.
    """

    def __init__(self, *, pages: Sequence[int], registered: bool = False):
        self._pages = tuple(increasing("pages", pages))
        self._registered = registered
        self._page_bits = page_bits(self._pages[-1] + 1)
        super().__init__(
            {
                "axi": In(AxiLiteSignature(ADDRESS_BITS + self._page_bits)),
                "page": Out(CsrBus()).array(len(self._pages)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi = self.axi
        write_now = Signal()
        chosen = Signal(self._page_bits)
        address = Signal(ADDRESS_BITS + self._page_bits)
        known = Signal()

        def here(number):
            return address[ADDRESS_BITS:] == number

        m.d.comb += [
            address.eq(Mux(write_now, axi.awaddr, axi.araddr)),
            known.eq(Cat(here(number) for number in self._pages).any()),
        ]
        for number, page in zip(self._pages, self.page, strict=True):
            m.d["sync" if self._registered else "comb"] += [
                page.address.eq(address),
                page.write_data.eq(axi.wdata),
                page.write.eq(write_now & here(number) & axi.wstrb.all()),
            ]
        answers, unreadable = Signal(32), Signal()
        for number, page in zip(self._pages, self.page, strict=True):
            with m.If(chosen == number):
                m.d.comb += [answers.eq(page.read_data), unreadable.eq(page.read_refused)]
        # Only the page that was written can refuse; its pulse comes when the answer begins.
        absent, refused, refused_before = Signal(), Signal(), Signal()
        m.d.comb += [
            axi.awready.eq(write_now),
            axi.wready.eq(write_now),
            refused.eq(Cat(page.write_refused for page in self.page).any() | refused_before),
            axi.bresp.eq(
                Mux(absent, AxiResponse.DECERR, Mux(refused, AxiResponse.SLVERR, AxiResponse.OKAY))
            ),
        ]
        m.d.sync += refused_before.eq(axi.bvalid & ~axi.bready & refused)
        with m.If(write_now):
            m.d.sync += absent.eq(~(known & axi.wstrb.all()))
        after_write = "settle" if self._registered else "write"
        with m.FSM():
            with m.State("idle"):
                with m.If(axi.awvalid & axi.wvalid):
                    m.d.comb += write_now.eq(1)
                    m.next = after_write
                with m.Elif(axi.arvalid):
                    m.d.comb += axi.arready.eq(1)
                    m.d.sync += [
                        chosen.eq(address[ADDRESS_BITS:]),
                        axi.rresp.eq(Mux(known, AxiResponse.OKAY, AxiResponse.DECERR)),
                    ]
                    m.next = "reach" if self._registered else "read"
            if self._registered:
                with m.State("reach"):
                    m.next = "select"
                with m.State("select"):
                    m.next = "read"
                with m.State("settle"):
                    m.next = "write"
            with m.State("write"):
                m.d.comb += axi.bvalid.eq(1)
                with m.If(axi.bready):
                    m.next = "idle"
                    with m.If(axi.awvalid & axi.wvalid):
                        m.d.comb += write_now.eq(1)
                        m.next = after_write
            with m.State("read"):
                m.d.sync += axi.rdata.eq(answers)
                with m.If(unreadable & (axi.rresp == AxiResponse.OKAY)):
                    m.d.sync += axi.rresp.eq(AxiResponse.SLVERR)
                m.next = "answer"
            with m.State("answer"):
                m.d.comb += axi.rvalid.eq(1)
                with m.If(axi.rready):
                    m.next = "idle"
        return m
