"""``scin sweep``: a collective over a range of sizes."""

from __future__ import annotations

import sys

import click

from hw.spec.config import Config, check_buildable
from scin.driver import Driver
from scin.options import (
    EXIT_WRONG,
    InputError,
    check_operation,
    common,
    parse_data_type,
    parse_reduce_op,
    parse_size,
    write_json,
)
from scin.plot import plot_bandwidth, plot_format
from scin.run import element_count
from scin.runner import CollectiveRunner, check_capacity
from scin.simulator import Simulator
from scin.table import Spinner, Table
from scin.tensors import random_tensors

BACKENDS = ("rtl",)


@click.command()
@click.argument("operation", metavar="OP")
@click.option("--backend", default="rtl", show_default=True, help="rtl.")
@click.option("--min", "smallest", default="4K", show_default=True, help="Smallest size.")
@click.option("--max", "largest", default="1M", show_default=True, help="Largest size.")
@click.option("--factor", default=2, show_default=True, help="From one size to the next.")
@click.option("--dtype", default="fp16", show_default=True, help="fp16 or bf16.")
@click.option("--redop", default="sum", show_default=True, help="sum, max or min.")
@click.option("--plot", metavar="FILE.png|svg", help="Draw bandwidth over size.")
@click.option("--no-sync", is_flag=True, help="Time from the first read to the last response.")
@common
def sweep(
    *,
    config: Config,
    operation: str,
    backend: str,
    smallest: str,
    largest: str,
    factor: int,
    dtype: str,
    redop: str,
    plot: str | None,
    no_sync: bool,
    json_path: str | None,
    seed: int,
    quiet: bool,
) -> None:
    """Run OP at sizes from --min to --max, each --factor times the one before."""
    check_operation(operation)
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r}: must be one of {', '.join(BACKENDS)}")
    check_buildable(config)
    data_type, reduce_op = parse_data_type(dtype), parse_reduce_op(redop)
    endpoints = config.system.endpoints
    low, high = parse_size(smallest), parse_size(largest)
    if factor < 2:
        raise InputError(f"factor {factor}: must be at least 2")
    if not 0 < low <= high:
        raise InputError(f"min {low}: must be positive and at most max {high}")
    if plot is not None:
        plot_format(plot)
    check_capacity(config, operation, high)
    sizes = []
    while low <= high:
        element_count(operation, low, data_type, endpoints)
        sizes.append(low)
        low *= factor

    table = Table(quiet=quiet, error=json_path == "-")
    spinner = Spinner(quiet=quiet)
    measurements = []
    with Simulator(config, seed=seed, report=table.line) as simulator:
        runner = CollectiveRunner(config, simulator, Driver(simulator, config, progress=spinner))
        table.head(f"{operation} on RTL, {config.name}, {endpoints} endpoints, seed {seed}")
        try:
            for size in sizes:
                spinner.watch(simulator, f"{operation} {size} B")
                count = element_count(operation, size, data_type, endpoints)
                inputs = random_tensors(data_type, count, endpoints, seed)
                outcome = runner.run(
                    operation, inputs, data_type, reduce_op, synchronise=not no_sync, seed=seed
                )
                spinner.stop()
                table.measurement(outcome.measurement)
                measurements.append(outcome.measurement)
        finally:
            spinner.stop()
    records = [item.as_dict() for item in measurements]
    if plot is not None:
        plot_bandwidth(plot, f"{operation}, {config.name}", measurements, config)
    write_json(json_path, f"sweep {operation}", config, records)
    if any(item.wrong or item.status != "OK" for item in measurements):
        sys.exit(EXIT_WRONG)
