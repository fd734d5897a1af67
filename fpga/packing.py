"""How many LUTs of an UltraScale+ device the functions of a netlist take.

A LUT of six inputs has two outputs: two functions share one if they have no more than five
inputs together (AMD UG574, "6-input look-up tables"). Functions are paired here only if they
have an input in common, greedily, those with most inputs first; and what drives a carry chain only
with what drives the same place of it. The vendor's tools pack by placement and timing, with
freedoms not taken here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

SHARED_INPUTS = 5
CANDIDATES = 400
"""Looked at per net: some, such as an enable, have thousands of readers."""

FUNCTION = re.compile(r"LUT\d|INV")
CARRY = "CARRY4"

Netlist = Mapping[str, Any]
"""As Yosys' ``write_json`` writes it."""


def count_luts(netlist: Netlist, top: str) -> int:
    """Over all instances below ``top``; memories made of LUTs are not counted."""
    modules = netlist["modules"]
    known: dict[str, int] = {}

    def luts_of(name: str) -> int:
        if name not in known:
            cells = modules[name]["cells"].values()
            below = (cell["type"] for cell in cells if cell["type"] in modules)
            known[name] = _pack(modules[name]) + sum(luts_of(kind) for kind in below)
        return known[name]

    return luts_of(top)


def _pack(module: Mapping[str, Any]) -> int:
    """LUTs for the functions of one module."""
    inputs, driver = {}, {}
    for name, cell in module["cells"].items():
        if FUNCTION.fullmatch(cell["type"]):
            nets = {port: bits[0] for port, bits in cell["connections"].items()}
            driver[nets.pop("O")] = name
            inputs[name] = {net for net in nets.values() if isinstance(net, int)}

    def fit(one: str, other: str) -> bool:
        return len(inputs[one] | inputs[other]) <= SHARED_INPUTS

    # In a chain: the function of a place, and where it fits in the one that feeds it.
    chained: set[str] = set()
    pairs = 0
    for propagate, generate in _carry_places(module):
        first, second = driver.get(propagate), driver.get(generate)
        if first:
            chained.add(first)
            if second and second not in chained and fit(first, second):
                chained.add(second)
                pairs += 1

    free = {name: None for name in inputs if name not in chained}
    readers: dict[int, dict[str, None]] = {}
    for name in free:
        for net in sorted(inputs[name]):
            readers.setdefault(net, {})[name] = None

    def take(name: str) -> None:
        del free[name]
        for net in inputs[name]:
            del readers[net][name]

    for name in sorted(free, key=lambda name: -len(inputs[name])):
        if name not in free:
            continue
        near = [list(readers[net])[:CANDIDATES] for net in sorted(inputs[name])]
        take(name)
        # How many nets each shares with it, among those looked at.
        shared = Counter(other for names in near for other in names if other in free)
        others = [other for other in shared if fit(name, other)]
        if others:
            take(max(others, key=lambda other: (len(inputs[other]), shared[other])))
            pairs += 1
    return len(inputs) - pairs


def _carry_places(module: Mapping[str, Any]) -> Iterator[tuple[int | str, int | str]]:
    """Nets that say whether a place of a carry chain propagates, and what it generates."""
    for cell in module["cells"].values():
        if cell["type"] == CARRY:
            yield from zip(cell["connections"]["S"], cell["connections"]["DI"], strict=True)
