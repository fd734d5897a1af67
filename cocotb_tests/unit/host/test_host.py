"""hw/host: commands over a serial line, against an array of words, and damaged ones."""

import random

import cocotb
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteRam

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import Sink, start_clock
from hw.csr.axi_lite import AxiLiteBridge, AxiLiteSignature
from hw.csr.bus import Decoder
from hw.host.command import CommandPort
from hw.host.decoder import HostDecoder
from hw.host.uart import LEAST_DIVISOR, UartReceiver, UartTransmitter
from hw.spec.host import ADDRESS_BITS, HostCommand, HostStatus
from hw.spec.registers import Register, state
from hw.stream.connect import connect_stream

SPACE = 4096
TIMEOUT = 4000
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
        m.submodules.commands = commands = CommandPort(timeout_cycles=TIMEOUT)
        m.d.comb += [receiver.pin.eq(self.rx), self.tx.eq(transmitter.pin)]
        connect_stream(m, receiver.o, commands.i)
        connect_stream(m, commands.o, transmitter.i)
        wiring.connect(m, commands.axi, wiring.flipped(self.axi))
        return m


REGISTERS = {
    "SMALL": Register("SMALL", 0x000, "rw", ""),
    "CONSTANT": state("CONSTANT", 0x004, ""),
    "WHOLE": Register("WHOLE", 0x008, "rw", ""),
}


class SerialRegisters(wiring.Component):
    """The same with a page of registers and one memory behind it."""

    def __init__(self):
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.host = host = SerialHost()
        m.submodules.bridge = bridge = AxiLiteBridge(pages=[0], registered=True)
        m.submodules.decoder = decoder = HostDecoder(
            register_bits=len(bridge.axi.araddr), memories=1
        )
        registers = Decoder(m, bridge.page[0], REGISTERS, registered=True)
        registers.storage("SMALL", bits=8)
        registers.read("CONSTANT", 0x12345678)
        registers.storage("WHOLE")
        m.d.comb += [host.rx.eq(self.rx), self.tx.eq(host.tx)]
        wiring.connect(m, host.axi, decoder.axi)
        wiring.connect(m, decoder.registers, bridge.axi)
        return m


def test_refusals():
    simulate(SerialRegisters(), module=__name__, case="check_refusals", seed=1)


@cocotb.test()
async def check_refusals(dut):
    """The status of a command is the worst of its words; the others are carried out."""
    line = Line(dut)
    await start_clock(dut)

    async def status(opcode, address, words):
        await line.send(command(opcode, address, words))
        size = 4 * words if opcode == HostCommand.READ else 0
        answer = await line.answer(size + 1)
        return HostStatus(answer[-1]), answer[:-1]

    outside = 1 << 20
    for address, words, expected in (
        (0x0, [0xFF], HostStatus.OK),
        (0x0, [0x100], HostStatus.REFUSED),
        (0x4, [0], HostStatus.REFUSED),
        (0xC, [0], HostStatus.REFUSED),
        (0x0, [0x7F, 1, 2], HostStatus.REFUSED),
        (outside, [0], HostStatus.ERROR),
        (0x8, [0xABCD], HostStatus.OK),
    ):
        assert (await status(HostCommand.WRITE, address, words))[0] == expected, hex(address)
    found, data = await status(HostCommand.READ, 0x0, 3)
    assert found == HostStatus.OK
    assert data == b"".join(v.to_bytes(4, "little") for v in (0x7F, 0x12345678, 0xABCD))
    assert (await status(HostCommand.READ, 0xC, 1))[0] == HostStatus.REFUSED
    assert (await status(HostCommand.READ, outside, 1))[0] == HostStatus.ERROR
    assert (await status(HostCommand.READ, 0x4, 1))[0] == HostStatus.OK


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
    await ClockCycles(dut.clk, TIMEOUT + 100)
    await line.send(command(HostCommand.READ, 0, 1))
    assert await line.answer(5) == bytes(content[:4]) + ok
    assert ram.read(4, SPACE - 4) == bytes(content[4:])


SHORT = 13


def test_when_a_command_is_forgotten():
    """After ``timeout_cycles`` without a byte, counted from the last one, and not before."""
    port = CommandPort(timeout_cycles=SHORT)
    simulate(port, module=__name__, case="check_forgotten", seed=1)


@cocotb.test()
async def check_forgotten(dut):
    """Every byte of a command but the first comes as late as it may, or a cycle later."""
    rng = random.Random(cocotb.RANDOM_SEED)
    ram = AxiLiteRam(AxiLiteBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=SPACE)
    answers = Sink(dut, "o", "none", rng)
    dut.i__valid.value = 0
    await start_clock(dut)

    async def send(byte):
        dut.i__valid.value, dut.i__payload.value = 1, byte
        await RisingEdge(dut.clk)
        while not dut.i__ready.value:
            await RisingEdge(dut.clk)
        dut.i__valid.value = 0

    data = command(HostCommand.WRITE, 8, [0x12345678, 0x9ABCDEF0])
    # The first byte of a second word: the port waits for it from the end of the write before.
    for late in {*range(1, len(data))} - {10}:
        for idle, carried_out in ((SHORT - 1, True), (SHORT, False)):
            ram.write(0, bytes(SPACE))
            answers.received.clear()
            for index, byte in enumerate(data):
                if index == late:
                    await ClockCycles(dut.clk, idle)
                # What is left of a forgotten command must not look like one.
                await send(byte if carried_out or index < late else 0)
            await ClockCycles(dut.clk, 4 * SHORT)
            place = f"byte {late} after {idle} cycles"
            assert answers.received == [HostStatus.OK.value] * carried_out, place
            # A word that was complete before is written.
            written = data[6:] if carried_out else data[6 : max(6, late - (late - 6) % 4)]
            assert ram.read(8, 8) == written.ljust(8, b"\0"), place
