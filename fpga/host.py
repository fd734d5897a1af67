"""Boards on serial ports, as one system: what a driver of the hardware needs of them.

The same for boards on a desk and for simulated ones: a port is what pyserial takes, a device
name such as ``/dev/ttyUSB0`` or ``socket://host:port``.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

import numpy as np
import serial

from fpga.partition import Partition, PlacedBoard
from hw.phy.supervisor import LinkStatus
from hw.phy.training import TrainingState
from hw.spec.host import (
    BOARD,
    BOARD_IDENTITY,
    BOARD_PAGE,
    MEMORY,
    MEMORY_SPAN,
    MOST_WORDS,
    HostCommand,
    HostStatus,
    fingerprint,
)
from hw.spec.packing import unpack
from hw.spec.pages import register_at
from hw.spec.registers import PAGE_BYTES, SWITCH, dma_page, endpoint_page
from scin.errors import BusError, InputError, RefusedError
from scin.host.driver import read_register

WORD_BYTES = 4
NETWORK_SCHEMES = ("socket", "rfc2217")

RESYNC_BYTES = (1 + 1 + WORD_BYTES, WORD_BYTES * MOST_WORDS)
"""After so many zeros a board waits for an opcode: most often, and whatever it was doing."""


class BoardError(BusError):
    """A board does not answer, or is not what it should be; the message names it."""


class BoardPort:
    """Words at the addresses of one board (:mod:`hw.spec.host`), through its serial port.

    ``timeout``: seconds that an answer may take, whatever comes meanwhile. The port is this
    program's alone. Whatever is wrong with it raises :class:`BoardError`.
    """

    def __init__(self, name: str, url: str, *, baud: int, timeout: float) -> None:
        self.name = name
        self.url = url
        self._timeout = timeout
        try:
            self._line = serial.serial_for_url(
                url, baudrate=baud, timeout=timeout, write_timeout=timeout, exclusive=True
            )
        except Exception as error:
            # Each kind of URL has a handler, and errors of its own.
            raise BoardError(f"{name}: cannot open {url}: {_in_a_line(error)}") from error

    def close(self) -> None:
        self._line.close()

    def resynchronise(self) -> None:
        """Bring the board to where it waits for a command, whatever came before."""
        if not any(self._answers_after(zeros) for zeros in RESYNC_BYTES):
            raise BoardError(f"{self.name}: no answer on {self.url}")

    def _answers_after(self, zeros: int) -> bool:
        end = time.monotonic() + self._timeout
        self._send(bytes(zeros))
        self._send(_command(HostCommand.READ, _board_address("IDENTITY"), 1))
        # What an unfinished command still answers comes before this read's answer.
        expected = struct.pack("<IB", BOARD_IDENTITY, HostStatus.OK)
        seen = b""
        while expected not in seen:
            byte = self._receive(1)
            # A port that talks by itself never falls silent.
            if not byte or time.monotonic() > end:
                return False
            seen = (seen + byte)[-len(expected) :]
        return True

    def _send(self, content: bytes) -> None:
        try:
            self._line.write(content)
        except OSError as error:
            raise BoardError(f"{self.name}: {self.url}: {error}") from error

    def _receive(self, size: int) -> bytes:
        """As many bytes as come before the timeout."""
        try:
            content: bytes = self._line.read(size)
            return content
        except OSError as error:
            raise BoardError(f"{self.name}: {self.url}: {error}") from error

    def read(self, address: int, count: int = 1) -> list[int]:
        words: list[int] = []
        while len(words) < count:
            now = min(MOST_WORDS, count - len(words))
            where = address + WORD_BYTES * len(words)
            self._send(_command(HostCommand.READ, where, now))
            answer = self._answer(WORD_BYTES * now, where)
            words += struct.unpack(f"<{now}I", answer)
        return words

    def write(self, address: int, words: Sequence[int]) -> None:
        for start in range(0, len(words), MOST_WORDS):
            part = words[start : start + MOST_WORDS]
            where = address + WORD_BYTES * start
            body = struct.pack(f"<{len(part)}I", *part)
            self._send(_command(HostCommand.WRITE, where, len(part)) + body)
            self._answer(0, where)

    def _answer(self, size: int, address: int) -> bytes:
        answer = self._receive(size + 1)
        if len(answer) != size + 1:
            raise BoardError(
                f"{self.name}: {len(answer)} of {size + 1} bytes came at address {address:#x}"
            )
        if answer[-1] == HostStatus.REFUSED.value:
            raise RefusedError(f"{self.name}: access at address {address:#x} refused")
        if answer[-1] != HostStatus.OK.value:
            raise BoardError(f"{self.name}: nothing at address {address:#x}")
        return answer[:-1]


def _in_a_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {text}"


def check_url(url: str) -> None:
    """Raise :class:`InputError` for an address in a network that names no host or no port."""
    scheme = url.partition("://")[0].lower()
    if scheme not in NETWORK_SCHEMES:
        return
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and bool(parts.port)
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f"must be {scheme}://HOST:PORT, PORT between 1 and 65535")


def _command(opcode: HostCommand, address: int, count: int) -> bytes:
    return struct.pack("<BBI", opcode.value, count, address)


def _listed(fields: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())


def _board_address(name: str, index: int = 0) -> int:
    address: int = PAGE_BYTES * BOARD_PAGE + BOARD[name].address(index)
    return address


@dataclass(frozen=True)
class LinkReport:
    """What one end of a cable says of it."""

    board: str
    link: int
    up: bool
    state: TrainingState
    clock: bool
    drops: int
    errors: int
    eye: tuple[int, ...]
    """Per lane, delay steps that were good in training."""

    def __str__(self) -> str:
        if self.up:
            how = f"up, eye {min(self.eye)} to {max(self.eye)} steps"
        elif not self.clock:
            how = "no clock from the far end"
        else:
            how = f"down, {self.state.name.lower()}"
        return f"{self.board} link {self.link}: {how}, {self.drops} drops, {self.errors} errors"


class BoardSystem:
    """Implements :class:`scin.host.driver.Bus` and the memories on the boards of a partition.

    ``memory[i]`` is a copy of endpoint i's memory here; :meth:`load` and :meth:`fetch` move its
    first bytes, and the page of flags, to the board and back.
    """

    common_clock = False

    def __init__(
        self,
        partition: Partition,
        ports: Mapping[str, str],
        *,
        baud: int | None = None,
        timeout: float = 10.0,
    ) -> None:
        missing = [item.name for item in partition.boards if item.name not in ports]
        if missing:
            raise BoardError(f"no serial port given for {', '.join(missing)}")
        self.partition = partition
        self.config = partition.config
        self._timeout = timeout
        self._ports: dict[str, BoardPort] = {}
        try:
            for item in partition.boards:
                self._ports[item.name] = BoardPort(
                    item.name, ports[item.name], baud=baud or partition.baud, timeout=timeout
                )
            self._identify()
        except BaseException:
            self.close()
            raise
        size = self.config.endpoint.memory_bytes
        self.memory = [np.zeros(size, np.uint8) for _ in range(self.config.system.endpoints)]

    def close(self) -> None:
        for port in self._ports.values():
            port.close()

    def __enter__(self) -> BoardSystem:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _identify(self) -> None:
        """Check that every board is the one it should be, and tell its endpoints their ids."""
        for item in self.partition.boards:
            port = self._ports[item.name]
            port.resynchronise()
            word, configuration = port.read(_board_address("ROLE"), 2)
            role, expected = BOARD["ROLE"].unpack(word), item.contents.role
            if role | expected != role:
                raise BoardError(
                    f"{item.name}: ROLE reads {_listed(role)}; a board with "
                    f"{', '.join(item.instances)} has {_listed(expected)}"
                )
            if configuration != fingerprint(self.config):
                raise BoardError(
                    f"{item.name}: was built from another configuration "
                    f"({configuration:#010x} instead of {fingerprint(self.config):#010x})"
                )
            if item.endpoints:
                port.write(_board_address("NODE"), item.endpoints)

    def links(self) -> list[LinkReport]:
        """Both ends of every cable."""
        found = []
        for item in self.partition.boards:
            port = self._ports[item.name]
            lanes = self.partition.framing.lanes
            for index in range(item.contents.links):
                (word,) = port.read(_board_address("LINK_STATUS", index))
                low, high = port.read(_board_address("LINK_EYE", 2 * index), 2)
                eye = (high << 32 | low).to_bytes(8, "little")[:lanes]
                status = unpack(LinkStatus, word)
                found.append(
                    LinkReport(
                        item.name,
                        index,
                        bool(status["up"]),
                        TrainingState(status["state"]),
                        bool(status["clock"]),
                        status["drops"],
                        status["errors"],
                        tuple(eye),
                    )
                )
        return found

    def wait_links(
        self, *, attempts: int = 200, progress: Callable[[], None] = lambda: None
    ) -> None:
        """Until all links are up; raises :class:`BoardError` that names those that are not."""
        down: list[LinkReport] = []
        for _ in range(attempts):
            down = [link for link in self.links() if not link.up]
            if not down:
                return
            progress()
        raise BoardError("; ".join(map(str, down)))

    def _locate(self, address: int) -> tuple[BoardPort, int]:
        page, offset = divmod(address, PAGE_BYTES)
        endpoints = self.config.system.endpoints
        if page == 0:
            return self._ports[self.partition.switch_board.name], offset
        is_dma, endpoint = divmod(page - 1, endpoints)
        item = self.partition.board_of(endpoint)
        place, count = item.endpoints.index(endpoint), len(item.endpoints)
        local = dma_page(count, place) if is_dma else endpoint_page(place)
        return self._ports[item.name], PAGE_BYTES * local + offset

    def read(self, address: int) -> int:
        port, local = self._locate(address)
        with self._naming(address, "read"):
            return port.read(local)[0]

    def write(self, address: int, value: int) -> None:
        port, local = self._locate(address)
        with self._naming(address, f"write of {value:#x}"):
            port.write(local, [value])

    def write_many(self, address: int, values: Sequence[int]) -> None:
        port, local = self._locate(address)
        with self._naming(address, f"write of {len(values)} words"):
            port.write(local, values)

    @contextmanager
    def _naming(self, address: int, access: str) -> Iterator[None]:
        """Name the register of an access that is refused, and what was written."""
        try:
            yield
        except RefusedError as error:
            name = register_at(address, endpoints=self.config.system.endpoints)
            raise RefusedError(f"{name}: {access} refused") from error

    def wait_while(self, address: int, mask: int, value: int, *, limit: int) -> bool:
        """Until (register & mask) differs from ``value``; False after ``limit`` cycles."""
        start = last = self._cycles()
        moved = time.monotonic()
        while True:
            if self.read(address) & mask != value:
                return True
            now = self._cycles()
            if now - start > limit:
                return False
            if now != last:
                last, moved = now, time.monotonic()
            elif time.monotonic() - moved > self._timeout:
                name = self.partition.switch_board.name
                raise BoardError(f"{name}: its clock stands still, CYCLES reads {now}")

    def _cycles(self) -> int:
        return read_register(self.read, SWITCH["CYCLES"], 0)

    def load(self, footprint: int) -> None:
        """Copy the first bytes of every memory, and its flags, to the boards."""
        self._each_board(self._load, footprint)

    def fetch(self, footprint: int) -> None:
        """Copy the same back."""
        self._each_board(self._fetch, footprint)

    def _each_board(self, action: Callable[[PlacedBoard, int], None], footprint: int) -> None:
        """Every board has a serial port of its own: all at a time."""
        with ThreadPoolExecutor(len(self.partition.boards)) as pool:
            list(pool.map(lambda item: action(item, footprint), self.partition.boards))

    def _spans(self, item: PlacedBoard, footprint: int) -> list[tuple[int, slice, int]]:
        """(endpoint, bytes of its memory, address on the board)."""
        whole = -(-footprint // WORD_BYTES) * WORD_BYTES
        flags = slice(self.config.flag_base, self.config.flag_base + 8 * self.config.isa.sync_ids)
        return [
            (endpoint, span, MEMORY + MEMORY_SPAN * place + span.start)
            for place, endpoint in enumerate(item.endpoints)
            for span in (slice(0, whole), flags)
        ]

    def _load(self, item: PlacedBoard, footprint: int) -> None:
        for endpoint, span, address in self._spans(item, footprint):
            words = self.memory[endpoint][span].view("<u4").tolist()
            self._ports[item.name].write(address, words)

    def _fetch(self, item: PlacedBoard, footprint: int) -> None:
        for endpoint, span, address in self._spans(item, footprint):
            count = (span.stop - span.start) // WORD_BYTES
            words = self._ports[item.name].read(address, count)
            self.memory[endpoint][span] = np.array(words, "<u4").view(np.uint8)
