"""``scin``: the command line."""

from __future__ import annotations

import click

from scin.accuracy import accuracy
from scin.dma.cli import dma
from scin.doctor import doctor
from scin.emit import emit
from scin.run import run
from scin.sweep import sweep


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scin")
def main() -> None:
    """Switch-centric in-network collectives: run them on RTL, measure, check."""


for command in (run, sweep, dma, accuracy, emit, doctor):
    main.add_command(command)
