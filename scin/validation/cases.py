"""What is run on both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hw.spec.config import Config, load
from hw.spec.formats import block_formats
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from hw.spec.registers import FEATURE_BITS
from models.simulator.collective import wire_bytes
from models.simulator.work import Instruction, Traffic

LARGEST = {"fpga4": 16 << 20, "tiny": 256 << 10, "ecp5": 32 << 10}
"""Of each configuration, in bytes; what its memories hold."""

QUICK_LARGEST = 64 << 10
ALL_SWITCHES = "all on"
TRAFFIC_CYCLES = 4000
"""Cycles for ordinary traffic to fill its queues before the collective begins."""


@dataclass(frozen=True)
class Case:
    """Instructions and traffic on a configuration. ``size`` counts 16-bit elements."""

    config: Config
    what: str
    switches: str
    size: int
    instructions: tuple[Instruction, ...]
    traffic: tuple[Traffic, ...] = ()

    @property
    def synchronised(self) -> bool:
        return all(item.synchronised for item in self.instructions)


def cases(name: str, *, quick: bool) -> Iterator[Case]:
    """All of one configuration; those of one set of switches follow each other."""
    base = load(name)
    largest = min(LARGEST[name], QUICK_LARGEST) if quick else LARGEST[name]
    sizes = [64]
    while sizes[-1] * 4 <= largest:
        sizes.append(sizes[-1] * 4)
    for switches, config in switch_sets(base):
        yield from _allreduces(config, switches, sizes)
    size = sizes[-1]
    yield from _averages(base, size)
    yield from _tenants(base, size)
    yield from _beside_traffic(base, size)


def switch_sets(base: Config) -> Iterator[tuple[str, Config]]:
    """The improvements all on, all off, and each one off."""
    yield ALL_SWITCHES, base
    yield "all off", _switched_off(base, *FEATURE_BITS)
    for name in FEATURE_BITS:
        yield f"no {name.replace('_', ' ')}", _switched_off(base, name)


def _switched_off(config: Config, *names: str) -> Config:
    off: dict[str, Any] = dict.fromkeys(names, False)
    return replace(config, isa=replace(config.isa, **off))


def _allreduces(config: Config, switches: str, sizes: list[int]) -> Iterator[Case]:
    types = [DataType.FP16, *(entry.code for entry in block_formats(config)[:1])]
    for data_type in types:
        for size in sizes:
            for synchronised in (True, False):
                what = f"{data_type.name.lower()}{'' if synchronised else ', no sync'}"
                length = wire_bytes(config, size, data_type)
                item = Instruction(length, data_type, synchronised=synchronised)
                yield Case(config, what, switches, size, (item,))


def _averages(config: Config, size: int) -> Iterator[Case]:
    """Alone, and where there are two tenants beside sums, which they hold up."""
    averaged = Instruction(size, reduce_op=ReduceOp.AVG, synchronised=False)
    yield Case(config, "fp16 avg, no sync", ALL_SWITCHES, size, (averaged,))
    if config.isa.wave_controllers < 2:
        return
    share = size // 2
    tenants = (
        Instruction(share, reduce_op=ReduceOp.AVG, synchronised=False),
        Instruction(share, controller=1, synchronised=False),
    )
    yield Case(config, "two tenants, one averages", ALL_SWITCHES, share, tenants)


def _tenants(config: Config, size: int) -> Iterator[Case]:
    """Two at a time: everywhere, and each with half of the endpoints."""
    if config.isa.wave_controllers < 2:
        return
    share = size // 2
    first, second = (Instruction(share, controller=c, synchronised=False) for c in range(2))
    yield Case(config, "two tenants, all endpoints", ALL_SWITCHES, share, (first, second))
    half = (1 << config.system.endpoints // 2) - 1
    other = ((1 << config.system.endpoints) - 1) & ~half
    if half == 1:
        return
    apart = [
        replace(item, sources=mask, destinations=mask, participants=mask)
        for item, mask in ((first, half), (second, other))
    ]
    yield Case(config, "two tenants, half each", ALL_SWITCHES, share, tuple(apart))


def _beside_traffic(config: Config, size: int) -> Iterator[Case]:
    """Every endpoint writes to the next as fast as it can."""
    endpoints = config.system.endpoints
    limit = config.fabric.max_payload_bytes
    for packet in dict.fromkeys((limit, max(config.fabric.flit_bytes, limit // 8))):
        traffic = tuple(Traffic(i, (i + 1) % endpoints, packet) for i in range(endpoints))
        item = Instruction(size, synchronised=False)
        what = f"beside traffic, {packet} B packets"
        yield Case(config, what, ALL_SWITCHES, size, (item,), traffic)
