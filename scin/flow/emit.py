"""Parts of the hardware as Verilog."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hw.spec.config import Config
from models.cache import cached
from scin.errors import InputError
from scin.flow.cache import digest, lock, write_atomically
from scin.flow.netlist import verilog_of
from scin.flow.verilate import hardware_key
from scin.report.progress import Report, stage

TOPS = ("system", "switch", "endpoint")


def emitted(config: Config, top: str, name: str, report: Report) -> str:
    """Emitted unless an up-to-date copy is kept."""
    component = part(config, top)
    key = digest(hardware_key(config).encode(), top.encode(), name.encode())
    target = cached("verilog", f"{key}.v")
    return made_once(
        target,
        lambda: verilog_of(component, name).encode(),
        report,
        f"emitting Verilog of {name}",
    )


def made_once(target: Path, make: Callable[[], bytes], report: Report, text: str) -> str:
    """What is kept at ``target``; made first, as the stage ``text``, unless it is there."""
    with lock(target):
        if not target.is_file():
            with stage(report, text):
                write_atomically(target, make())
    return target.read_text(encoding="utf-8")


def identifier(text: str) -> str:
    """``text`` as a name of Verilog and of a file, which no tool has to escape."""
    return re.sub(r"[^A-Za-z0-9_.\-]", "_", text)


def part(config: Config, top: str) -> Any:
    """One of ``TOPS``."""
    if top == "system":
        from hw.top import System

        return System(config)
    if top == "switch":
        from hw.switch.switch import Switch

        return Switch(config)
    if top == "endpoint":
        from hw.endpoint.endpoint import Endpoint

        return Endpoint(config, identity=0)
    raise InputError(f"top {top!r}: must be one of {', '.join(TOPS)}")
