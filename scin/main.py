"""``scin``: the command line. A command's own file is imported when that command is run."""

from __future__ import annotations

import ast
import importlib
from importlib.resources import files
from typing import Any

import click

from models.cache import lend_to_tools
from scin.commands.process import exit_status, orderly

COMMANDS = {
    name: f"scin.commands.{name}"
    for name in (
        *("run", "sweep", "dma"),
        *("compare", "study", "llm", "explain", "explore"),
        *("validate", "soak", "accuracy", "emit", "build", "doctor", "fpga"),
    )
}
"""The module of each, which has a function of the command's name."""


def help_of(name: str) -> str:
    """What a command's file says of it, read without importing it."""
    package, module = COMMANDS[name].rsplit(".", 1)
    tree = ast.parse((files(package) / f"{module}.py").read_text(encoding="utf-8"))
    functions = (item for item in tree.body if isinstance(item, ast.FunctionDef))
    return next(ast.get_docstring(item) or "" for item in functions if item.name == name)


class Commands(click.Group):
    """Ends every command in the same way, whatever happens while it is read or run."""

    def invoke(self, ctx: click.Context) -> Any:
        with orderly(), exit_status():
            lend_to_tools()
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name])
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(ctx)
        room = formatter.width - 6 - max(map(len, names))
        rows = [
            (name, click.Command(name, help=help_of(name)).get_short_help_str(room))
            for name in names
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scin")
def main() -> None:
    """Switch-centric in-network collectives: run them on RTL, measure, check."""
