"""The top of an xcvu13p: vendor cores for clock, links and host around the board's core."""

from __future__ import annotations

from typing import Any

from amaranth import ClockDomain, ClockSignal, Const, DomainRenamer, Module, Signal
from amaranth.hdl import Elaboratable
from amaranth.lib.cdc import ResetSynchronizer

from fpga.xilinx.cores import CLOCK, HOST, aurora
from hw.board.contents import Contents
from hw.board.core import BoardCore
from hw.csr.axi_lite import AxiLiteSignature
from hw.phy.aurora import AuroraPhy, aurora_lanes
from hw.spec.host import ADDRESS_BITS
from hw.stream.connect import connect_stream


class XilinxTop(Elaboratable):
    """Parameters: ``contents``; ``clock_hz`` of the system; ``platform_clock``, the resource of
    the oscillator. The host is a JTAG-to-AXI core: `scin` speaks the same addresses through it
    as through a serial port elsewhere."""

    def __init__(self, contents: Contents, *, clock_hz: int, oscillator: str):
        self._contents = contents
        self._clock_hz = clock_hz
        self._oscillator = oscillator

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        contents = self._contents
        lanes = aurora_lanes(contents.config)
        m.domains.sync = ClockDomain()
        locked, start = Signal(), Signal()
        pins = platform.request(self._oscillator, dir="-")
        m.submodules.clock = CLOCK.instance(
            clk_in1_p=pins.p,
            clk_in1_n=pins.n,
            clk_out1=ClockSignal("sync"),
            clk_out2=start,
            locked=locked,
        )
        m.submodules.reset = ResetSynchronizer(~locked, domain="sync")
        m.submodules.core = core = BoardCore(
            contents, clock_khz=self._clock_hz // 1000, lanes=lanes
        )
        self._connect_host(m, core)
        for index in range(contents.links):
            self._connect_link(m, platform, core, index, lanes, start)
        return m

    def _connect_host(self, m: Module, core: BoardCore) -> None:
        host = AxiLiteSignature(ADDRESS_BITS).create(path=("jtag",))
        m.submodules.host = HOST.instance(
            aclk=ClockSignal("sync"),
            aresetn=Const(1),
            **{f"m_axi_{name}": getattr(host, name) for name in host.signature.members},
        )
        for name, member in host.signature.members.items():
            here, there = getattr(host, name), getattr(core.host, name)
            m.d.comb += there.eq(here) if member.flow.name == "Out" else here.eq(there)

    def _connect_link(
        self, m: Module, platform: Any, core: BoardCore, index: int, lanes: int, start: Signal
    ) -> None:
        user = f"user_{index}"
        m.domains += ClockDomain(user, reset_less=True)
        phy = AuroraPhy(self._contents.config)
        m.submodules[f"phy_{index}"] = DomainRenamer({"user": user})(phy)
        names = ("reference", "transmit_p", "transmit_n", "receive_p", "receive_n")
        pins = platform.request("gty", index, dir=dict.fromkeys(names, "-"))
        m.submodules[f"aurora_{index}"] = aurora(lanes, len(phy.transmit_data)).instance(
            gt_refclk1_p=pins.reference.p,
            gt_refclk1_n=pins.reference.n,
            rxp=pins.receive_p.io,
            rxn=pins.receive_n.io,
            txp=pins.transmit_p.io,
            txn=pins.transmit_n.io,
            init_clk=start,
            user_clk_out=ClockSignal(user),
            s_axi_tx_tdata=phy.transmit_data,
            s_axi_tx_tvalid=phy.transmit_valid,
            s_axi_tx_tready=phy.transmit_ready,
            m_axi_rx_tdata=phy.receive_data,
            m_axi_rx_tvalid=phy.receive_valid,
            channel_up=phy.channel_up,
        )
        connect_stream(m, core.link_out[index], phy.i)
        connect_stream(m, phy.o, core.link_in[index])
        m.d.comb += core.link_status[index].eq(phy.status)
