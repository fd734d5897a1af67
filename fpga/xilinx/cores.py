"""The vendor's cores around a board: their names, and the ports that are used of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth import Instance
from amaranth.lib.wiring import In, Out

from hw.csr.axi_lite import AxiLiteSignature
from hw.spec.host import ADDRESS_BITS


@dataclass(frozen=True)
class Core:
    """A core that `cores.tcl` makes under ``name``; widths of its ports in bits."""

    name: str
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]

    def instance(self, **connections: Any) -> Instance:
        """All ports have to be connected."""
        ports = {name: f"i_{name}" for name in self.inputs}
        ports |= {name: f"o_{name}" for name in self.outputs}
        if ports.keys() != connections.keys():
            raise TypeError(f"{self.name}: ports {sorted(ports.keys() ^ connections.keys())}")
        return Instance(self.name, **{ports[name]: value for name, value in connections.items()})

    def black_box(self) -> str:
        """A Verilog module with these ports and nothing inside."""
        declared = [("input", *port) for port in self.inputs.items()]
        declared += [("output", *port) for port in self.outputs.items()]
        ports = ",\n".join(f"  {way} [{bits - 1}:0] {name}" for way, name, bits in declared)
        return f"(* blackbox *)\nmodule {self.name} (\n{ports}\n);\nendmodule\n"


CLOCK = Core(
    "scin_clock",
    inputs={"clk_in1_p": 1, "clk_in1_n": 1},
    outputs={"clk_out1": 1, "clk_out2": 1, "locked": 1},
)
"""Clocking wizard: the system's clock, and one that the links start up with."""


def aurora(lanes: int, data_bits: int) -> Core:
    """Aurora 64b/66b with its streaming interface."""
    return Core(
        "scin_aurora",
        inputs={
            "gt_refclk1_p": 1,
            "gt_refclk1_n": 1,
            "rxp": lanes,
            "rxn": lanes,
            "init_clk": 1,
            "s_axi_tx_tdata": data_bits,
            "s_axi_tx_tvalid": 1,
        },
        outputs={
            "txp": lanes,
            "txn": lanes,
            "user_clk_out": 1,
            "s_axi_tx_tready": 1,
            "m_axi_rx_tdata": data_bits,
            "m_axi_rx_tvalid": 1,
            "channel_up": 1,
        },
    )


def _host() -> Core:
    members = AxiLiteSignature(ADDRESS_BITS).members.items()
    bits = {
        flow: {f"m_axi_{name}": member.shape for name, member in members if member.flow == flow}
        for flow in (In, Out)
    }
    return Core("scin_jtag_axi", inputs={"aclk": 1, "aresetn": 1} | bits[In], outputs=bits[Out])


HOST = _host()
"""JTAG to AXI4-Lite."""
