"""Fill the tables of the documentation from the layouts and enums of ``hw.spec``.

``python docs/generate.py`` rewrites what stands between ``<!-- begin NAME -->`` and
``<!-- end NAME -->``; ``--check`` only tells whether anything would change.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amaranth import Shape
from amaranth.lib import data

from hw.spec.config import Config, load, preset_names
from hw.spec.dma import (
    ENGINE,
    OPCODE_DOC,
    SIGNAL_DOC,
    STATE_DOC,
    Command,
    Compare,
    DmaOpcode,
    EngineState,
    SignalKind,
)
from hw.spec.fault import DISTURBANCE_DOC, Disturbance
from hw.spec.host import BOARD
from hw.spec.instruction import (
    Completion,
    DataType,
    Instruction,
    Opcode,
    ReduceOp,
)
from hw.spec.link import WORD_DOC, link_parameters
from hw.spec.packed import Packed
from hw.spec.packet import (
    Channel,
    FlagWord,
    Header,
    MessageClass,
    Operation,
)
from hw.spec.registers import ENDPOINT, FEATURE_BITS, SWITCH, WORD_BITS, Field, Kind, Register
from hw.spec.status import STATUS_DOC, Status
from models.baselines.parameters import Parameters

FOLDER = Path(__file__).resolve().parent
sys.path.append(str(FOLDER.parent))  # the tests, whose proofs are listed, are not installed


def packed_table(kind: type[Packed], config: Config | None = None) -> str:
    return layout_table(kind.layout(config), kind.docs())


def layout_table(layout: Any, doc: dict[str, str]) -> str:
    lines = ["| bits | field | meaning |", "|---|---|---|"]
    for name, item in data.Layout.cast(layout):
        width = Shape.cast(item.shape).width
        last = item.offset + width - 1
        bits = f"{last}…{item.offset}" if width > 1 else str(item.offset)
        lines.append(f"| {bits} | `{name}` | {doc[name]} |")
    return "\n".join(lines)


def enum_table(kind: Any, doc: dict[Any, str] | None = None) -> str:
    lines = [
        "| value | name |" + (" meaning |" if doc else ""),
        "|---|---|" + ("---|" if doc else ""),
    ]
    for entry in kind:
        lines.append(f"| {entry.value} | `{entry.name}` |" + (f" {doc[entry]} |" if doc else ""))
    return "\n".join(lines)


GROWING = (Kind.COUNTER, Kind.TALLY, Kind.MODULO)
"""Registers of which the table tells what they do at their end."""


def _bits(part: Field) -> str:
    """Where a field is; in an entry of several words, in which of them too."""
    first, last = part.bit % WORD_BITS, part.last_bit % WORD_BITS
    words = [place // WORD_BITS for place in (part.bit, part.last_bit)]
    if words[0] != words[1]:
        return f"word {words[0]} and bits {last}..0 of word {words[1]}"
    place = f"bit {first}" if first == last else f"bits {last}..{first}"
    return f"word {words[0]}, {place}" if words[0] else place


def register_table(registers: dict[str, Register]) -> str:
    lines = ["| offset | name | access | meaning |", "|---|---|---|---|"]
    for item in registers.values():
        span = f" … {item.address(item.count - 1):#05x}" if item.count > 1 else ""
        parts = [item.doc, *(f"{_bits(part)}: {part.doc}" for part in item.fields.values())]
        doc = "; ".join(parts + [item.kind.value] * (item.kind in GROWING))
        lines.append(f"| {item.offset:#05x}{span} | `{item.name}` | {item.access} | {doc} |")
    return "\n".join(lines)


def config_table() -> str:
    presets = {name: load(name) for name in preset_names()}
    lines = [
        f"| field | unit | meaning | {' | '.join(presets)} |",
        "|---" * (3 + len(presets)) + "|",
    ]
    default = Config()
    for section in dataclasses.fields(Config):
        values = getattr(default, section.name)
        if not dataclasses.is_dataclass(values):
            continue
        for item in dataclasses.fields(values):
            row = [getattr(getattr(c, section.name), item.name) for c in presets.values()]
            shown = " | ".join(
                str(value).lower() if isinstance(value, bool) else str(value) for value in row
            )
            name = f"`{section.name}.{item.name}`"
            lines.append(f"| {name} | {item.metadata['unit']} | {item.metadata['doc']} | {shown} |")
    return "\n".join(lines)


def parameter_table() -> str:
    lines = ["| name | default | unit | meaning | source |", "|---|---|---|---|---|"]
    for item in dataclasses.fields(Parameters):
        told = " | ".join(item.metadata[key] for key in ("unit", "doc", "source"))
        lines.append(f"| `{item.name}` | {item.default} | {told} |")
    return "\n".join(lines)


def feature_table() -> str:
    lines = ["| bit | improvement |", "|---|---|"]
    return "\n".join(lines + [f"| {bit} | `{name}` |" for bit, name in enumerate(FEATURE_BITS)])


def wiring_table() -> str:
    from fpga.partition import load_partition
    from fpga.plan import wiring_tables

    return wiring_tables(load_partition("star5"))


def proof_table() -> str:
    from cocotb_tests.formal.claims import CLAIMS

    lines = ["| part of `hw/` | claim | how deep |", "|---|---|---|"]
    for claim in CLAIMS:
        depth = claim.how_deep(full=True)
        reach = f"for ever, by {depth}-induction" if claim.induction else f"{depth} cycles"
        lines.append(f"| {claim.part} | {claim.says} | {reach} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "header": lambda: packed_table(Header),
    "flag": lambda: packed_table(FlagWord),
    "message-class": lambda: enum_table(MessageClass),
    "operation": lambda: enum_table(Operation),
    "channel": lambda: enum_table(Channel),
    "link-word": lambda: layout_table(link_parameters(load("fpga4")).word, WORD_DOC),
    "disturbances": lambda: enum_table(Disturbance, DISTURBANCE_DOC),
    "status": lambda: enum_table(Status, STATUS_DOC),
    "instruction": lambda: packed_table(Instruction, load("fpga4")),
    "opcode": lambda: enum_table(Opcode),
    "data-type": lambda: enum_table(DataType),
    "reduce-op": lambda: enum_table(ReduceOp),
    "completion": lambda: packed_table(Completion),
    "switch-registers": lambda: register_table(SWITCH),
    "endpoint-registers": lambda: register_table(ENDPOINT),
    "features": feature_table,
    "dma-opcode": lambda: enum_table(DmaOpcode, OPCODE_DOC),
    "dma-command": lambda: packed_table(Command),
    "dma-signal": lambda: enum_table(SignalKind, SIGNAL_DOC),
    "dma-compare": lambda: enum_table(Compare),
    "dma-registers": lambda: register_table(ENGINE),
    "dma-state": lambda: enum_table(EngineState, STATE_DOC),
    "config": config_table,
    "board-registers": lambda: register_table(BOARD),
    "wiring": wiring_table,
    "proofs": proof_table,
    "baseline-parameters": parameter_table,
}


def filled(text: str) -> str:
    for name, make in TABLES.items():
        pattern = rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)"
        text = re.sub(
            pattern, lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", text, flags=re.DOTALL
        )
    return text


def outdated() -> list[Path]:
    """Documents whose tables are not what the code says."""
    return [
        path
        for path in sorted(FOLDER.glob("*.md"))
        if filled(path.read_text(encoding="utf-8")) != path.read_text(encoding="utf-8")
    ]


def main() -> int:
    stale = outdated()
    for path in stale:
        if "--check" in sys.argv:
            print(f"{path.name} is out of date: run python docs/generate.py")
        else:
            path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
            print(f"{path.name} updated")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
