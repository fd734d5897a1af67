"""``scin``: the command line."""

from __future__ import annotations

import click

from scin.accuracy import accuracy
from scin.compare import compare
from scin.dma.cli import dma
from scin.doctor import doctor
from scin.emit import emit
from scin.explain import explain
from scin.explore import explore
from scin.fpga import fpga
from scin.llm import llm
from scin.run import run
from scin.soak.cli import soak
from scin.study import study
from scin.sweep import sweep
from scin.validation.cli import validate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scin")
def main() -> None:
    """Switch-centric in-network collectives: run them on RTL, measure, check."""


COMMANDS = (
    *(run, sweep, dma),
    *(compare, study, llm, explain, explore),
    *(validate, soak, accuracy, emit, doctor, fpga),
)
for command in COMMANDS:
    main.add_command(command)
