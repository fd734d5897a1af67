"""Waveforms: written beside their place, moved there when whole, with a save file for readers."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from types import TracebackType

from hw.spec.config import Config
from scin.errors import InputError
from scin.flow.toolchain import fst_headers_present
from scin.report.files import check_file, claim_file, move_file, place_of, write_file

FST, VCD = ".fst", ".vcd"
FST_HIERARCHY = (4, 6, 7)
"""Kinds of the block that ends an FST file, by how it is compressed."""

PORT_SIGNALS = (
    "port_{i}.read_request__valid",
    "port_{i}.read_response__valid",
    "port_{i}.write_request__valid",
    "port_{i}.write_response__valid",
)


class Waveform:
    """Around a simulation that writes its waveform to :attr:`scratch`.

    ``path`` ends in .fst or .vcd; devices and pipes get VCD, and so does a file that is to be FST
    where its headers are missing: :attr:`path` then ends in .vcd. What a failed run has recorded
    is kept, what an interrupted one has is not.
    """

    def __init__(self, path: str, config: Config) -> None:
        place = place_of(path)
        self.config = config
        self.ordinary = place.ordinary
        self.path = Path(path)
        self.lacks_fst = False
        kind = self.path.suffix.lower() if self.ordinary else VCD
        if kind == FST and not fst_headers_present():
            self.lacks_fst = True
            kind = VCD
            self.path = self.path.with_suffix(VCD)
            check_file("wave", self.path)
            claim_file("wave", self.path)
        if self.ordinary:
            check_file("wave", self.save_file)
            claim_file("wave", self.save_file)
        folder = place.path.parent if self.ordinary else Path(tempfile.gettempdir())
        self.scratch = folder / f".scin-{secrets.token_hex(8)}{kind}"

    @property
    def save_file(self) -> Path:
        return self.path.with_suffix(".gtkw")

    def __enter__(self) -> Waveform:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if (value is None or isinstance(value, Exception)) and self.scratch.is_file():
                self._deliver()
        finally:
            for left in self.scratch.parent.glob(f"{self.scratch.name}*"):
                left.unlink(missing_ok=True)

    def _deliver(self) -> None:
        if not is_whole(self.scratch):
            raise InputError(f"wave {self.path}: could not be written to its end, the disk is full")
        move_file(self.path, self.scratch)
        if self.ordinary:
            write_file(self.save_file, save_file(self.path, self.config).encode())


def is_whole(path: Path) -> bool:
    """Whether a waveform was written to its end; its writers do not say."""
    if path.suffix == VCD:
        with path.open("rb") as file:
            file.seek(-min(1, path.stat().st_size), 2)
            return file.read() == b"\n"
    size, at, kind = path.stat().st_size, 0, None
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            kind, length = file.read(1)[0], int.from_bytes(file.read(8), "big")
            if length == 0:
                return False
            at += 1 + length
    return at == size and kind in FST_HIERARCHY


def save_file(wave: Path, config: Config) -> str:
    """For GTKWave and Surfer: the accelerator's streams, port by port."""
    isa = "TOP.scin.system.switch.isa"
    lines = [
        f'[dumpfile] "{wave.resolve()}"',
        "[timestart] 0",
        "TOP.clk",
        "-scheduler",
        f"{isa}.scheduler.start",
        f"{isa}.scheduler.row",
        f"{isa}.scheduler.free",
    ]
    for port in range(config.system.endpoints):
        lines.append(f"-port {port}")
        lines += [f"{isa}.{name.format(i=port)}" for name in PORT_SIGNALS]
    return "\n".join(lines) + "\n"
