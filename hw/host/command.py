"""Commands of a host, as bytes, into accesses of an AXI4-Lite port."""

from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.csr.axi_lite import AxiLiteSignature, AxiResponse
from hw.spec.checks import at_least
from hw.spec.host import ADDRESS_BITS, COMMAND_TIMEOUT_CYCLES, HostCommand, HostStatus


@dataclass(frozen=True)
class Command:
    """The one that is carried out: words still to come, the byte of a word, the word's address
    and value."""

    writes: Signal
    status: Signal
    words: Signal
    place: Signal
    address: Signal
    value: Signal


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
        command = Command(
            writes=writes,
            status=status,
            words=Signal(8),
            place=Signal(2),
            address=Signal(ADDRESS_BITS),
            value=Signal(32),
        )
        last_byte = command.place == 3
        waited = Signal(range(self._timeout))
        m.d.comb += [
            axi.awaddr.eq(command.address),
            axi.araddr.eq(command.address),
            axi.wdata.eq(command.value),
            axi.wstrb.eq(0b1111),
            axi.bready.eq(1),
            axi.rready.eq(1),
        ]

        expects = Signal()
        m.d.sync += waited.eq(Mux(expects & ~self.i.valid, waited + 1, 0))
        with m.FSM():
            self._take_head(m, command, last_byte, expects, waited)
            self._write(m, command, last_byte, expects, waited)
            self._read(m, command, last_byte)
            with m.State("status"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.eq(status),
                ]
                with m.If(self.o.ready):
                    m.next = "opcode"
        return m

    def _take_head(self, m, command, last_byte, expects, waited):
        """What is to be done with how many words, from which address on."""
        with m.State("opcode"):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += [
                command.writes.eq(self.i.payload == HostCommand.WRITE),
                command.status.eq(HostStatus.OK),
                command.place.eq(0),
            ]
            known = (self.i.payload == HostCommand.WRITE) | (self.i.payload == HostCommand.READ)
            with m.If(self.i.valid & known):
                m.next = "count"
        with m.State("count"):
            m.d.comb += [self.i.ready.eq(1), expects.eq(1)]
            m.d.sync += command.words.eq(self.i.payload)
            with m.If(self.i.valid):
                m.next = "address"
                with m.If(self.i.payload == 0):
                    m.next = "opcode"
            self._forget_unfinished(m, waited)
        with m.State("address"):
            m.d.comb += [self.i.ready.eq(1), expects.eq(1)]
            with m.If(self.i.valid):
                self._collect(m, command, command.address)
                with m.If(last_byte):
                    m.next = "value"
                    with m.If(~command.writes):
                        m.next = "read"
            self._forget_unfinished(m, waited)

    def _write(self, m, command, last_byte, expects, waited):
        """A word that comes from the host."""
        axi = self.axi
        with m.State("value"):
            m.d.comb += [self.i.ready.eq(1), expects.eq(1)]
            with m.If(self.i.valid):
                self._collect(m, command, command.value)
                with m.If(last_byte):
                    m.d.sync += [axi.awvalid.eq(1), axi.wvalid.eq(1)]
                    m.next = "write"
            self._forget_unfinished(m, waited)
        with m.State("write"):
            with m.If(axi.awready):
                m.d.sync += axi.awvalid.eq(0)
            with m.If(axi.wready):
                m.d.sync += axi.wvalid.eq(0)
            with m.If(axi.bvalid):
                _note(m, command.status, axi.bresp)
                _next_word(m, command, "value")

    def _read(self, m, command, last_byte):
        """A word that goes to the host."""
        axi, value, place = self.axi, command.value, command.place
        with m.State("read"):
            m.d.sync += axi.arvalid.eq(1)
            m.next = "wait"
        with m.State("wait"):
            with m.If(axi.arready):
                m.d.sync += axi.arvalid.eq(0)
            with m.If(axi.rvalid):
                _note(m, command.status, axi.rresp)
                m.d.sync += value.eq(axi.rdata)
                m.next = "answer"
        with m.State("answer"):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(value[:8])]
            with m.If(self.o.ready):
                m.d.sync += [value.eq(value >> 8), place.eq(place + 1)]
                with m.If(last_byte):
                    _next_word(m, command, "read")

    def _collect(self, m, command, register):
        """Bytes come lowest first."""
        place = command.place
        m.d.sync += [register.eq(Cat(register[8:], self.i.payload)), place.eq(place + 1)]

    def _forget_unfinished(self, m, waited):
        # A byte that comes in the last cycle is in time: what it completes is carried out.
        with m.If(~self.i.valid & (waited == self._timeout - 1)):
            m.next = "opcode"


def _next_word(m, command, state):
    words, address = command.words, command.address
    m.d.sync += [words.eq(words - 1), address.eq(address + 4), command.place.eq(0)]
    with m.If(words == 1):
        m.next = "status"
    with m.Else():
        m.next = state


def _note(m, status, response):
    """The worst answer of the words of a command is its status."""
    with m.If(response == AxiResponse.DECERR):
        m.d.sync += status.eq(HostStatus.ERROR)
    with m.Elif((response != AxiResponse.OKAY) & (status == HostStatus.OK)):
        m.d.sync += status.eq(HostStatus.REFUSED)
