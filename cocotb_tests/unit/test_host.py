"""hw/host: commands over a serial line, against an array of words, and damaged ones."""

import random

import cocotb
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteRam

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import start_clock
from hw.csr.axi_lite import AxiLiteSignature
from hw.host.command import CommandPort
from hw.host.uart import LEAST_DIVISOR, UartReceiver, UartTransmitter
from hw.spec.host import ADDRESS_BITS, HostCommand, HostStatus
from hw.stream.connect import connect_stream

SPACE = 4096
PATIENCE = 4000
COMMANDS = 40


class SerialHost(wiring.Component):
    """A serial line through receiver, commands and transmitter to an AXI4-Lite port."""

    def __init__(self):
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "axi": Out(AxiLiteSignature(ADDRESS_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(divisor=LEAST_DIVISOR)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=LEAST_DIVISOR)
        m.submodules.commands = commands = CommandPort(patience_cycles=PATIENCE)
        m.d.comb += [receiver.pin.eq(self.rx), self.tx.eq(transmitter.pin)]
        connect_stream(m, receiver.o, commands.i)
        connect_stream(m, commands.o, transmitter.i)
        wiring.connect(m, commands.axi, wiring.flipped(self.axi))
        return m


def test_serial_host():
    simulate(SerialHost(), module=__name__, case="check_commands", seed=1)


class Line:
    """The far end of the line, a few per cent faster or slower than the board."""

    def __init__(self, dut):
        self.dut = dut
        self.received = bytearray()
        dut.rx.value = 1
        cocotb.start_soon(self._receive())

    async def send(self, data, *, broken_stop=False):
        for byte in data:
            for bit in (0, *(byte >> n & 1 for n in range(8)), int(not broken_stop)):
                self.dut.rx.value = bit
                await ClockCycles(self.dut.clk, LEAST_DIVISOR)
            self.dut.rx.value = 1
            if broken_stop:
                await ClockCycles(self.dut.clk, LEAST_DIVISOR)

    async def _receive(self):
        while True:
            await RisingEdge(self.dut.clk)
            if self.dut.tx.value:
                continue
            await ClockCycles(self.dut.clk, LEAST_DIVISOR // 2)
            value = 0
            for n in range(8):
                await ClockCycles(self.dut.clk, LEAST_DIVISOR)
                value |= int(self.dut.tx.value) << n
            await ClockCycles(self.dut.clk, LEAST_DIVISOR)
            assert self.dut.tx.value, "no stop bit"
            self.received.append(value)

    async def answer(self, size):
        for _ in range(size * 20 * LEAST_DIVISOR + 2000):
            if len(self.received) >= size:
                break
            await RisingEdge(self.dut.clk)
        found, self.received = bytes(self.received), bytearray()
        return found


def command(opcode, address, words):
    head = bytes([opcode.value, len(words) if isinstance(words, list) else words])
    data = b"".join(word.to_bytes(4, "little") for word in words) if opcode.name == "WRITE" else b""
    return head + address.to_bytes(4, "little") + data


@cocotb.test()
async def check_commands(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    ram = AxiLiteRam(AxiLiteBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=SPACE)
    line = Line(dut)
    await start_clock(dut)
    ok = bytes([HostStatus.OK.value])
    content = bytearray(SPACE)
    ram.write(0, bytes(SPACE))
    for _ in range(COMMANDS):
        count = rng.choice([1, 2, rng.randrange(1, 20)])
        address = 4 * rng.randrange(SPACE // 4 - count)
        span = slice(address, address + 4 * count)
        if rng.random() < 0.5:
            words = [rng.getrandbits(32) for _ in range(count)]
            content[span] = b"".join(word.to_bytes(4, "little") for word in words)
            await line.send(command(HostCommand.WRITE, address, words))
            assert await line.answer(1) == ok
        else:
            await line.send(command(HostCommand.READ, address, count))
            assert await line.answer(4 * count + 1) == bytes(content[span]) + ok
    assert ram.read(0, SPACE) == bytes(content)

    # Bytes that are no command, a byte without stop bit, a command of no words: nothing.
    await line.send(bytes(16) + b"\xff\x00" + bytes([HostCommand.READ.value, 0]))
    await line.send(bytes([HostCommand.READ.value]), broken_stop=True)
    assert await line.answer(1) == b""
    # A command that ends early is forgotten; the next is understood.
    await line.send(command(HostCommand.WRITE, 0, [1, 2])[:9])
    await ClockCycles(dut.clk, PATIENCE + 100)
    await line.send(command(HostCommand.READ, 0, 1))
    assert await line.answer(5) == bytes(content[:4]) + ok
    assert ram.read(4, SPACE - 4) == bytes(content[4:])
