"""A component as RTLIL or Verilog."""

from __future__ import annotations

import gc
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from amaranth import ClockSignal, Elaboratable, Instance, ResetSignal, Signal, Value
from amaranth._toolchain.yosys import YosysError
from amaranth.back import rtlil
from amaranth.back.verilog import _convert_rtlil_text as verilog_of_rtlil
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.replicated import Replicated
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


class Library:
    """The platform for which ``top`` is elaborated: it writes what is replicated in it once.

    ``modules``: RTLIL of each of those.
    """

    def __init__(self, top: Any) -> None:
        self._top = top
        self.modules: list[str] = []
        self._names: dict[Hashable, str] = {}

    def once(self, component: Replicated) -> Elaboratable:
        """An instance of the module with the component's gates."""
        if component is self._top:
            return component.gates()
        ports = {
            "__".join(map(str, path)): (member.flow, Value.cast(value))
            for path, member, value in component.signature.flatten(component)
        }
        made_from = (type(component), component.parameters)
        if made_from not in self._names:
            name = f"{type(component).__name__}_{len(self._names)}"
            self._names[made_from] = name
            signals = {port: (value, None) for port, (_, value) in ports.items()}
            self.modules.append(self._module(component.gates(), name, signals))
        ends = {("i_" if flow == In else "o_") + port: end for port, (flow, end) in ports.items()}
        clock = {"i_clk": ClockSignal(), "i_rst": ResetSignal(allow_reset_less=True)}
        instance: Elaboratable = Instance(self._names[made_from], **ends, **clock)
        return instance

    def _module(self, gates: Elaboratable, name: str, ports: dict[str, Any]) -> str:
        text: str = rtlil.convert(gates, name=name, platform=self, ports=ports, emit_src=False)
        return text.replace("attribute \\top 1\n", "", 1)


def ports_of(component: Any) -> Any:
    """Those of a component by name, but for the ``ready`` of events, which is constant."""
    if not isinstance(component, wiring.Component):
        return None
    members = component.signature.flatten(component)
    ports = {"__".join(map(str, path)): Value.cast(value) for path, _, value in members}
    return {name: (value, None) for name, value in ports.items() if isinstance(value, Signal)}


@rare_collection()
def rtlil_of(component: Any, name: str, *, lines: bool = False) -> str:
    """The top module is called ``name``; ``lines`` tells where everything is described, and has
    every module written where it stands."""
    if lines:
        text: str = rtlil.convert(component, name=name, ports=ports_of(component))
        return text
    library = Library(component)
    ports = ports_of(component)
    text = rtlil.convert(component, name=name, platform=library, ports=ports, emit_src=False)
    return "".join([text, *library.modules])


def verilog_of(component: Any, name: str, *, lines: bool = False) -> str:
    """Equal modules are written once, unless ``lines`` are asked for: then each is there."""
    text = rtlil_of(component, name, lines=lines)
    try:
        verilog: str = verilog_of_rtlil(text if lines else distinct(text))
        return verilog
    except YosysError as error:
        raise BuildError(f"Yosys failed: {error}") from error
