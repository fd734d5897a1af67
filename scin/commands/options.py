"""What command lines have in common: options, sizes, errors and their exit status."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.core import ParameterSource

from hw.spec.config import Config, ConfigError, load, parse_overrides
from hw.spec.fault import Disturbance
from hw.spec.input_file import naming
from models.collective import collective
from scin.collectives.requests import LARGEST_SIZE, check_known, refuse_repetition
from scin.commands.process import exit_status
from scin.errors import EXIT_WRONG, InputError
from scin.host.simulator import Faults
from scin.report.files import OutputFile, OutputFolder, option_name, refuse_written
from scin.report.record import Result

LARGEST_SEED = (1 << 31) - 1

Function = Callable[..., None]
"""What a command runs."""

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(text: str) -> int:
    """Bytes, with K, M, G or KiB, MiB, GiB as powers of 1024."""
    match = re.fullmatch(r"([0-9]+)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if not match:
        raise InputError(f"size {text!r}: must be bytes, such as 512, 4K, 4KiB or 16M")
    # So many digits are too many in any unit.
    number = int(match[1]) if len(match[1]) < 40 else LARGEST_SIZE
    size = number * UNITS[match[2].upper()]
    if size >= LARGEST_SIZE:
        raise InputError(f"size {text}: must be less than {LARGEST_SIZE} B")
    return size


def parse_sizes(smallest: str, largest: str, factor: int) -> list[int]:
    """Sizes from ``smallest`` to ``largest``, each ``factor`` times the one before."""
    low, high = parse_size(smallest), parse_size(largest)
    if factor < 2:
        raise InputError(f"factor {factor}: must be at least 2")
    if not 0 < low <= high:
        raise InputError(f"min {low}: must be positive and at most max {high}")
    sizes = []
    while low <= high:
        sizes.append(low)
        low *= factor
    return sizes


json_option = click.option(
    "--json",
    "json_path",
    type=OutputFile(dash=True),
    metavar="FILE",
    help="Write records; - for stdout.",
)


class Whole(click.ParamType[int]):
    """A whole number between two bounds, both included."""

    name = "integer"

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        name = option_name(param)
        try:
            number = int(value)
        except ValueError as error:
            raise InputError(f"{name} {value!r}: must be a whole number") from error
        if not self.low <= number <= self.high:
            raise InputError(f"{name} {value}: must be between {self.low} and {self.high}")
        return number


def seed_option(what: str | None = "of random data") -> Callable[[Function], Function]:
    """``what``: None where nothing is drawn, and the command refuses it with a reason."""
    kind = Whole(0, LARGEST_SEED)
    return click.option(
        "--seed", type=kind, default=1, show_default=True, hidden=what is None, help=f"Seed {what}."
    )


def plot_option(what: str) -> Callable[[Function], Function]:
    """``what`` is drawn."""
    kind = OutputFile(".png", ".svg")
    return click.option("--plot", type=kind, metavar="FILE.png|svg", help=f"Draw {what}.")


fault_option = click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND=RATE",
    help=f"{', '.join(kind.name.lower() for kind in Disturbance)}; repeatable.",
)


def parse_faults(texts: tuple[str, ...]) -> Faults:
    """Rates of disturbances, as the command line writes them."""
    names = {kind.name.lower(): kind for kind in Disturbance}
    faults: Faults = {}
    for text in texts:
        name, _, rate = text.partition("=")
        if name not in names:
            raise InputError(f"fault {name!r}: must be one of {', '.join(names)}")
        if names[name] in faults:
            raise InputError(f"fault {name!r}: is given more than once")
        try:
            value = float(rate)
        except ValueError as error:
            raise InputError(f"fault {text!r}: must be written kind=rate") from error
        if not 0 <= value <= 1:
            raise InputError(f"fault {name} = {rate}: must be between 0 and 1")
        faults[names[name]] = value
    return faults


class Command(click.Command):
    """A command whose options are written once, but for those that may be repeated: of two
    values, one would do nothing."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        for item in self.params:
            if isinstance(item, click.Option) and not item.multiple and order.count(item) > 1:
                raise InputError(f"{item.opts[0]}: is given {order.count(item)} times")
        return super().parse_args(ctx, args)


class Group(click.Group):
    command_class = Command


def is_given(name: str) -> bool:
    """Whether the user wrote this option of the running command; ``name``: of its parameter."""
    source = click.get_current_context().get_parameter_source(name)
    return source not in (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)


def refuse_options(why: str, *names: str) -> None:
    """Refuse those of the options that the user wrote, for here they would do nothing."""
    for item in click.get_current_context().command.params:
        if item.name in names and is_given(item.name):
            raise InputError(f"{item.opts[0]}: does nothing here: {why}")


def refuse_operator(operation: str) -> None:
    """Refuse an operator for a collective that only copies."""
    if collective(operation).copies:
        refuse_options(f"{operation} does not reduce", "redop")


def load_config(name: str, overrides: dict[str, Any]) -> Config:
    """The configuration ``name`` with ``overrides``. An error names the file if it is the file's;
    one of what is set names the field alone."""
    try:
        return load(name, overrides)
    except ConfigError:
        with naming(name):
            load(name)
        raise


def set_fields() -> dict[str, Any]:
    """Fields that the user set for the running command, and to what."""
    return parse_overrides(click.get_current_context().params.get("overrides", ()))


def refuse_overruled(config: Config) -> None:
    """Refuse what the user set, if the command needs another value than that."""
    for name, asked in set_fields().items():
        section, _, field = name.partition(".")
        needed = config.as_dict()[section][field]
        if needed != (tuple(asked) if isinstance(asked, list) else asked):
            raise InputError(
                f"set {name} = {json.dumps(asked)}: must be {json.dumps(needed)} for this command"
            )


def output_options() -> list[str]:
    """Parameters of the running command that name what it writes."""
    params = click.get_current_context().command.params
    return [
        item.name
        for item in params
        if item.name is not None and isinstance(item.type, OutputFile | OutputFolder)
    ]


def parse_list(what: str, text: str, known: Iterable[str]) -> list[str]:
    """Names separated by commas, each among ``known`` and written once."""
    names = text.split(",")
    check_known(what, names, known)
    refuse_repetition(what, names)
    return names


def exit_if_wrong(results: Iterable[Result]) -> None:
    """End the command with status 1 if a result failed or has wrong contents."""
    if any(item.wrong or item.failed for item in results):
        sys.exit(EXIT_WRONG)


def common(
    *,
    default: str = "fpga4",
    draws: str | None = None,
    adapt: Callable[[Config, dict[str, Any]], Config] = lambda config, options: config,
) -> Callable[[Function], Function]:
    """Options of every command that takes a configuration, ``default`` if none is named.

    ``draws``: of what the seed is; None if nothing is random: the command then refuses one.
    ``adapt``: what the command's other options make of the configuration; they may not change
    what the user sets.
    """

    def decorate(command: Function) -> Function:
        @click.option(
            "--config",
            "config_name",
            default=default,
            show_default=True,
            metavar="NAME|FILE.toml",
            help="Preset or file.",
        )
        @click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="SECTION.FIELD=VALUE",
            help="Change a field; repeatable.",
        )
        @click.option("--show-config", is_flag=True, help="Print the full configuration and stop.")
        @json_option
        @seed_option(draws)
        @click.option("--quiet", is_flag=True, help="No table, no progress.")
        @functools.wraps(command)
        def wrapped(
            config_name: str, overrides: tuple[str, ...], show_config: bool, **rest: Any
        ) -> None:
            with exit_status():
                if draws is None:
                    refuse_options("nothing is drawn at random", "seed")
                    del rest["seed"]
                config = adapt(load_config(config_name, parse_overrides(overrides)), rest)
                refuse_overruled(config)
                if config_name.endswith(".toml"):
                    refuse_written("config", config_name)
                if show_config:
                    refuse_options("--show-config only prints", *output_options())
                    click.echo(json.dumps(config.as_dict(), indent=2))
                    return
                command(config=config, **rest)

        return wrapped

    return decorate
