"""Sources, sinks and monitors of streams, with every stall profile worth having."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from hw.spec.config import Config
from hw.spec.packet import Header, flit_layout
from hw.spec.packing import pack, unpack
from models.endpoint.endpoint import Packet

PROFILES = ("none", "10%", "50%", "90%", "bursts", "frozen")


def stalls(profile: str, rng: random.Random) -> Iterator[bool]:
    """Per cycle: pause? ``frozen`` holds for 200 cycles, then never again."""
    if profile == "frozen":
        yield from [True] * 200
    while True:
        if profile in ("none", "frozen"):
            yield False
        elif profile == "bursts":
            yield from [True] * rng.randrange(1, 30)
            yield from [False] * rng.randrange(1, 30)
        else:
            yield rng.random() < int(profile.rstrip("%")) / 100


async def start_clock(dut: Any) -> None:
    """Clock and reset; returns with the first cycle after reset begun."""
    Clock(dut.clk, 10, "ns", impl="gpi").start()
    dut.rst.value = 1
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


class Stream:
    """The three signals of one stream port, by its emitted name."""

    def __init__(self, dut: Any, name: str) -> None:
        self.clock = dut.clk
        self.name = name
        self.payload = getattr(dut, f"{name}__payload")
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")

    def moves(self) -> bool:
        return bool(self.valid.value) and bool(self.ready.value)


class Source:
    """Feeds a stream input; ``queue`` takes payloads as integers. Between them comes noise."""

    def __init__(self, dut: Any, name: str, profile: str, rng: random.Random) -> None:
        self.stream = Stream(dut, name)
        self.queue: deque[int] = deque()
        self._stalls = stalls(profile, rng)
        self._noise = random.Random(rng.getrandbits(32))
        self.stream.valid.value = 0
        cocotb.start_soon(self._run())

    @property
    def idle(self) -> bool:
        return not self.queue

    async def _run(self) -> None:
        stream, offering = self.stream, False
        while True:
            await RisingEdge(stream.clock)
            ended = offering and stream.ready.value
            if ended:
                self.queue.popleft()
                offering = False
            if not offering and self.queue and not next(self._stalls):
                stream.payload.value = self.queue[0]
                offering = True
            elif ended:
                stream.payload.value = self._noise.getrandbits(len(stream.payload))
            stream.valid.value = int(offering)


class Sink:
    """Drains a stream output into ``received`` and checks that a stalled offer stays.

    ``like_queue``: once ready, ready until something comes, as a queue with room is.
    """

    def __init__(
        self, dut: Any, name: str, profile: str, rng: random.Random, *, like_queue: bool = False
    ) -> None:
        self.stream = Stream(dut, name)
        self.received: list[int] = []
        self._stalls = stalls(profile, rng)
        self._like_queue = like_queue
        self._stopped = False
        self.stream.ready.value = 0
        cocotb.start_soon(self._run())

    def stop(self) -> None:
        """Accept nothing from this cycle on."""
        self._stopped = True
        self.stream.ready.value = 0

    def go_on(self) -> None:
        self._stopped = False

    async def _run(self) -> None:
        stream, refused = self.stream, None
        while True:
            await RisingEdge(stream.clock)
            if refused is not None:
                assert stream.valid.value, f"{stream.name}: a stalled offer was withdrawn"
                found = int(stream.payload.value)
                assert found == refused, f"{stream.name}: a stalled payload changed"
            refused = None
            if stream.moves():
                self.received.append(int(stream.payload.value))
            elif stream.valid.value:
                refused = int(stream.payload.value)
            stays = self._like_queue and stream.ready.value and not stream.valid.value
            stream.ready.value = int(not self._stopped and (stays or not next(self._stalls)))


class FlitCodec:
    """Packets as (header fields, payload bytes) to and from flits."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.layout = flit_layout(config)

    def flits(self, header: Header, payload: bytes = b"") -> list[int]:
        width = self.config.fabric.flit_bytes
        rows = [payload[i : i + width] for i in range(0, len(payload), width)]
        words = [header.pack(), *(int.from_bytes(row, "little") for row in rows)]
        return [
            pack(
                self.layout,
                {"data": word, "first": index == 0, "last": index == len(words) - 1},
            )
            for index, word in enumerate(words)
        ]

    def noise(self, rng: random.Random) -> Header:
        """A header of any bits, for a component that looks at a few fields only."""
        return Header.unpack(rng.getrandbits(Header.layout().size))

    def packets(self, flits: list[int]) -> list[Packet]:
        """Whole packets; fails on broken framing, and on a poisoned one."""
        width = self.config.fabric.flit_bytes
        packets: list[Packet] = []
        inside = False
        for number, word in enumerate(flits):
            flit = unpack(self.layout, word)
            assert flit["first"] == (not inside), f"flit {number}: broken framing"
            if flit["first"]:
                bits = (1 << Header.layout().size) - 1
                packets.append(Packet(Header.unpack(flit["data"] & bits)))
            else:
                header, payload = packets[-1]
                packets[-1] = Packet(header, payload + flit["data"].to_bytes(width, "little"))
            assert not flit["poison"], f"flit {number}: poisoned"
            inside = not flit["last"]
        assert not inside, "the last packet is incomplete"
        return packets


async def wait_until(dut: Any, condition, what: str, cycles: int = 100_000) -> None:
    """The watchdog of every test: names what it waited for."""
    for _ in range(cycles):
        if condition():
            return
        await RisingEdge(dut.clk)
    raise AssertionError(f"after {cycles} cycles still waiting for {what}")
