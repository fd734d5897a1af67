"""Which instances of a system go on which board, from TOML; what is cut, and whether it may."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth import Module

from fpga.boards import board_names, load_board
from fpga.boards.board import Board, Channel, LinkPins
from fpga.links import LinkKind, LinkRate, link_rate
from hw.board.contents import Contents
from hw.phy.frame import Framing
from hw.spec.config import Config, ConfigError, load
from hw.spec.input_file import read_input, stem_of
from hw.spec.packaged import packaged

PRESET_FOLDER = packaged("fpga", "partitions")

SWITCH = "switch"
ENDPOINT = "endpoint_"

DEFAULT_BAUD = 2_000_000


class PartitionError(ConfigError):
    """A partition that cannot be built; the message names field, value and bound."""


@dataclass(frozen=True)
class PlacedBoard:
    """A board of the partition, and what is on it."""

    name: str
    board: Board
    switch: bool
    endpoints: tuple[int, ...]
    contents: Contents

    @property
    def instances(self) -> list[str]:
        return [SWITCH] * self.switch + [f"{ENDPOINT}{i}" for i in self.endpoints]


@dataclass(frozen=True)
class Cut:
    """A fabric link that crosses between two boards."""

    endpoint: int
    switch_board: PlacedBoard
    switch_link: int
    endpoint_board: PlacedBoard
    endpoint_link: int

    @property
    def ends(self) -> tuple[LinkPins, LinkPins]:
        """Pins at the switch, and at the endpoint."""
        return (
            self.switch_board.board.links[self.switch_link],
            self.endpoint_board.board.links[self.endpoint_link],
        )

    @property
    def channels(self) -> tuple[Channel, Channel]:
        """Transceivers at the switch, and at the endpoint."""
        return (
            self.switch_board.board.device.channels[self.switch_link],
            self.endpoint_board.board.device.channels[self.endpoint_link],
        )


@dataclass(frozen=True)
class Partition:
    """A checked partition."""

    name: str
    config: Config
    link_kind: LinkKind
    framing: Framing
    clock_hz: int
    baud: int
    boards: tuple[PlacedBoard, ...]
    cuts: tuple[Cut, ...]

    @property
    def rate(self) -> LinkRate:
        return link_rate(self.link_kind, self.framing)

    @property
    def raw_bits_per_second(self) -> int:
        """Of one direction of a cut."""
        return self.rate.bits_per_cycle * self.clock_hz

    @property
    def flits_per_second(self) -> float:
        return self.clock_hz / self.rate.cycles_per_flit

    @property
    def payload_bytes_per_second(self) -> float:
        """Of one direction of a cut, in packets of the largest payload."""
        rows = self.config.rows_per_packet
        return self.flits_per_second * self.config.fabric.flit_bytes * rows / (rows + 1)

    @property
    def latency_seconds(self) -> float:
        """From link to link across a cut, without the cable."""
        return self.rate.latency_cycles / self.clock_hz

    @property
    def switch_board(self) -> PlacedBoard:
        return next(item for item in self.boards if item.switch)

    def board_of(self, endpoint: int) -> PlacedBoard:
        return next(item for item in self.boards if endpoint in item.endpoints)


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESET_FOLDER.glob("*.toml"))


def load_partition(source: str | Path) -> Partition:
    """Load a preset name or a TOML file."""
    path = Path(source)
    if path.suffix != ".toml":
        path = PRESET_FOLDER / f"{source}.toml"
        if str(source) not in preset_names():
            raise PartitionError(
                f"partition {str(source)!r}: no such preset; there are "
                f"{', '.join(preset_names())}, or give a .toml file"
            )
    try:
        tree = tomllib.loads(read_input(path))
    except (OSError, ValueError, RecursionError) as error:
        raise PartitionError(f"partition {path}: {error}") from error
    return from_dict(tree, name=stem_of(path))


def from_dict(tree: dict[str, Any], *, name: str = "custom") -> Partition:
    known = ("config", "clock_MHz", "link", "lanes", "baud", "set", "boards")
    for key in tree:
        if key not in known:
            raise PartitionError(f"{key}: unknown field; there are {', '.join(known)}")
    clock_mhz = _number(tree, "clock_MHz", 80, low=1, high=400)
    lanes = _number(tree, "lanes", 6, low=1, high=8)
    baud = _number(tree, "baud", DEFAULT_BAUD, low=9600, high=12_000_000)
    config = _config(tree, clock_mhz)
    framing = Framing(config, lanes)
    boards = _boards(tree.get("boards", {}), config)
    kind = _link_kind(tree, boards)
    return Partition(
        name=name,
        config=config,
        link_kind=kind,
        framing=framing,
        clock_hz=round(clock_mhz * 1e6),
        baud=baud,
        boards=boards,
        cuts=_cuts(boards, kind, framing),
    )


def _number(tree: dict[str, Any], field: str, default: int, *, low: int, high: int) -> int:
    value = tree.get(field, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise PartitionError(f"{field} = {value!r}: must be a whole number")
    if not low <= value <= high:
        raise PartitionError(f"{field} = {value}: must be between {low} and {high}")
    return value


def _link_kind(tree: dict[str, Any], boards: tuple[PlacedBoard, ...]) -> LinkKind:
    """What the boards are linked by: what the partition says, or what is usual for them."""
    vivado = any(item.switch and item.board.technology == "vivado" for item in boards)
    able = [LinkKind.AURORA] if vivado else [LinkKind.PINS, LinkKind.SERDES]
    value = tree.get("link", able[0].value)
    if value not in able:
        raise PartitionError(
            f"link = {value!r}: must be {' or '.join(able)} between boards of this technology"
        )
    return LinkKind(value)


def _config(tree: dict[str, Any], clock_mhz: int) -> Config:
    """The system's configuration, at the clock of its boards."""
    preset = tree.get("config")
    if not isinstance(preset, str):
        raise PartitionError(f"config = {preset!r}: must name a configuration")
    overrides = tree.get("set", {})
    if not isinstance(overrides, dict):
        raise PartitionError(f"set = {overrides!r}: must be a table of section.field = value")
    plain = load(preset, overrides)
    rate = plain.fabric.flit_bytes * clock_mhz / 1000
    boards = {
        "isa.clock_MHz": float(clock_mhz),
        "link.gigabytes_per_second": rate,
        "fabric.registered": True,
    }
    return load(preset, boards | overrides)


def _boards(tree: Any, config: Config) -> tuple[PlacedBoard, ...]:
    if not isinstance(tree, dict) or not tree:
        raise PartitionError(f"boards = {tree!r}: must have a table for each board")
    placed: dict[str, str] = {}
    boards = []
    for name, entry in tree.items():
        where = f"boards.{name}"
        if not isinstance(entry, dict) or set(entry) != {"board", "instances"}:
            raise PartitionError(f"{where} = {entry!r}: must have board and instances")
        try:
            board = load_board(entry["board"])
        except KeyError:
            raise PartitionError(
                f"{where}.board = {entry['board']!r}: unknown; there are {', '.join(board_names())}"
            ) from None
        switch, endpoints = False, []
        for instance in entry["instances"]:
            if instance in placed:
                raise PartitionError(
                    f"{where}.instances: {instance} is on {placed[instance]} already"
                )
            placed[instance] = name
            number = _endpoint_number(instance, config)
            if instance == SWITCH:
                switch = True
            elif number is not None:
                endpoints.append(number)
            else:
                raise PartitionError(f"{where}.instances: {_why_not(instance, config)}")
        if switch and sorted(endpoints) != list(range(len(endpoints))):
            raise PartitionError(
                f"{where}.instances: endpoints beside the switch must be the first ones, "
                f"{ENDPOINT}0 to {ENDPOINT}{len(endpoints) - 1}"
            )
        contents = Contents(config, switch, len(endpoints))
        boards.append(PlacedBoard(name, board, switch, tuple(sorted(endpoints)), contents))
    needed = [SWITCH, *(f"{ENDPOINT}{i}" for i in range(config.system.endpoints))]
    missing = [instance for instance in needed if instance not in placed]
    if missing:
        raise PartitionError(f"boards: {', '.join(missing)} on no board")
    return tuple(boards)


def _endpoint_number(instance: str, config: Config) -> int | None:
    digits = instance.removeprefix(ENDPOINT)
    if digits == instance or not digits.isdecimal() or int(digits) >= config.system.endpoints:
        return None
    return int(digits)


def _why_not(instance: str, config: Config) -> str:
    """Name the signal that a cut around a part of an instance would go through."""
    legal = f"{SWITCH}, {ENDPOINT}0 to {ENDPOINT}{config.system.endpoints - 1}"
    root, *path = instance.split(".")
    if path and (root == SWITCH or _endpoint_number(root, config) is not None):
        signal = _first_port(root, path, config)
        if signal is not None:
            return (
                f"{instance} would cut through signal {signal}, which is no fabric link; "
                f"what can be placed: {legal}"
            )
    return f"{instance}: unknown; what can be placed: {legal}"


def _first_port(root: str, path: list[str], config: Config) -> str | None:
    from hw.endpoint.attached import AttachedEndpoint
    from hw.switch.switch import Switch

    part: Any = Switch(config) if root == SWITCH else AttachedEndpoint(config, identity=0)
    for name in path:
        inside = part.elaborate(None)
        if not isinstance(inside, Module):
            return None
        children = {key: item for key, (item, *_) in _submodules(inside).items()}
        if name not in children:
            return None
        part = children[name]
    signature = getattr(part, "signature", None)
    if signature is None:
        return None
    for where, _member, _value in signature.flatten(part):
        return ".".join([root, *path, *map(str, where)])
    return None


def _submodules(module: Module) -> dict[str, tuple[Any, ...]]:
    """Named submodules with their components, which a module keeps only for elaboration."""
    return {
        name: entry if isinstance(entry, tuple) else (entry,)
        for name, entry in module._named_submodules.items()
    }


def _cuts(boards: tuple[PlacedBoard, ...], kind: LinkKind, framing: Framing) -> tuple[Cut, ...]:
    switch_board = next(item for item in boards if item.switch)
    local = len(switch_board.endpoints)
    cuts = []
    for item in boards:
        if item.board.technology != switch_board.board.technology:
            raise PartitionError(
                f"boards.{item.name}.board = {item.board.name}: its links are for "
                f"{item.board.technology}, those of {switch_board.name} for "
                f"{switch_board.board.technology}"
            )
        able = item.board.link_count(kind)
        if item.contents.links > able:
            raise PartitionError(
                f"boards.{item.name}.board = {item.board.name}: has {kind} for {able} links, "
                f"{item.contents.links} are cut"
            )
        for index, pins in enumerate(item.board.links[: item.contents.links]):
            if kind == LinkKind.PINS and pins.lanes < framing.lanes:
                raise PartitionError(
                    f"lanes = {framing.lanes}: link {index} of {item.board.name} has pins for "
                    f"at most {pins.lanes}"
                )
        if not item.switch:
            cuts += [
                Cut(endpoint, switch_board, endpoint - local, item, index)
                for index, endpoint in enumerate(item.endpoints)
            ]
    return tuple(sorted(cuts, key=lambda cut: cut.endpoint))
