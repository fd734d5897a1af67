"""The address space of a board: registers, and the memories of its endpoints."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.csr.axi_lite import AxiLiteSignature, AxiResponse
from hw.memory.block_ram import HostMemorySignature
from hw.spec.checks import within
from hw.spec.host import ADDRESS_BITS, MEMORY, MEMORY_SPAN_BITS, MOST_MEMORIES, REGISTER_BITS


class HostDecoder(wiring.Component):
    """Send each access where it belongs; addresses are those of :mod:`hw.spec.host`.

    Parameters: ``register_bits``, of an address within the registers, 1 … 31; ``memories``, how
    many, 0 … 32.

    Ports: ``axi`` (AXI4-Lite in), ``registers`` (AXI4-Lite out), ``memory`` (array out). One
    access at a time. Whole words only; other strobes, and addresses where nothing is, answer
    DECERR and change nothing. What the registers answer is passed on.
    """

    def __init__(self, *, register_bits: int, memories: int):
        within("register_bits", register_bits, 1, REGISTER_BITS)
        within("memories", memories, 0, MOST_MEMORIES)
        super().__init__(
            {
                "axi": In(AxiLiteSignature(ADDRESS_BITS)),
                "registers": Out(AxiLiteSignature(register_bits)),
                "memory": Out(HostMemorySignature()).array(memories),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi, registers = self.axi, self.registers
        address, value = Signal(ADDRESS_BITS), Signal(32)
        write, whole, response = Signal(), Signal(), Signal(AxiResponse)
        memory_bit = MEMORY.bit_length() - 1
        which = address[MEMORY_SPAN_BITS:memory_bit]
        outside = address[len(registers.araddr) : memory_bit].any()
        m.d.comb += [
            registers.awaddr.eq(address),
            registers.araddr.eq(address),
            registers.wdata.eq(value),
            registers.wstrb.eq(0b1111),
            registers.bready.eq(1),
            registers.rready.eq(1),
            axi.bresp.eq(response),
            axi.rresp.eq(response),
            axi.rdata.eq(value),
        ]
        for port in self.memory:
            m.d.comb += [
                port.write.eq(write),
                port.address.eq(address[2:MEMORY_SPAN_BITS]),
                port.write_data.eq(value),
            ]
        with m.FSM():
            with m.State("idle"):
                m.d.sync += response.eq(AxiResponse.OKAY)
                with m.If(axi.awvalid & axi.wvalid):
                    m.d.comb += [axi.awready.eq(1), axi.wready.eq(1)]
                    m.d.sync += [
                        address.eq(axi.awaddr),
                        value.eq(axi.wdata),
                        whole.eq(axi.wstrb.all()),
                        write.eq(1),
                    ]
                    m.next = "begin"
                with m.Elif(axi.arvalid):
                    m.d.comb += axi.arready.eq(1)
                    m.d.sync += [address.eq(axi.araddr), whole.eq(1), write.eq(0)]
                    m.next = "begin"
            with m.State("begin"):
                with m.If(~whole):
                    m.d.sync += response.eq(AxiResponse.DECERR)
                    m.next = "answer"
                with m.Elif(address[memory_bit]):
                    m.next = "memory"
                    with m.If(which >= len(self.memory)):
                        m.d.sync += response.eq(AxiResponse.DECERR)
                        m.next = "answer"
                with m.Elif(outside):
                    m.d.sync += response.eq(AxiResponse.DECERR)
                    m.next = "answer"
                with m.Else():
                    m.d.sync += [
                        registers.awvalid.eq(write),
                        registers.wvalid.eq(write),
                        registers.arvalid.eq(~write),
                    ]
                    m.next = "registers"
            with m.State("registers"):
                self._await_registers(m, response, value)
            with m.State("memory"):
                self._await_memory(m, which, response, value)
            with m.State("answer"):
                m.d.comb += [axi.bvalid.eq(write), axi.rvalid.eq(~write)]
                with m.If((axi.bvalid & axi.bready) | (axi.rvalid & axi.rready)):
                    m.next = "idle"
        return m

    def _await_registers(self, m, response, value):
        registers = self.registers
        for name in ("aw", "w", "ar"):
            with m.If(getattr(registers, f"{name}ready")):
                m.d.sync += getattr(registers, f"{name}valid").eq(0)
        with m.If(registers.bvalid):
            m.d.sync += response.eq(registers.bresp)
            m.next = "answer"
        with m.If(registers.rvalid):
            m.d.sync += [response.eq(registers.rresp), value.eq(registers.rdata)]
            m.next = "answer"

    def _await_memory(self, m, which, response, value):
        for index, port in enumerate(self.memory):
            m.d.comb += port.valid.eq(which == index)
            with m.If((which == index) & port.done):
                m.d.sync += [
                    response.eq(Mux(port.error, AxiResponse.DECERR, AxiResponse.OKAY)),
                    value.eq(port.read_data),
                ]
                m.next = "answer"
