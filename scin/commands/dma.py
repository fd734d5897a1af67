"""``scin dma``: DMA collectives and copies, on RTL or by the timing model."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
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
from scin.commands.kvfetch import kvfetch
from scin.commands.options import (
    Command,
    common,
    parse_list,
    parse_size,
    parse_sizes,
    plot_option,
    refuse_options,
)
from scin.errors import EXIT_WRONG, InputError
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.host.timeline import HostModel
from scin.report.dma_measurement import DmaMeasurement
from scin.report.dma_table import DmaTable
from scin.report.files import takes_stdout
from scin.report.output import recorded, write_json
from scin.report.plot import plot_dma
from scin.report.progress import Stages
from scin.report.table import Spinner

KVFETCH = "kvfetch"
MIN_BLOCK, MAX_BLOCK = 1 << 10, 1 << 24
BACKENDS = ("rtl", "model")
PRELAUNCH = {"off": (False,), "on": (True,), "both": (False, True)}

Cases = tuple[list[str], list[int], tuple[bool, ...]]
"""Variants, sizes, and whether launched ahead: all combinations."""

Measure = Callable[[str, int, bool], DmaMeasurement]


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
        refuse_options("kvfetch has lengths of its own", "smallest", "largest", "factor", "plot")
        refuse_options("kvfetch compares its own", "variant", "prelaunch")
        if backend == "rtl":
            raise InputError("backend rtl: kvfetch is predicted by the timing model only")
        _check_backend(backend)
        model = _model_of(config, platform)
        records = kvfetch(model, _block_bytes(block), quiet=quiet, error=takes_stdout(json_path))
        write_json(json_path, "dma kvfetch", model, records)
        return
    if operation not in OPERATIONS:
        supported = ", ".join([*OPERATIONS, KVFETCH])
        raise InputError(f"operation {operation!r}: supported here are {supported}")
    refuse_options("only kvfetch has blocks", "block")
    variants = _variants(operation, variant)
    if prelaunch not in PRELAUNCH:
        raise InputError(f"prelaunch {prelaunch!r}: must be one of {', '.join(PRELAUNCH)}")
    if inline and prelaunch != "off":
        raise InputError("inline: only with --prelaunch off")
    backend = backend or ("rtl" if platform in (None, config.name) else "model")
    _check_backend(backend)
    sizes = parse_sizes(smallest, largest, factor)
    for name, value in (("host-command", host_command), ("host-access", host_access)):
        if not 1 <= value <= 1e6:
            raise InputError(f"{name} {value}: must be between 1 and 1e6 ns")
    table = DmaTable(quiet=quiet, error=takes_stdout(json_path, plot))
    cases: Cases = (variants, sizes, PRELAUNCH[prelaunch])
    described: Config | Platform = config
    if backend == "model":
        described = model = _model_of(config, platform)
        if not model.switched and variant is None:
            cases = ([name for name in variants if name != "mcast"], *cases[1:])
        _check_chunks(operation, sizes, model.endpoints)
    else:
        if platform not in (None, config.name):
            raise InputError(f"platform {platform!r}: RTL runs --config {config.name}")
        check_buildable(config)
        _check_chunks(operation, sizes, config.system.endpoints)
        for name in variants:
            check_room(config, build(config, operation, name, sizes[-1]))
    name = described.name
    with recorded(json_path, f"dma {operation}", described) as records:
        if backend == "model":
            title = f"{operation} by the timing model, {name}"
            measurements = _sweep(_model(model, operation), cases, table, title, records)
        else:
            host = HostModel(host_command, host_access)
            spinner = Spinner(quiet=quiet)
            with Simulator(config, seed=seed, report=Stages(quiet=quiet)) as simulator:
                driver = Driver(simulator, config, progress=spinner)
                driver.configure()
                runner = DmaRunner(config, simulator, driver, host=host, inline=inline)

                def measure(name: str, size: int, ahead: bool) -> DmaMeasurement:
                    plan = build(config, operation, name, size)
                    return runner.run(plan, prelaunch=ahead, seed=seed)

                title = (
                    f"{operation} on RTL, {name}, {config.system.endpoints} endpoints, host "
                    f"{host_command:g} ns per command, {host_access:g} ns per poll, seed {seed}"
                )
                measurements = _sweep(measure, cases, table, title, records)
        if plot is not None:
            plot_dma(plot, f"{operation}, {name}, {backend}", measurements)
    if any(item.wrong or item.status != "OK" for item in measurements):
        sys.exit(EXIT_WRONG)


def _check_chunks(operation: str, sizes: list[int], endpoints: int) -> None:
    """Collectives move as many bytes of every endpoint; p2p moves bytes of one."""
    for size in sizes if operation != "p2p" else ():
        if size % endpoints:
            raise InputError(f"size {size}: must be a multiple of {endpoints} B, one per endpoint")


def _block_bytes(text: str) -> int:
    size = parse_size(text)
    if not MIN_BLOCK <= size <= MAX_BLOCK:
        raise InputError(f"block {size}: must be between {MIN_BLOCK} and {MAX_BLOCK} B")
    return size


def _check_backend(name: str | None) -> None:
    if name not in (None, *BACKENDS):
        raise InputError(f"backend {name!r}: must be one of {', '.join(BACKENDS)}")


def _model_of(config: Config, name: str | None) -> Platform:
    """The platform that the timing model predicts; refuses what only RTL heeds."""
    why = "the timing model knows platforms by the files in configs/dma/"
    refuse_options(why, "overrides", "host_command", "host_access", "inline", "seed")
    if name not in (None, config.name):
        refuse_options("--platform names the platform", "config_name")
    return _platform(name or config.name)


def _variants(operation: str, text: str | None) -> list[str]:
    known = OPERATIONS[operation][1]
    return list(known) if text is None else parse_list("variant", text, known)


def _sweep(
    measure: Measure,
    cases: Cases,
    table: DmaTable,
    title: str,
    records: list[dict[str, Any]],
) -> list[DmaMeasurement]:
    """Every variant at every size, compared with pcpy at that size if it is among them; adds to
    ``records`` as they come."""
    variants, sizes, prelaunch = cases
    measurements = []
    table.head(title)
    for size in sizes:
        reference = None
        for name in variants:
            for ahead in prelaunch:
                item = measure(name, size, ahead)
                if name == "pcpy" and not ahead:
                    reference = item.time_s
                if reference is not None and item.time_s is not None:
                    item = dataclasses.replace(item, speedup_vs_pcpy=reference / item.time_s)
                table.measurement(item)
                measurements.append(item)
                records.append(item.as_dict())
    return measurements


def _platform(name: str) -> Platform:
    try:
        return Platform.load(name)
    except PlatformError as error:
        raise InputError(str(error)) from error


def _model(platform: Platform, operation: str) -> Measure:
    def measure(variant: str, size: int, ahead: bool) -> DmaMeasurement:
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

    return measure
