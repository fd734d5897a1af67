"""The simulated system in this process: registers, clock, and its memories as arrays."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hw.spec.config import Config
from hw.spec.fault import Disturbance
from hw.spec.pages import register_at
from hw.spec.registers import ENDPOINT, PAGE_BYTES, endpoint_page, extended
from models.cache import cache_folder
from scin.errors import BusError, InputError, RefusedError
from scin.flow.coverage import counters_argument, coverage_folder
from scin.flow.verilate import Hardware, described, simulator_library
from scin.host.driver import check_words, read_register
from scin.host.memory import machine_bytes
from scin.report.files import reason
from scin.report.progress import Report

Faults = dict[Disturbance, float]


SLVERR = 0b10
"""The response with which a register refuses, see :class:`hw.csr.axi_lite.AxiResponse`."""


class Simulator:
    """Implements :class:`scin.host.driver.Bus` on the Verilated system.

    ``memory[i]`` is endpoint i's memory as a byte array that the simulation shares.
    ``jitter`` (cycles) and ``stall`` (per cent) make the memories irregular; one that ``repeats``
    is there at every multiple of its size. ``faults`` are rates of what is to go wrong, see
    :class:`hw.spec.fault.Disturbance`. ``wave`` is written in the format of its ending, .fst or
    .vcd. ``hardware`` gives the Verilog, by default that of ``hw/``; ``library`` is one that is
    built already, used instead.
    """

    common_clock = True

    def __init__(
        self,
        config: Config,
        *,
        seed: int = 1,
        jitter: int = 0,
        stall: int = 0,
        repeats: bool = False,
        faults: Faults | None = None,
        wave: Path | None = None,
        report: Report = print,
        hardware: Hardware = described,
        library: Path | None = None,
    ) -> None:
        size = config.endpoint.memory_bytes
        if size > machine_bytes():
            raise InputError(
                f"endpoint.memory_bytes = {size}: must be at most {machine_bytes()}, the memory of "
                "this machine"
            )
        if library is None:
            trace = wave.suffix.lstrip(".") if wave is not None else ""
            library = simulator_library(config, trace=trace, report=report, hardware=hardware)
        self._library = _declare(_loaded(library))
        self.config = config
        arguments = [
            b"scin",
            f"+memory_jitter={jitter}".encode(),
            f"+memory_stall={stall}".encode(),
        ]
        if repeats:
            arguments.append(b"+memory_repeats")
        if Disturbance.STALL in (faults or {}):
            arguments.append(b"+memory_freeze")
        if counters := coverage_folder():
            arguments.append(counters_argument(counters, library.parent.name).encode())
        self._handle = self._library.scin_open(
            config.system.endpoints,
            config.endpoint.memory_bytes,
            config.fabric.flit_bytes,
            seed,
            len(arguments),
            (ctypes.c_char_p * len(arguments))(*arguments),
            os.fsencode(wave) if wave else None,
        )
        if wave is not None and not wave.is_file():
            self.close()
            raise InputError(f"wave: no file can be opened in {wave.parent}")
        self.memory = [
            np.ctypeslib.as_array(self._library.scin_memory(self._handle, i), shape=(size,))
            for i in range(config.system.endpoints)
        ]

        for kind, rate in (faults or {}).items():
            if kind not in (Disturbance.WRONG, Disturbance.CUT):
                self.disturb(kind, rate)

    def start_counters(self, cycle: int) -> None:
        """Let every cycle counter go on from ``cycle``: none reaches its end in a simulation."""
        found = self._library.scin_set(self._handle, b"cycles", cycle)
        if found != 1 + self.config.system.endpoints:
            raise RuntimeError(f"{found} cycle counters instead of one for each block")

    def counter_origin(self) -> int:
        """Value of ``cycle`` when the endpoints' counters were 0."""
        page = PAGE_BYTES * endpoint_page(0)
        # A register is sampled in the cycle its address is taken.
        cycle, low = self.cycle, self.read(page + ENDPOINT["CYCLES"].address())
        return cycle - extended(low, read_register(self.read, ENDPOINT["CYCLES"], page))

    def disturb(self, kind: Disturbance, rate: float, endpoint: int | None = None) -> None:
        """From now on, everywhere or at one endpoint and both directions of its link."""
        members = range(self.config.system.endpoints) if endpoint is None else [endpoint]
        places = (
            members if kind == Disturbance.STALL else [2 * i + k for i in members for k in (0, 1)]
        )
        for index in places:
            self._library.scin_fault(kind, index, rate)

    def disturbances(self, kind: Disturbance) -> int:
        """How often it has happened."""
        times: int = self._library.scin_fault_count(kind)
        return times

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        if self._handle:
            self.memory = []
            self._library.scin_close(self._handle)
            self._handle = None

    def load(self, footprint: int) -> None:
        """Nothing to do: ``memory`` is the simulation's own."""

    def fetch(self, footprint: int) -> None:
        """Nothing to do: ``memory`` is the simulation's own."""

    @property
    def cycle(self) -> int:
        cycle: int = self._library.scin_cycle(self._handle)
        return cycle

    def step(self, cycles: int) -> None:
        self._library.scin_step(self._handle, cycles)

    def reset(self) -> None:
        """All of the system but what its memories hold: a driver then has to configure it anew."""
        self._library.scin_reset(self._handle)

    def write(self, address: int, value: int) -> None:
        check_words([value])
        response = self._library.scin_write(self._handle, address, value)
        self._check(response, address, f"write of {value:#x}")

    def write_many(self, address: int, values: Sequence[int]) -> None:
        """Registers from ``address`` on, as fast as the bus takes them."""
        check_words(values)
        words = (ctypes.c_uint32 * len(values))(*values)
        response = self._library.scin_write_many(self._handle, address, words, len(values))
        self._check(response, address, f"write of {len(values)} words")

    def read(self, address: int) -> int:
        value = ctypes.c_uint32()
        response = self._library.scin_read(self._handle, address, ctypes.byref(value))
        self._check(response, address, "read")
        return value.value

    def wait_while(self, address: int, mask: int, value: int, *, limit: int) -> bool:
        """Until (register & mask) differs from ``value``; False after ``limit`` cycles."""
        result = self._library.scin_wait_while(self._handle, address, mask, value, 16, limit)
        if result < 0:
            self.read(address)
            raise BusError(f"{self._name(address)}: a read failed once")
        return bool(result)

    def _name(self, address: int) -> str:
        return register_at(address, endpoints=self.config.system.endpoints)

    def _check(self, response: int, address: int, access: str) -> None:
        if response == SLVERR:
            raise RefusedError(f"{self._name(address)}: {access} refused")
        if response != 0:
            raise BusError(f"{self._name(address)}: {access} answered {response}")


def _folders_for_copies(library: Path) -> Iterator[Path]:
    yield Path(tempfile.gettempdir())
    yield library.parent
    yield cache_folder()


def _loaded(library: Path) -> ctypes.CDLL:
    """A library can be loaded once per path, so each simulation loads a copy of its own, which is
    needed no longer than that: in the folder for temporary files, or where that is full or runs
    no programs, in the cache."""
    failed = []
    for parent in _folders_for_copies(library):
        try:
            with tempfile.TemporaryDirectory(prefix="scin-", dir=parent) as folder:
                copy = Path(folder) / library.name
                shutil.copyfile(library, copy)
                return ctypes.CDLL(str(copy))
        except OSError as error:
            failed.append(f"{parent} ({reason(error)})")
    raise InputError(
        f"the simulator cannot be loaded from {', '.join(failed)}: set TMPDIR to a folder that "
        "has room and may run programs"
    )


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    handle, word, count = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    signatures = {
        "scin_open": (
            handle,
            [
                ctypes.c_int,
                count,
                count,
                ctypes.c_int,
                ctypes.c_int,
                ctypes.POINTER(ctypes.c_char_p),
                ctypes.c_char_p,
            ],
        ),
        "scin_close": (None, [handle]),
        "scin_cycle": (count, [handle]),
        "scin_memory": (ctypes.POINTER(ctypes.c_uint8), [handle, ctypes.c_int]),
        "scin_set": (ctypes.c_int, [handle, ctypes.c_char_p, count]),
        "scin_step": (None, [handle, count]),
        "scin_reset": (None, [handle]),
        "scin_fault": (None, [ctypes.c_int, ctypes.c_int, ctypes.c_double]),
        "scin_fault_count": (count, [ctypes.c_int]),
        "scin_write": (ctypes.c_int, [handle, word, word]),
        "scin_write_many": (ctypes.c_int, [handle, word, ctypes.POINTER(word), count]),
        "scin_read": (ctypes.c_int, [handle, word, ctypes.POINTER(word)]),
        "scin_wait_while": (ctypes.c_int, [handle, word, word, word, count, count]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
