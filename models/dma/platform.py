"""What a platform's DMA costs: physical parameters, from a file."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from typing import Any

from hw.spec.packaged import packaged

FOLDER = packaged("hw.spec", "configs", "dma")


def _parameter(doc: str, unit: str, default: Any = 0.0) -> Any:
    return field(default=default, metadata={"doc": doc, "unit": unit})


@dataclass(frozen=True)
class Platform:
    """Times in microseconds, sizes in bytes."""

    name: str
    endpoints: int = _parameter("accelerators", "", 8)
    switched: bool = _parameter(
        "one link per endpoint, into a switch; otherwise one per pair of endpoints", "", False
    )
    bandwidth: float = _parameter("of a link, one direction", "B/us", 1.0)
    packet_bytes: int = _parameter("payload of a packet; 0: bandwidth is that of payload", "B", 0)
    header_bytes: int = _parameter("wire cost of a packet beside its payload", "B", 0)
    host: float = _parameter("host: to create a command and put it into the ring", "us")
    doorbell: float = _parameter("host: to ring one engine's doorbell", "us")
    fetch: float = _parameter("engine: from the doorbell to the first read", "us")
    start: float = _parameter("copy of no bytes: first read to last acknowledgement", "us")
    occupancy: float = _parameter("engine: per destination of a command, beside its bytes", "us")
    broadcast_rate: float = _parameter(
        "of a link, at which a broadcast reaches both destinations", "", 1.0
    )
    swap_rate: float = _parameter("of a link, at which a swap moves either way", "", 1.0)
    swap_start: float = _parameter("swap: what `start` is to a copy", "us")
    signal: float = _parameter("from the last acknowledgement until the host can see it", "us")
    next_signal: float = _parameter("host: per signal it looks at", "us")
    poll: float = _parameter("host: from one look to the next; 0: part of `signal`", "us")
    release: float = _parameter("launched ahead: from the release to the first read", "us")

    @classmethod
    def load(cls, name: str) -> Platform:
        path = FOLDER / f"{name}.toml"
        if name not in platform_names():
            raise PlatformError(f"platform {name!r}: must be one of {', '.join(platform_names())}")
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
        known = {item.name for item in dataclasses.fields(cls)}
        unknown = sorted(set(tree) - known)
        if unknown:
            raise PlatformError(f"{path.name}: unknown field {', '.join(unknown)}")
        return cls(name=name, **tree)

    def wire_time(self, length: int) -> float:
        """Of ``length`` bytes of payload on a link."""
        packets = -(-length // self.packet_bytes) if self.packet_bytes else 0
        return (length + packets * self.header_bytes) / self.bandwidth


class PlatformError(ValueError):
    """No such platform, or its file is wrong."""


def platform_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def as_toml(platform: Platform, title: str) -> str:
    """The platform's file; fields at their default are left out."""
    lines = [f"# {title}"]
    default = Platform(name="")
    for item in dataclasses.fields(platform):
        value = getattr(platform, item.name)
        if item.name == "name" or value == getattr(default, item.name):
            continue
        shown = str(value).lower() if isinstance(value, bool | int) else f"{value:.4g}"
        if isinstance(value, float) and shown.isdigit():
            shown += ".0"
        unit = f"  # {item.metadata['unit']}" if item.metadata["unit"] else ""
        lines.append(f"{item.name} = {shown}{unit}")
    return "\n".join(lines) + "\n"
