"""A command: the ranks of a configuration."""

import click

from hw.spec.config import Config
from scin.commands.options import Command, common


@click.command(cls=Command)
@common(default="tiny")
def ranks(*, config: Config, json_path: str | None, quiet: bool) -> None:
    """Say how many ranks a system has."""
    if not quiet:
        click.echo(f"{config.name}: {config.system.endpoints} ranks")
