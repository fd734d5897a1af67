"""``scin build``: the simulator of a configuration, ahead of its first use."""

from __future__ import annotations

import click

from hw.spec.buildable import check_buildable
from hw.spec.config import parse_overrides
from scin.commands.options import Command, load_config
from scin.flow.effort import Effort, effort_asked
from scin.flow.verilate import simulator_library
from scin.report.progress import Stages
from scin.report.terminal import check_stdout


@click.command(cls=Command)
@click.option(
    "--config", default="fpga4", show_default=True, metavar="NAME|FILE.toml", help="Preset or file."
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.FIELD=VALUE",
    help="Change a field; repeatable.",
)
@click.option(
    "--trained",
    is_flag=True,
    help="Compile it with the profile of a run: faster from then on, longer to build.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
def build(*, config: str, overrides: tuple[str, ...], trained: bool, quiet: bool) -> None:
    """Build the simulator that run, sweep, dma, soak and others use, and print its path.

    They build one themselves where none is there, and prefer a trained one where it is.
    """
    description = load_config(config, parse_overrides(overrides))
    check_buildable(description)
    check_stdout()
    effort = Effort.TRAINED if trained else effort_asked() or Effort.FAST
    click.echo(simulator_library(description, effort=effort, report=Stages(quiet=quiet)))
