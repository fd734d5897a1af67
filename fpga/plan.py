"""What a partition comes to, before anything long starts: estimates, cuts, wiring."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from fpga.boards.board import Device
from fpga.design import designs
from fpga.links import LinkKind
from fpga.partition import Cut, Partition, PartitionError, PlacedBoard
from hw.isa.reduce import LANE_BITS
from hw.phy.aurora import aurora_lanes
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.packaged import packaged
from scin.report.record import Result
from scin.report.terminal import Console

COSTS = packaged("fpga", "costs.csv")
"""Cells of each part of preset ``ecp5`` after synthesis for ECP5, as
``python -m fpga.ecp5_report --costs`` measures them."""

UNROUTABLE = 0.95
"""Share of a device's LUTs beyond which nothing is placed."""

RESOURCES = ("lut", "ff", "bram", "dsp")


@dataclass(frozen=True)
class Estimate:
    lut: int
    ff: int
    bram: int
    dsp: int

    def share(self, device: Device) -> dict[str, float]:
        return {name: getattr(self, name) / getattr(device, name) for name in RESOURCES}


def _costs() -> dict[str, dict[str, int]]:
    lines = [
        line for line in COSTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    return {
        row.pop("part"): {name: int(value) for name, value in row.items()}
        for row in csv.DictReader(io.StringIO("\n".join(lines)))
    }


def _parts(config: Config, item: PlacedBoard) -> dict[str, float]:
    """How many of each measured part a board holds."""
    ports, width = config.system.endpoints, config.slice_bytes
    found: dict[str, float] = {
        "board": 1,
        "phy": item.contents.links,
        "endpoint": len(item.endpoints),
        "engine": len(item.endpoints) * (config.dma.engines - 1),
        "memory": len(item.endpoints) * config.endpoint.memory_bytes / 65536,
    }
    if item.switch:
        found |= {
            "port": ports,
            "crossbar": ports,
            "controller": config.isa.wave_controllers,
            "lane": width // (LANE_BITS // 8) * ports,
            "quantized_byte": width * ports if block_formats(config) else 0,
        }
    return found


def estimate(config: Config, item: PlacedBoard) -> Estimate:
    """From the measured cost of each part; parts of other sizes scale with their number."""
    costs = _costs()
    total = dict.fromkeys(RESOURCES, 0.0)
    for part, count in _parts(config, item).items():
        for name in RESOURCES:
            total[name] += count * costs[part][name]
    return Estimate(**{name: round(value) for name, value in total.items()})


def check_resources(partition: Partition) -> None:
    """Raise :class:`PartitionError` for a board that surely holds too much."""
    for item in partition.boards:
        device, needed = item.board.device, estimate(partition.config, item)
        for name, share in needed.share(device).items():
            if share > UNROUTABLE:
                raise PartitionError(
                    f"boards.{item.name}.instances = {', '.join(item.instances)}: need about "
                    f"{getattr(needed, name)} {name}, {device.name} has {getattr(device, name)}"
                )


def plan_records(partition: Partition) -> dict[str, Any]:
    check_resources(partition)
    boards = []
    for item in partition.boards:
        needed = estimate(partition.config, item)
        boards.append(
            {
                "board": item.name,
                "kind": item.board.title,
                "device": item.board.device.name,
                "instances": item.instances,
                **{name: getattr(needed, name) for name in RESOURCES},
                "shares": needed.share(item.board.device),
            }
        )
    cuts = [
        {
            "link": f"switch <-> endpoint_{cut.endpoint}",
            "from": f"{cut.switch_board.name} link {cut.switch_link}",
            "to": f"{cut.endpoint_board.name} link {cut.endpoint_link}",
            "raw_bits_per_second": partition.raw_bits_per_second,
            "payload_bytes_per_second": partition.payload_bytes_per_second,
            "latency_seconds": partition.latency_seconds,
        }
        for cut in partition.cuts
    ]
    return {
        "partition": partition.name,
        "config": partition.config.name,
        "clock_hz": partition.clock_hz,
        "bitstreams": [item.name for item in designs(partition)],
        "boards": boards,
        "cuts": cuts,
    }


def as_records(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Of :func:`plan_records`: a record a board, and one a cut."""
    whole = {
        "partition": plan["partition"],
        "target_MHz": plan["clock_hz"] / 1e6,
        "bitstreams": plan["bitstreams"],
    }
    cuts = [
        {
            **{name: cut[name] for name in ("link", "from", "to")},
            "raw_Gbps": cut["raw_bits_per_second"] / 1e9,
            "payload_GBps": cut["payload_bytes_per_second"] / 1e9,
            "latency_s": cut["latency_seconds"],
        }
        for cut in plan["cuts"]
    ]
    return [
        *(Result().as_dict(part="board", **whole, **board) for board in plan["boards"]),
        *(Result().as_dict(part="cut", **whole, **cut) for cut in cuts),
    ]


def print_plan(partition: Partition, console: Console) -> None:
    plan = plan_records(partition)
    console.print(
        f"{plan['partition']}: {plan['config']} at {plan['clock_hz'] / 1e6:g} MHz, "
        f"bitstreams {', '.join(plan['bitstreams'])}",
        highlight=False,
    )
    table = Table()
    for heading in ("board", "kind", "device", "holds", *RESOURCES):
        table.add_column(heading)
    for board in plan["boards"]:
        table.add_row(
            board["board"],
            board["kind"],
            board["device"],
            ", ".join(board["instances"]),
            *(f"{board[name]} ({board['shares'][name]:.0%})" for name in RESOURCES),
        )
    console.table(table)
    table = Table()
    for heading in ("cut", "from", "to", "raw Mb/s", "payload MB/s", "latency ns"):
        table.add_column(heading)
    for cut in plan["cuts"]:
        table.add_row(
            cut["link"],
            cut["from"],
            cut["to"],
            f"{cut['raw_bits_per_second'] / 1e6:.0f}",
            f"{cut['payload_bytes_per_second'] / 1e6:.1f}",
            f"{cut['latency_seconds'] * 1e9:.0f}",
        )
    console.table(table)


def wiring_tables(partition: Partition) -> str:
    """Markdown: every wire of every cable; on pins a clock goes with each direction."""
    text = []
    for number, cut in enumerate(partition.cuts):
        here, there = cut.switch_board, cut.endpoint_board
        text += [
            f"Cable {number}: {here.name} link {cut.switch_link} to {there.name} link "
            f"{cut.endpoint_link}",
            "",
            f"| wire | {here.name} ({here.board.title}) | {there.name} ({there.board.title}) |",
            "|---|---|---|",
        ]
        for name, one, other in _wires(cut, partition):
            text.append(f"| {name} | {one} | {other} |")
        text.append("")
    return "\n".join(text)


def _wires(cut: Cut, partition: Partition) -> list[tuple[str, object, object]]:
    if partition.link_kind == LinkKind.SERDES:
        near, far = cut.channels
        return [("pair out", near, far), ("pair in", near, far)]
    if partition.link_kind == LinkKind.AURORA:
        # A vendor's core; places of its pins are named as in pins.xdc.
        one, other = cut.switch_link, cut.endpoint_link
        return [
            wire
            for lane in range(aurora_lanes(partition.config))
            for wire in (
                (f"pair out {lane}", f"TX{one}_{lane}", f"RX{other}_{lane}"),
                (f"pair in {lane}", f"RX{one}_{lane}", f"TX{other}_{lane}"),
            )
        ]
    (here, there), lanes = cut.ends, range(partition.framing.lanes)
    return [
        ("clock out", here.transmit_clock, there.receive_clock),
        *((f"data out {n}", here.transmit[n], there.receive[n]) for n in lanes),
        ("clock in", here.receive_clock, there.transmit_clock),
        *((f"data in {n}", here.receive[n], there.transmit[n]) for n in lanes),
    ]
