"""Commands of a host, as bytes, into accesses of an AXI4-Lite port."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.csr.axi_lite import AxiLiteSignature, AxiResponse
from hw.spec.checks import at_least
from hw.spec.host import ADDRESS_BITS, COMMAND_TIMEOUT_CYCLES, HostCommand, HostStatus


class CommandPort(wiring.Component):
    """Carry out the commands of :mod:`hw.spec.host`, one word at a time.

    Parameters: ``timeout_cycles`` without a byte, after which a command is forgotten, at least 2.

    Ports: ``i``, ``o`` (byte streams), ``axi`` (AXI4-Lite out, 32 bits of address).
    """

    def __init__(self, *, timeout_cycles: int = COMMAND_TIMEOUT_CYCLES):
        self._timeout = at_least("timeout_cycles", timeout_cycles, 2)
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "axi": Out(AxiLiteSignature(ADDRESS_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi = self.axi
        writes = Signal()
        status = Signal(HostStatus, init=HostStatus.OK)
        words, place = Signal(8), Signal(2)
        address, value = Signal(ADDRESS_BITS), Signal(32)
        waited = Signal(range(self._timeout))
        last_byte = place == 3
        m.d.comb += [
            axi.awaddr.eq(address),
            axi.araddr.eq(address),
            axi.wdata.eq(value),
            axi.wstrb.eq(0b1111),
            axi.bready.eq(1),
            axi.rready.eq(1),
        ]

        def collect(register):
            """Bytes come lowest first."""
            return [register.eq(Cat(register[8:], self.i.payload)), place.eq(place + 1)]

        def next_word(state):
            m.d.sync += [words.eq(words - 1), address.eq(address + 4), place.eq(0)]
            with m.If(words == 1):
                m.next = "status"
            with m.Else():
                m.next = state

        def note(response):
            """The worst answer of the words of a command is its status."""
            with m.If(response == AxiResponse.DECERR):
                m.d.sync += status.eq(HostStatus.ERROR)
            with m.Elif((response != AxiResponse.OKAY) & (status == HostStatus.OK)):
                m.d.sync += status.eq(HostStatus.REFUSED)

        def forget_unfinished():
            # A byte that comes in the last cycle is in time: what it completes is carried out.
            with m.If(~self.i.valid & (waited == self._timeout - 1)):
                m.next = "opcode"

        expects = Signal()
        m.d.sync += waited.eq(Mux(expects & ~self.i.valid, waited + 1, 0))
        with m.FSM():
            with m.State("opcode"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    writes.eq(self.i.payload == HostCommand.WRITE),
                    status.eq(HostStatus.OK),
                    place.eq(0),
                ]
                known = (self.i.payload == HostCommand.WRITE) | (self.i.payload == HostCommand.READ)
                with m.If(self.i.valid & known):
                    m.next = "count"
            with m.State("count"):
                m.d.comb += [self.i.ready.eq(1), expects.eq(1)]
                m.d.sync += words.eq(self.i.payload)
                with m.If(self.i.valid):
                    m.next = "address"
                    with m.If(self.i.payload == 0):
                        m.next = "opcode"
                forget_unfinished()
            with m.State("address"):
                m.d.comb += [self.i.ready.eq(1), expects.eq(1)]
                with m.If(self.i.valid):
                    m.d.sync += collect(address)
                    with m.If(last_byte):
                        m.next = "value"
                        with m.If(~writes):
                            m.next = "read"
                forget_unfinished()
            with m.State("value"):
                m.d.comb += [self.i.ready.eq(1), expects.eq(1)]
                with m.If(self.i.valid):
                    m.d.sync += collect(value)
                    with m.If(last_byte):
                        m.d.sync += [axi.awvalid.eq(1), axi.wvalid.eq(1)]
                        m.next = "write"
                forget_unfinished()
            with m.State("write"):
                with m.If(axi.awready):
                    m.d.sync += axi.awvalid.eq(0)
                with m.If(axi.wready):
                    m.d.sync += axi.wvalid.eq(0)
                with m.If(axi.bvalid):
                    note(axi.bresp)
                    next_word("value")
            with m.State("read"):
                m.d.sync += axi.arvalid.eq(1)
                m.next = "wait"
            with m.State("wait"):
                with m.If(axi.arready):
                    m.d.sync += axi.arvalid.eq(0)
                with m.If(axi.rvalid):
                    note(axi.rresp)
                    m.d.sync += value.eq(axi.rdata)
                    m.next = "answer"
            with m.State("answer"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(value[:8])]
                with m.If(self.o.ready):
                    m.d.sync += [value.eq(value >> 8), place.eq(place + 1)]
                    with m.If(last_byte):
                        next_word("read")
            with m.State("status"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.eq(status),
                ]
                with m.If(self.o.ready):
                    m.next = "opcode"
        return m
