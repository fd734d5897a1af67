"""Components of which a design has dozens, all the same."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable
from amaranth.lib import wiring


class Replicated(wiring.Component):
    """Its gates follow from its class and its ``parameters``, which are hashable, and nothing else;
    so they can be worked out and written once for all that are equal. Subclasses describe them in
    ``gates``, in the clock domain ``sync``.

    A platform with ``once(component)`` gets the component, and returns what stands for it: see
    :class:`scin.flow.netlist.Library`. Without such a platform each has gates of its own.
    """

    def __init__(self, members: dict[str, Any], *parameters: Any):
        self.parameters = parameters
        super().__init__(members)

    def gates(self) -> Elaboratable:
        raise NotImplementedError

    def elaborate(self, platform):
        return platform.once(self) if hasattr(platform, "once") else self.gates()
