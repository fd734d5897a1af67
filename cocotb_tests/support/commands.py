"""The commands of the command line."""

from collections.abc import Iterator

import click
from click.testing import CliRunner, Result

from scin.main import main


def commands_of(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """By name, imported whether they are run or not."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield name, command


TINY = ("--config", "tiny")


def scin(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])
