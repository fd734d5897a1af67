"""What a board's Verilog is emitted from, so that it is emitted once."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from fpga.boards.board import Board
from fpga.partition import Partition
from hw.board.contents import Contents
from scin.flow.cache import digest
from scin.flow.verilate import hardware_key


def board_key(partition: Partition, board: Board, contents: Contents, *more: str) -> str:
    """Changes whenever what is emitted for a board of the partition might; ``more``: what else it
    depends on."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    facts = [board.name, contents.role, partition.link_kind, partition.framing.lanes]
    return digest(
        hardware_key(partition.config).encode(),
        version("amaranth-boards").encode(),
        json.dumps([*facts, partition.clock_hz, *more]).encode(),
        *(path.read_bytes() for path in sources),
    )
