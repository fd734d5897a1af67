"""The one description of a system, from which hardware, models and tools are built.

A configuration is a frozen tree of dataclasses. Every field states its unit, its bounds
and its meaning in its metadata, so that validation messages, ``--set`` and the tables in
the documentation all come from the same line. Presets are TOML files in ``configs/``.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from hw.spec.input_file import read_input, stem_of
from hw.spec.packaged import packaged

PRESET_FOLDER = packaged("hw.spec", "configs")

AXI_BOUNDARY_BYTES = 4096
"""No AXI4 burst may cross a multiple of this address (AMBA AXI4, A3.4.1)."""

MAX_ENDPOINTS = 16
"""Width of the multicast mask in the packet header."""

MIN_SCALE_RATIO = 8
"""Block-scaled elements take at least so many times the bytes of their scales."""

TAG_BITS = 16
"""Width of the tag in the packet header."""
MAX_BARRIERS = 16
LONGEST_WAIT_CYCLES = (1 << 32) - MAX_BARRIERS
"""An endpoint looks at one of its waits per cycle, and at their ages modulo 2^32: it sees that a
wait is over before its age begins anew."""


RENAMED = {"link.patience_cycles": "link.dead_peer_cycles"}
"""Fields that had another name, which is refused with the present one."""


class ConfigError(ValueError):
    """A configuration that cannot be built; the message names field, value and bound."""


def parameter(
    doc: str,
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    power_of_two: bool = False,
    runtime: bool = False,
) -> Any:
    """Declare a configuration field.

    ``runtime`` marks a field that software writes into a register: changing it needs no
    new hardware, so build caches leave it out of their key.
    """
    metadata = {
        "doc": doc,
        "low": low,
        "high": high,
        "unit": unit,
        "power_of_two": power_of_two,
        "runtime": runtime,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class SystemConfig:
    endpoints: int = parameter("accelerators attached to every switch", 4, low=2, high=72)
    switches: int = parameter("switches a message is striped over", 1, low=1, high=16)


@dataclass(frozen=True)
class FabricConfig:
    flit_bytes: int = parameter("width of a flit", 32, low=16, high=32, unit="B", power_of_two=True)
    header_bytes: int = parameter("size of a packet header: one flit", 32, low=16, unit="B")
    max_payload_bytes: int = parameter(
        "largest payload of a packet", 4096, low=64, high=4096, unit="B", power_of_two=True
    )
    data_queue_flits: int = parameter(
        "receive queue, and so credits, of a channel that carries payload",
        512,
        low=8,
        high=8192,
        unit="flits",
    )
    registered: bool = parameter(
        "registers between the parts, and one path through the switch for all its crossbars: "
        "a faster clock and less wiring, for links that take many cycles for a flit",
        False,
    )
    control_queue_flits: int = parameter(
        "receive queue, and so credits, of a channel whose packets are one flit",
        32,
        low=4,
        high=1024,
        unit="flits",
    )


@dataclass(frozen=True)
class LinkConfig:
    latency_cycles: int = parameter(
        "one way, from stream to stream, transport included", 90, low=6, high=1 << 14, unit="cycles"
    )
    gigabytes_per_second: float = parameter(
        "rate of one direction", 8.0, low=0.01, high=10_000.0, unit="GB/s"
    )
    dead_peer_cycles: int = parameter(
        "dead-peer timeout: a peer that accepts no flit of some channel for this many cycles is "
        "declared dead until reset; its traffic is dropped",
        16384,
        low=256,
        high=1 << 24,
        unit="cycles",
    )
    reliable: bool = parameter(
        "link layer: flits that are damaged or lost on the way are sent again", False
    )
    correction: bool = parameter(
        "the link layer puts one flipped bit of a word right: for a bit error rate above 1e-8, at "
        "a cycle a hop and some bits a word",
        True,
    )
    fault_injection: bool = parameter(
        "build the circuit that damages, loses and doubles link flits on command, for tests", False
    )


@dataclass(frozen=True)
class IsaConfig:
    clock_MHz: float = parameter(  # noqa: N815
        "clock of switch and endpoints", 250.0, low=1.0, high=10_000.0, unit="MHz"
    )
    waves: int = parameter("entries of a wave table", 16, low=1, high=64, power_of_two=True)
    wave_bytes: int = parameter(
        "payload of one wave", 4096, low=64, high=65536, unit="B", power_of_two=True
    )
    wave_controllers: int = parameter(
        "instruction streams that run side by side", 2, low=1, high=4, power_of_two=True
    )
    instructions_in_flight: int = parameter(
        "instructions a wave controller overlaps", 4, low=2, high=8, power_of_two=True
    )
    instruction_queue: int = parameter(
        "instructions a wave controller holds ahead", 16, low=2, high=256
    )
    cycles_per_row: int = parameter(
        "cycles the reduction takes for a row; more of them need fewer lanes, and suit slow links",
        1,
        low=1,
        high=8,
        power_of_two=True,
    )
    sync_ids: int = parameter("barriers", 8, low=1, high=MAX_BARRIERS, power_of_two=True)
    writeback_flits: int = parameter(
        "rows buffered between reduction and each port", 64, low=24, high=512, unit="flits"
    )
    block_formats: tuple[str, ...] = parameter(
        "block-scaled formats that in-network quantization is built for",
        ("int8", "mxint8", "mxfp8", "mxfp4", "nvfp4"),
    )
    int8_block: int = parameter(
        "elements that share a scale in the INT8 format",
        64,
        low=32,
        high=128,
        power_of_two=True,
    )
    average: bool = parameter(
        "build the dividers of the reduction AVG: without them it is refused", True
    )
    streaming_reduction: bool = parameter(
        "reduce a row as soon as every table has it", True, runtime=True
    )
    burst_reads: bool = parameter("one read request per wave", True, runtime=True)
    coalesced_write_responses: bool = parameter(
        "one write response per wave and destination", True, runtime=True
    )
    fused_notify: bool = parameter(
        "send the completion flag behind the data, on the same channel", True, runtime=True
    )
    timeout_cycles: int = parameter(
        "longest wait for an endpoint without any progress",
        65536,
        low=16,
        high=(1 << 32) - 1,
        unit="cycles",
        runtime=True,
    )
    barrier_timeout_cycles: int = parameter(
        "longest wait at a barrier; 0 waits for ever",
        1 << 20,
        low=0,
        high=(1 << 32) - 1,
        unit="cycles",
        runtime=True,
    )


@dataclass(frozen=True)
class EndpointConfig:
    memory_bytes: int = parameter(
        "memory behind an endpoint's AXI4 port", 1 << 26, low=1 << 13, high=1 << 40, unit="B"
    )
    memory_latency_cycles: int = parameter(
        "from an accepted address to the first beat", 8, low=2, high=4096, unit="cycles"
    )
    windows: int = parameter("memory windows open to the fabric", 4, low=1, high=16)
    shuffle_slots: int = parameter(
        "read packets an endpoint may answer out of order, for tests; 1 keeps order",
        1,
        low=1,
        high=8,
    )
    fault_injection: bool = parameter(
        "build the circuit that makes an endpoint misbehave on command, for tests", False
    )
    wait_timeout_cycles: int = parameter(
        "longest wait of an endpoint for its completion flag; 0 waits for ever",
        1 << 28,
        low=0,
        high=LONGEST_WAIT_CYCLES,
        unit="cycles",
        runtime=True,
    )


@dataclass(frozen=True)
class DmaConfig:
    engines: int = parameter("DMA engines beside every memory", 1, low=1, high=16)
    segments: int = parameter(
        "packets' worth of data a DMA engine holds", 8, low=2, high=16, power_of_two=True
    )
    prefetch: int = parameter("commands a DMA engine fetches ahead", 8, low=2, high=32)
    inline_doorbell: bool = parameter(
        "take whole commands through the registers, beside those in the ring", True
    )
    timeout_cycles: int = parameter(
        "longest wait of a DMA engine for the fabric without any progress",
        65536,
        low=16,
        high=(1 << 32) - 1,
        unit="cycles",
        runtime=True,
    )


@dataclass(frozen=True)
class Config:
    """A whole system. Build it with :func:`load`; instances are valid by construction."""

    name: str = "custom"
    system: SystemConfig = SystemConfig()
    fabric: FabricConfig = FabricConfig()
    link: LinkConfig = LinkConfig()
    isa: IsaConfig = IsaConfig()
    endpoint: EndpointConfig = EndpointConfig()
    dma: DmaConfig = DmaConfig()

    def __post_init__(self) -> None:
        _check_bounds(self)
        _check_relations(self)

    @property
    def flit_bits(self) -> int:
        return 8 * self.fabric.flit_bytes

    @property
    def slice_bytes(self) -> int:
        """What is reduced of a row in one cycle."""
        return self.fabric.flit_bytes // self.isa.cycles_per_row

    @property
    def slices_per_wave(self) -> int:
        return self.isa.wave_bytes // self.slice_bytes

    @property
    def rows_per_packet(self) -> int:
        return self.fabric.max_payload_bytes // self.fabric.flit_bytes

    @property
    def rows_per_wave(self) -> int:
        return self.isa.wave_bytes // self.fabric.flit_bytes

    @property
    def packets_per_wave(self) -> int:
        return max(1, self.isa.wave_bytes // self.fabric.max_payload_bytes)

    @property
    def scale_rows_per_wave(self) -> int:
        """Room for the scales of a wave in a table entry."""
        return self.rows_per_wave // MIN_SCALE_RATIO if self.isa.block_formats else 0

    @property
    def scale_packets_per_wave(self) -> int:
        if not self.isa.block_formats:
            return 0
        return max(1, self.packets_per_wave // MIN_SCALE_RATIO)

    @property
    def waves_per_controller(self) -> int:
        return self.isa.waves // self.isa.wave_controllers

    @property
    def contexts(self) -> int:
        return self.isa.wave_controllers * self.isa.instructions_in_flight

    @property
    def records(self) -> int:
        """Completion records kept per wave controller: as many as it may hold instructions, so
        that none is lost if there are no more instructions than this without a look."""
        held = self.isa.instruction_queue + self.isa.instructions_in_flight
        return 1 << (held - 1).bit_length()

    @property
    def flag_base(self) -> int:
        """Where completion flags live by default: the last 4 KiB of an endpoint's memory."""
        return self.endpoint.memory_bytes - AXI_BOUNDARY_BYTES

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def hardware_dict(self) -> dict[str, Any]:
        """The configuration without runtime fields and name: what decides the gates."""
        return {
            section: {
                item.name: getattr(values, item.name)
                for item in dataclasses.fields(values)
                if not item.metadata["runtime"]
            }
            for section, values in _sections(self)
        }


def _sections(config: Config) -> list[tuple[str, Any]]:
    return [
        (item.name, getattr(config, item.name))
        for item in dataclasses.fields(config)
        if dataclasses.is_dataclass(getattr(config, item.name))
    ]


def _check_bounds(config: Config) -> None:
    for section, values in _sections(config):
        hints = get_type_hints(type(values))
        for item in dataclasses.fields(values):
            name, value = f"{section}.{item.name}", getattr(values, item.name)
            _check_type(name, value, hints[item.name])
            low, high = item.metadata["low"], item.metadata["high"]
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name} = {value}: must be a finite number")
            if low is not None and value < low:
                raise ConfigError(f"{name} = {value}: must be at least {low}")
            if high is not None and value > high:
                raise ConfigError(f"{name} = {value}: must be at most {high}")
            if item.metadata["power_of_two"] and value & (value - 1):
                raise ConfigError(f"{name} = {value}: must be a power of two")


def _check_type(name: str, value: Any, expected: type) -> None:
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return
    if expected == tuple[str, ...]:
        if not isinstance(value, tuple) or not all(isinstance(entry, str) for entry in value):
            raise ConfigError(f"{name} = {value!r}: must be a list of names")
        return
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise ConfigError(f"{name} = {value!r}: must be of type {expected.__name__}")


def _check_relations(config: Config) -> None:
    fabric, isa, endpoint = config.fabric, config.isa, config.endpoint
    if fabric.header_bytes != fabric.flit_bytes:
        raise ConfigError(
            f"fabric.header_bytes = {fabric.header_bytes}: must equal "
            f"fabric.flit_bytes = {fabric.flit_bytes}, a header is one flit"
        )
    if isa.wave_controllers > isa.waves:
        raise ConfigError(
            f"isa.wave_controllers = {isa.wave_controllers}: must be at most "
            f"isa.waves = {isa.waves}"
        )
    packets = config.packets_per_wave + config.scale_packets_per_wave
    tag_bits = (isa.waves - 1).bit_length() + (packets - 1).bit_length()
    if tag_bits > TAG_BITS - 2:
        raise ConfigError(
            f"isa.wave_bytes = {isa.wave_bytes}: {isa.waves} waves of {packets} "
            f"packets need {tag_bits} tag bits, at most {TAG_BITS - 2} are there"
        )
    known = IsaConfig.block_formats
    for name in isa.block_formats:
        if name not in known:
            raise ConfigError(
                f"isa.block_formats: {name!r}: no such format; there are {', '.join(known)}"
            )
        if isa.block_formats.count(name) > 1:
            raise ConfigError(f"isa.block_formats: {name!r}: is named more than once")
    if endpoint.memory_bytes % AXI_BOUNDARY_BYTES:
        raise ConfigError(
            f"endpoint.memory_bytes = {endpoint.memory_bytes}: must be a multiple of "
            f"{AXI_BOUNDARY_BYTES}"
        )


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESET_FOLDER.glob("*.toml"))


def load(source: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Load a preset name or a TOML file and apply ``section.field`` overrides."""
    path = Path(source)
    if path.suffix != ".toml":
        path = PRESET_FOLDER / f"{source}.toml"
        if str(source) not in preset_names():
            raise ConfigError(
                f"configuration {str(source)!r}: no such preset; there are "
                f"{', '.join(preset_names())}, or give a .toml file"
            )
    try:
        tree = tomllib.loads(read_input(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"configuration {path}: {error}") from error
    for name, value in (overrides or {}).items():
        section, _, item = name.partition(".")
        if not item:
            raise ConfigError(f"{name}: a field is written section.field")
        values = tree.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{section} = {values!r}: must be a section of fields")
        values[item] = value
    return from_dict(tree, name=stem_of(path))


def from_dict(tree: dict[str, Any], *, name: str = "custom") -> Config:
    sections = {item.name: item for item in dataclasses.fields(Config) if item.name != "name"}
    hints = get_type_hints(Config)
    parts: dict[str, Any] = {"name": name}
    for section, values in tree.items():
        if section not in sections or not isinstance(values, dict):
            raise ConfigError(f"{section}: unknown section; there are {', '.join(sections)}")
        known = [item.name for item in dataclasses.fields(hints[section])]
        for item in values:
            path = f"{section}.{item}"
            if path in RENAMED:
                raise ConfigError(f"{path}: this field is called {RENAMED[path]}")
            if item not in known:
                raise ConfigError(f"{path}: unknown field; there are {', '.join(known)}")
        # TOML has lists; a frozen configuration holds tuples.
        parts[section] = hints[section](
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        )
    return Config(**parts)


def replace_field(config: Config, name: str, value: Any) -> Config:
    """The same configuration but for the field ``section.field``."""
    section, _, item = name.partition(".")
    changed = dataclasses.replace(getattr(config, section), **{item: value})
    return dataclasses.replace(config, **{section: changed})


def parse_override(text: str) -> tuple[str, Any]:
    """Parse ``section.field=value`` as the command line writes it."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"{text!r}: an override is written section.field=value")
    try:
        tree = tomllib.loads(f"value = {value.strip()}")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name.strip()} = {value}: not a TOML value") from error
    if len(tree) > 1:
        raise ConfigError(f"{name.strip()} = {value!r}: must be one TOML value")
    return name.strip(), tree["value"]


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Several of them, each of another field."""
    values: dict[str, Any] = {}
    for name, value in map(parse_override, texts):
        if name in values:
            raise ConfigError(f"{name}: is set more than once")
        values[name] = value
    return values
