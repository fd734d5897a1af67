"""``scin dma``: DMA collectives and copies, on RTL or by the timing model."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import click

from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from models.dma.platform import Platform, PlatformError
from models.dma.timing import VariantError, predict
from models.dma.timing import shape as shape_of
from models.wire import busiest_link_bytes
from scin.collectives.dma_plans import OPERATIONS, build
from scin.collectives.dma_runner import DmaRunner, check_room
from scin.collectives.requests import check_one_of
from scin.commands.kvfetch import fetch_table, kvfetch
from scin.commands.options import (
    Command,
    common,
    exit_if_wrong,
    parse_list,
    parse_size,
    parse_sizes,
    plot_option,
    refuse_options,
)
from scin.errors import InputError
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.host.timeline import HostModel
from scin.report.dma_measurement import DmaMeasurement
from scin.report.dma_table import DmaTable
from scin.report.files import takes_stdout
from scin.report.output import recorded
from scin.report.plot import plot_dma
from scin.report.progress import Stages
from scin.report.table import Spinner
from scin.report.units import size_text

KVFETCH = "kvfetch"
MIN_BLOCK, MAX_BLOCK = 1 << 10, 1 << 24
BACKENDS = ("rtl", "model")
PRELAUNCH = {"off": (False,), "on": (True,), "both": (False, True)}

Measure = Callable[[str, int, bool], DmaMeasurement]
"""Of a variant, at a size, launched ahead or not."""


@dataclass(frozen=True)
class Task:
    """What is asked for: an operation by all combinations of variants, sizes and ``prelaunch``,
    which says whether the engines are launched ahead."""

    operation: str
    variants: list[str]
    sizes: list[int]
    prelaunch: tuple[bool, ...]
    host: HostModel
    inline: bool
    """Whether commands go through the doorbell."""
    seed: int


@click.command(cls=Command)
@click.argument("operation", metavar="OP")
@click.option("--variant", default=None, help="pcpy, bcst, swap, b2b, mcast; comma-separated.")
@click.option("--prelaunch", default="both", show_default=True, help="off, on or both.")
@click.option("--platform", default=None, help="mi300x or fpga4; default: --config.")
@click.option("--backend", default=None, help="rtl or model; default: rtl where there is one.")
@click.option("--min", "smallest", default="1K", show_default=True, help="Smallest size.")
@click.option("--max", "largest", default="1M", show_default=True, help="Largest size.")
@click.option("--factor", default=4, show_default=True, help="From one size to the next.")
@click.option("--host-command", default=100.0, show_default=True, help="Host: ns per command.")
@click.option("--host-access", default=50.0, show_default=True, help="Host: ns per poll.")
@click.option("--inline", is_flag=True, help="Commands go through the doorbell, unfetched.")
@click.option("--block", default="128K", show_default=True, help="kvfetch: size of a block.")
@plot_option("time over size")
@common(draws="of random data")
def dma(
    *,
    config: Config,
    operation: str,
    variant: str | None,
    prelaunch: str,
    platform: str | None,
    backend: str | None,
    smallest: str,
    largest: str,
    factor: int,
    host_command: float,
    host_access: float,
    inline: bool,
    block: str,
    plot: str | None,
    json_path: str | None,
    seed: int,
    quiet: bool,
) -> None:
    """DMA engines run OP: allgather, alltoall, p2p, or kvfetch. Sizes count the whole collective.

    On RTL the contents are checked at every endpoint. The model predicts, for a platform whose
    parameters are in configs/dma/; kvfetch, a paged KV cache from another memory, is model only.
    """
    if operation == KVFETCH:
        _fetch(config, platform, backend, block, json_path, quiet=quiet)
        return
    if operation not in OPERATIONS:
        supported = ", ".join([*OPERATIONS, KVFETCH])
        raise InputError(f"operation {operation!r}: supported here are {supported}")
    refuse_options("only kvfetch has blocks", "block")
    variants = _variants(operation, variant)
    check_one_of("prelaunch", prelaunch, PRELAUNCH)
    if inline and prelaunch != "off":
        raise InputError("inline: only with --prelaunch off")
    if inline and not config.dma.inline_doorbell:
        raise InputError("inline: dma.inline_doorbell = false, these engines have no such doorbell")
    backend = backend or ("rtl" if platform in (None, config.name) else "model")
    check_one_of("backend", backend, BACKENDS)
    sizes = parse_sizes(smallest, largest, factor)
    host = _host(host_command, host_access)
    task = Task(operation, variants, sizes, PRELAUNCH[prelaunch], host, inline, seed)
    table = DmaTable(quiet=quiet, error=takes_stdout(json_path, plot))
    model = _model_of(config, platform) if backend == "model" else None
    if model is None:
        _check_rtl(config, platform, task)
    else:
        if variant is None and not model.switched:
            task = replace(task, variants=[name for name in variants if name != "mcast"])
        _check_chunks(task, model.endpoints)
    described = model or config
    with recorded(json_path, f"dma {operation}", described) as records:
        if model is None:
            measurements = _on_rtl(config, task, table, records)
        else:
            measurements = _by_model(model, task, table, records)
        if plot is not None:
            plot_dma(plot, f"{operation}, {described.name}, {backend}", measurements)
    exit_if_wrong(measurements)


def _fetch(
    config: Config,
    platform: str | None,
    backend: str | None,
    block: str,
    json_path: str | None,
    *,
    quiet: bool,
) -> None:
    """The operation kvfetch, from its checks to its records."""
    refuse_options("kvfetch has lengths of its own", "smallest", "largest", "factor", "plot")
    refuse_options("kvfetch compares its own", "variant", "prelaunch")
    if backend == "rtl":
        raise InputError("backend rtl: kvfetch is predicted by the timing model only")
    if backend is not None:
        check_one_of("backend", backend, BACKENDS)
    model = _model_of(config, platform)
    block_bytes = _block_bytes(block)
    table = fetch_table(quiet=quiet, error=takes_stdout(json_path))
    with recorded(json_path, "dma kvfetch", model) as records:
        kvfetch(model, block_bytes, table, records)


def _block_bytes(text: str) -> int:
    size = parse_size(text)
    if not MIN_BLOCK <= size <= MAX_BLOCK:
        raise InputError(f"block {size}: must be between {MIN_BLOCK} and {MAX_BLOCK} B")
    return size


def _variants(operation: str, text: str | None) -> list[str]:
    known = OPERATIONS[operation][1]
    return list(known) if text is None else parse_list("variant", text, known)


def _host(command_ns: float, access_ns: float) -> HostModel:
    for name, value in (("host-command", command_ns), ("host-access", access_ns)):
        if not 1 <= value <= 1e6:
            raise InputError(f"{name} {value}: must be between 1 and 1e6 ns")
    return HostModel(command_ns, access_ns)


def _model_of(config: Config, name: str | None) -> Platform:
    """The platform that the timing model predicts; refuses what only RTL heeds."""
    why = "the timing model knows platforms by the files in configs/dma/"
    refuse_options(why, "overrides", "host_command", "host_access", "inline", "seed")
    if name not in (None, config.name):
        refuse_options("--platform names the platform", "config_name")
    try:
        return Platform.load(name or config.name)
    except PlatformError as error:
        raise InputError(str(error)) from error


def _check_rtl(config: Config, platform: str | None, task: Task) -> None:
    """Raise an error for what this hardware cannot run."""
    if platform not in (None, config.name):
        raise InputError(f"platform {platform!r}: RTL runs --config {config.name}")
    check_buildable(config)
    _check_chunks(task, config.system.endpoints)
    for name in task.variants:
        check_room(config, build(config, task.operation, name, task.sizes[-1]))


def _check_chunks(task: Task, endpoints: int) -> None:
    """Collectives move as many bytes of every endpoint; p2p moves bytes of one."""
    for size in task.sizes if task.operation != "p2p" else ():
        if size % endpoints:
            raise InputError(f"size {size}: must be a multiple of {endpoints} B, one per endpoint")


def _on_rtl(
    config: Config, task: Task, table: DmaTable, records: list[dict[str, Any]]
) -> list[DmaMeasurement]:
    with Simulator(config, seed=task.seed, report=Stages(quiet=table.quiet)) as simulator:
        spinner = Spinner(quiet=table.quiet)
        driver = Driver(simulator, config, progress=spinner)
        driver.configure()
        runner = DmaRunner(config, simulator, driver, host=task.host, inline=task.inline)

        def measure(variant: str, size: int, ahead: bool) -> DmaMeasurement:
            plan = build(config, task.operation, variant, size)
            spinner.watch(simulator, f"{task.operation} {variant} {size_text(size)}")
            try:
                return runner.run(plan, prelaunch=ahead, seed=task.seed)
            finally:
                spinner.stop()

        table.head(
            f"{task.operation} on RTL, {config.name}, {config.system.endpoints} endpoints, host "
            f"{task.host.command_ns:g} ns per command, {task.host.access_ns:g} ns per poll, "
            f"seed {task.seed}"
        )
        return _sweep(measure, task, table, records)


def _by_model(
    platform: Platform, task: Task, table: DmaTable, records: list[dict[str, Any]]
) -> list[DmaMeasurement]:
    table.head(f"{task.operation} by the timing model, {platform.name}")
    return _sweep(partial(_predict, platform, task.operation), task, table, records)


def _predict(
    platform: Platform, operation: str, variant: str, size: int, ahead: bool
) -> DmaMeasurement:
    try:
        phases = predict(platform, operation, variant, size, prelaunch=ahead)
    except VariantError as error:
        raise InputError(str(error)) from error
    chunk = shape_of(platform, operation, variant, size).chunk
    whole = size if operation == "p2p" else chunk * platform.endpoints
    return DmaMeasurement(
        op=operation,
        variant=variant,
        prelaunch=ahead,
        backend="model",
        platform=platform.name,
        endpoints=platform.endpoints,
        size_bytes=whole,
        time_s=phases.total,
        wire_bytes=busiest_link_bytes(
            operation, "dma", platform.endpoints, whole, switched=platform.switched
        ),
        link_GBps=platform.bandwidth / 1e3,
        status="OK",
        phases=phases,
    )


def _sweep(
    measure: Measure, task: Task, table: DmaTable, records: list[dict[str, Any]]
) -> list[DmaMeasurement]:
    """Every variant at every size, compared with pcpy at that size if it is among them; adds to
    ``records`` as they come."""
    measurements = []
    for size in task.sizes:
        reference = None
        for name, ahead in itertools.product(task.variants, task.prelaunch):
            item = measure(name, size, ahead)
            if name == "pcpy" and not ahead:
                reference = item.time_s
            if reference is not None and item.time_s is not None:
                item = replace(item, speedup_vs_pcpy=reference / item.time_s)
            measurements.append(item)
            records.append(item.as_dict())
            table.measurement(item)
    return measurements
