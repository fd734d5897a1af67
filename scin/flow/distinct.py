"""Modules of a netlist that say the same, written once.

Amaranth writes a module for every instance. Synthesis goes through each, so a switch with dozens of
equal lanes takes many times the work and the memory that its distinct modules need.
"""

from __future__ import annotations

import re

MODULE = re.compile(r"(?m)^(?=module )")
END = "\nend\n"
NUMBERED = re.compile(r"\\port\$\d+\$\d+")
"""A port that only some position in the whole design named."""


def distinct(netlist: str) -> str:
    """RTLIL as ``amaranth.back.rtlil`` writes it, each group of equal modules as its first."""
    bodies = {}
    for text in MODULE.split(netlist)[1:]:
        name, body = text[len("module ") :].split("\n", 1)
        bodies[name] = body[: body.rindex(END) + len(END)]
    ports = {name: _renamed(body) for name, body in bodies.items()}
    first: dict[str, str] = {}
    same: dict[str, str] = {}

    def stands_for(name: str) -> str:
        if name not in same:
            body = rewritten(bodies[name], ports[name])
            same[name] = first.setdefault(body, name)
        return same[name]

    def rewritten(body: str, own: dict[str, str]) -> str:
        lines, instance = [], None
        for line in body.split("\n"):
            words = line.split()
            if words[:1] == ["cell"]:
                instance = words[1] if words[1] in bodies else None
                if instance:
                    line = line.replace(words[1], stands_for(instance), 1)
            elif instance and words[:1] == ["connect"] and line.startswith("    "):
                before, port, after = line.partition(words[1])
                line = before + ports[instance].get(port, port) + _replaced(after, own)
            else:
                line = _replaced(line, own)
                if words == ["end"]:
                    instance = None
            lines.append(line)
        return "\n".join(lines)

    for name in bodies:
        stands_for(name)
    return "".join(f"module {name}\n{body}" for body, name in first.items())


def _renamed(body: str) -> dict[str, str]:
    """Wires named by number, by their order in the module."""
    wires = re.findall(rf"(?m)^  wire .*?({NUMBERED.pattern})$", body)
    return {wire: f"\\port_{index}" for index, wire in enumerate(dict.fromkeys(wires))}


def _replaced(text: str, names: dict[str, str]) -> str:
    return NUMBERED.sub(lambda found: names[found.group()], text)
