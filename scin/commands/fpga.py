"""``scin fpga``: a system on boards: plan it, build it, simulate it, run it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.table import Table as RichTable

from hw.spec.input_file import naming
from scin.commands.options import (
    Group,
    Whole,
    exit_if_wrong,
    json_option,
    parse_size,
    refuse_options,
    seed_option,
)
from scin.commands.process import exit_status
from scin.errors import EXIT_WRONG, InputError
from scin.host.driver import Driver
from scin.report.files import OutputFolder, takes_stdout
from scin.report.output import recorded
from scin.report.progress import Stages, elapsed
from scin.report.table import Table
from scin.report.terminal import Console, check_stdout

LEAST_BAUD, MOST_BAUD = 9600, 12_000_000
"""The slowest and the fastest serial port that a partition may have."""

PARTITION = click.argument("partition", metavar="PARTITION")


@click.group(cls=Group)
def fpga() -> None:
    """Boards: plan, build, simulate and run a partition (star5, pair2, single, or FILE.toml)."""


def _load(name: str) -> Any:
    from fpga.partition import load_partition

    with naming(name):
        return load_partition(name)


@fpga.command()
@PARTITION
@json_option
def plan(partition: str, json_path: str | None) -> None:
    """What is on which board, what it will need, and what crosses between boards."""
    from fpga.plan import as_records, plan_records, print_plan

    with exit_status():
        loaded = _load(partition)
        with recorded(json_path, "fpga plan", loaded.config) as records:
            records += as_records(plan_records(loaded))
            if not takes_stdout(json_path):
                print_plan(loaded, Console())


@fpga.command()
@PARTITION
def wiring(partition: str) -> None:
    """Which pin of which board goes where, as Markdown."""
    from fpga.plan import wiring_tables

    with exit_status():
        click.echo(wiring_tables(_load(partition)) or "No cable: everything is on one board.")


@fpga.command()
@PARTITION
@click.option("--board", metavar="NAME", help="Only the bitstream of this board or design.")
@json_option
@click.option(
    "--vivado", type=OutputFolder(), metavar="DIR", help="Write a Vivado project instead."
)
@click.option("--quiet", is_flag=True, help="No progress.")
def build(
    partition: str, board: str | None, json_path: str | None, vivado: str | None, quiet: bool
) -> None:
    """Make the bitstreams, and say what they use and how fast they are.

    Exit status: 0 all built and in time, 1 not, 2 bad input, 3 a tool is missing.
    """
    from fpga.build import as_records
    from fpga.build import build as build_partition
    from fpga.vivado import write_project

    with exit_status():
        loaded = _load(partition)
        if vivado is not None:
            refuse_options("--vivado writes projects of all boards", "board", "json_path")
            check_stdout()
            for path in write_project(loaded, Path(vivado), report=Stages(quiet=quiet)):
                click.echo(path)
            return
        _check_built_here(loaded)
        if board is not None:
            _check_board(board, loaded)
        error = takes_stdout(json_path)
        if not error:
            check_stdout()
        stages, start = Stages(quiet=quiet), time.monotonic()
        seen: dict[str, str] = {}

        def tell(design: str, what: str) -> None:
            if seen.get(design) != what:
                seen[design] = what
                stages(f"{design}: {what} after {elapsed(start)}")

        reports: list[Any] = []
        with recorded(json_path, "fpga build", loaded.config) as records:
            try:
                build_partition(loaded, progress=tell, done=reports.append, only=board)
            finally:
                # In one order, whichever was done first; also those beside one that failed.
                reports.sort(key=lambda report: report.design)
                records += as_records(reports)
                if reports:
                    _print_reports(reports, error=error)


def _check_built_here(partition: Any) -> None:
    for item in partition.boards:
        if item.board.technology != "ecp5":
            raise InputError(
                f"boards.{item.name}.board = {item.board.name}: is for {item.board.technology}; "
                "give --vivado DIR"
            )


def _check_board(name: str, partition: Any) -> None:
    """``name``: of a board, or of the design of one or several."""
    from fpga.design import designs

    boards = [item.name for item in partition.boards]
    built = [item.name for item in designs(partition)]
    if name not in (*boards, *built):
        raise InputError(
            f"board {name!r}: must be among the boards {', '.join(boards)} "
            f"or the designs {', '.join(built)} of {partition.name}"
        )


def _print_reports(reports: list[Any], *, error: bool) -> None:
    """``error`` keeps stdout free for JSON."""
    table = RichTable(title=None)
    for heading in ("design", "boards", "LUT", "FF", "BRAM", "DSP", "clock", "reached", "sha256"):
        table.add_column(heading)
    for report in reports:
        used = report.utilisation
        table.add_row(
            report.design,
            ", ".join(report.users),
            *(str(value) for value in (used.lut, used.ff, used.bram, used.dsp)),
            f"{report.clock_MHz:g} MHz",
            f"{report.reached_MHz:.1f} MHz",
            report.sha256[:16],
        )
    Console(stderr=error).table(table)
    for report in reports:
        click.echo(f"{report.design}: {report.bitstream}", err=error)
        click.echo(
            f"  longest path {report.path_ns:.2f} ns, {report.path_from} -> {report.path_to}",
            err=error,
        )


@fpga.command()
@PARTITION
@seed_option("of clock errors and cable delays")
def simulate(partition: str, seed: int) -> None:
    """Run the boards in a simulator; their serial ports are sockets that `scin fpga run` takes."""
    from fpga.simulation import SimulatedBoards, Surroundings, serial_baud

    with exit_status():
        loaded = _load(partition)
        check_stdout()
        report = Stages(quiet=False)
        with SimulatedBoards(loaded, Surroundings(seed=seed), report=report) as boards:
            ports = " ".join(f"--port {name}={url}" for name, url in boards.ports.items())
            click.echo(f"scin fpga run {partition} --baud {serial_baud(loaded)} {ports}")
            click.echo("# running until Ctrl-C")
            try:
                boards.wait()
            except KeyboardInterrupt:
                click.echo("stopped", err=True)


@fpga.command()
@PARTITION
@click.option("--port", "ports", multiple=True, metavar="BOARD=PORT", help="Serial port or URL.")
@click.option("--simulate", "simulated", is_flag=True, help="Simulate the boards.")
@click.option(
    "--baud",
    type=Whole(LEAST_BAUD, MOST_BAUD),
    help="Of the serial ports, if not the partition's.",
)
@click.option("--size", default="512", show_default=True, help="Bytes of the All-Reduce.")
@click.option("--dtype", default="fp16", show_default=True, help="fp16, bf16 or a block format.")
@seed_option()
@click.option("--status", "only_status", is_flag=True, help="Identify boards and links, then stop.")
@json_option
def run(
    partition: str,
    ports: tuple[str, ...],
    simulated: bool,
    baud: int | None,
    size: str,
    dtype: str,
    seed: int,
    only_status: bool,
    json_path: str | None,
) -> None:
    """Identify the boards, wait for their links, run an All-Reduce and check every bit.

    Exit status: 0 all right, 1 wrong, a link is down or a board does not answer, 2 bad input.
    """
    from contextlib import ExitStack

    from fpga.host import BoardSystem
    from fpga.simulation import SimulatedBoards, Surroundings, serial_baud

    with exit_status(), ExitStack() as stack:
        loaded = _load(partition)
        given = _parse_ports(ports, loaded, simulated)
        _refuse_idle_options(only_status=only_status, simulated=simulated)
        collective = _check_all_reduce(loaded.config, size, dtype)
        table = Table(quiet=False, error=takes_stdout(json_path))
        timeout = 5.0
        if simulated:
            boards = stack.enter_context(
                SimulatedBoards(loaded, Surroundings(seed=seed), report=Stages(quiet=False))
            )
            given, baud, timeout = boards.ports, serial_baud(loaded), 120.0
        system = stack.enter_context(BoardSystem(loaded, given, baud=baud, timeout=timeout))
        if not only_status:
            system.wait_links()
        links = system.links()
        for link in links:
            click.echo(f"# {link}", err=takes_stdout(json_path))
        if only_status:
            if not all(link.up for link in links):
                sys.exit(EXIT_WRONG)
            return
        endpoints = loaded.config.system.endpoints
        table.head(f"allreduce on boards, {loaded.config.name}, {endpoints} endpoints")
        with recorded(json_path, "fpga run", loaded.config) as records:
            measurement = _all_reduce(system, loaded.config, collective, seed)
            records.append(measurement.as_dict())
            table.measurement(measurement)
        exit_if_wrong([measurement])


def _refuse_idle_options(*, only_status: bool, simulated: bool) -> None:
    """Refuse what the user wrote of ``fpga run`` and nothing would heed."""
    if simulated:
        refuse_options("--simulate sets the speed of its ports", "baud")
    if only_status:
        refuse_options("--status runs no collective", "json_path", "size", "dtype")
        if not simulated:
            refuse_options("--status draws nothing at random", "seed")


def _parse_ports(ports: tuple[str, ...], partition: Any, simulated: bool) -> dict[str, str]:
    from fpga.host import check_url

    names = [item.name for item in partition.boards]
    given: dict[str, str] = {}
    if simulated and ports:
        raise InputError(f"port {ports[0]}: --simulate has ports of its own")
    for text in ports:
        name, separator, url = text.partition("=")
        if not separator or name not in names:
            raise InputError(f"port {text!r}: must be BOARD=PORT, BOARD one of {', '.join(names)}")
        if name in given:
            raise InputError(f"port {text!r}: {name} has {given[name]} already")
        try:
            check_url(url)
        except InputError as error:
            raise InputError(f"port {text!r}: {error}") from error
        given[name] = url
    missing = [name for name in names if name not in given]
    if missing and not simulated:
        raise InputError(f"port: must be given for each board, and is not for {', '.join(missing)}")
    return given


def _check_all_reduce(config: Any, size: str, dtype: str) -> tuple[Any, int]:
    """The data type that ``dtype`` names, and how many elements ``size`` is of each endpoint."""
    from hw.spec.formats import is_block_scaled
    from hw.spec.instruction import ReduceOp
    from scin.collectives.requests import parse_data_type
    from scin.collectives.runner import check_capacity
    from scin.collectives.tensor_runs import check_quantized, element_count

    data_type = parse_data_type(dtype)
    if is_block_scaled(data_type):
        check_quantized(config, "allreduce", data_type, ReduceOp.SUM)
    count = element_count(config, "allreduce", parse_size(size), data_type)
    check_capacity(config, "allreduce", parse_size(size), data_type)
    return data_type, count


def _all_reduce(system: Any, config: Any, collective: tuple[Any, int], seed: int) -> Any:
    """``collective``: of :func:`_check_all_reduce`."""
    from hw.spec.formats import is_block_scaled
    from hw.spec.formats.data_type import DataType
    from hw.spec.instruction import ReduceOp
    from scin.collectives.runner import CollectiveRunner
    from scin.collectives.tensor_runs import run_tensors
    from scin.collectives.tensors import random_tensors

    data_type, count = collective
    tensor_type = DataType.FP16 if is_block_scaled(data_type) else data_type
    inputs = random_tensors(tensor_type, count, config.system.endpoints, seed)
    runner = CollectiveRunner(config, system, Driver(system, config))
    measurement, _ = run_tensors(
        runner, "allreduce", inputs, data_type, ReduceOp.SUM, synchronise=True, seed=seed
    )
    return measurement
