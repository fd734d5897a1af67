"""``scin``: the command line."""

from __future__ import annotations

from typing import Any

import click

from models.cache import lend_to_tools
from scin.accuracy import accuracy
from scin.build import build
from scin.compare import compare
from scin.dma.cli import dma
from scin.doctor import doctor
from scin.emit import emit
from scin.explain import explain
from scin.explore import explore
from scin.fpga import fpga
from scin.llm import llm
from scin.options import exit_status
from scin.process import orderly
from scin.run import run
from scin.soak.cli import soak
from scin.study import study
from scin.sweep import sweep
from scin.validation.cli import validate


class Commands(click.Group):
    """Ends every command in the same way, whatever happens while it is read or run."""

    def invoke(self, ctx: click.Context) -> Any:
        with orderly(), exit_status():
            lend_to_tools()
            return super().invoke(ctx)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scin")
def main() -> None:
    """Switch-centric in-network collectives: run them on RTL, measure, check."""


COMMANDS = (
    *(run, sweep, dma),
    *(compare, study, llm, explain, explore),
    *(validate, soak, accuracy, emit, build, doctor, fpga),
)
for command in COMMANDS:
    main.add_command(command)
