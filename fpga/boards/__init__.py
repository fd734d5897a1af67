"""Boards, found by the name of their file."""

from __future__ import annotations

import importlib
import pkgutil

from fpga.boards.board import Board


def board_names() -> list[str]:
    return sorted(item.name for item in pkgutil.iter_modules(__path__) if item.name != "board")


def load_board(name: str) -> Board:
    """Raises :class:`KeyError` if there is no such board."""
    if name not in board_names():
        raise KeyError(name)
    board: Board = importlib.import_module(f"fpga.boards.{name}").BOARD
    return board
