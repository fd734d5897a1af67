"""The distinct designs of a partition: what is on boards of the same kind is built once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Elaboratable

from fpga.boards.board import Board
from fpga.ecp5.spread import SCRIPTS
from fpga.ecp5.top import Ecp5Top
from fpga.partition import Partition
from hw.board.contents import Contents
from scin.flow.netlist import rare_collection

PLACEMENT = "--placer static --router router2"
"""By far the least wire, and a router that negotiates for it."""

SEEDS = (1, 3, 2)
"""Of the placement, in this order: where one leaves no way for every wire, another may."""

SYNTHESIS_OPTIONS = "-nowidelut"
"""Joining LUTs into wider ones is quicker by a level here and there, and larger."""


@dataclass(frozen=True)
class Design:
    """What one bitstream is made from."""

    name: str
    board: Board
    contents: Contents
    users: tuple[str, ...]
    """Boards of the partition that are loaded with it."""

    @property
    def spread(self) -> bool:
        """Whether it is large enough to run out of wires where it is densest."""
        return self.contents.switch or self.contents.endpoints > 0

    def top(
        self, partition: Partition, *, baud: int | None = None, spread: bool = False
    ) -> Elaboratable:
        return Ecp5Top(
            self.board,
            self.contents,
            partition.framing,
            link_kind=partition.link_kind,
            clock_hz=partition.clock_hz,
            baud=baud or partition.baud,
            spread=spread,
        )

    @rare_collection()
    def prepare(
        self,
        partition: Partition,
        *,
        baud: int | None = None,
        spread: bool = False,
        seed: int = SEEDS[0],
    ) -> Any:
        """Amaranth's build plan: netlist, constraints and script; the same every time."""
        return self.board.platform().prepare(
            self.top(partition, baud=baud, spread=spread),
            name=self.name,
            emit_src=False,
            synth_opts=SYNTHESIS_OPTIONS,
            nextpnr_opts=f"--seed {seed} {PLACEMENT} --report {self.name}.report.json",
            ecppack_opts="--compress",
            **(SCRIPTS if spread else {}),
        )


def designs(partition: Partition) -> list[Design]:
    found: dict[tuple[str, bool, int], list[str]] = {}
    for item in partition.boards:
        key = (item.board.name, item.switch, len(item.endpoints))
        found.setdefault(key, []).append(item.name)
    result = []
    for (_, switch, endpoints), users in found.items():
        placed = next(item for item in partition.boards if item.name == users[0])
        name = "_".join(["switch"] * switch + [f"endpoints{endpoints}"] * (endpoints > 0))
        result.append(
            Design(f"{placed.board.name}_{name}", placed.board, placed.contents, tuple(users))
        )
    return result
