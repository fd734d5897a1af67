"""A component as RTLIL or Verilog."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth._toolchain.yosys import YosysError
from amaranth.back import rtlil
from amaranth.back.verilog import _convert_rtlil_text as verilog_of_rtlil

from scin.errors import BuildError
from scin.flow.distinct import distinct

COLLECT_EVERY = 1_000_000
"""Objects. Amaranth makes millions that stay; to look through them every 700, which is Python's
custom, takes as long as all else."""


@contextmanager
def rare_collection() -> Iterator[None]:
    """For whatever has Amaranth emit a design."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@rare_collection()
def rtlil_of(component: Any, name: str, *, lines: bool = False) -> str:
    """The top module is called ``name``; ``lines`` tells where everything is described."""
    text: str = rtlil.convert(component, name=name, emit_src=lines)
    return text


def verilog_of(component: Any, name: str, *, lines: bool = False) -> str:
    """Equal modules are written once, unless ``lines`` are asked for: then each is there."""
    text = rtlil_of(component, name, lines=lines)
    try:
        verilog: str = verilog_of_rtlil(text if lines else distinct(text))
        return verilog
    except YosysError as error:
        raise BuildError(f"Yosys failed: {error}") from error
