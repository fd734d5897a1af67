"""``scin explain``: where the time of a small collective goes, hop by hop."""

from __future__ import annotations

import sys
from typing import Any

import click

from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.simulator.collective import plane_bytes
from models.simulator.explain import Span
from scin.collectives.phases import measured_phases, simulated_phases
from scin.collectives.requests import check_half_elements, check_one_of
from scin.collectives.runner import CollectiveRunner
from scin.collectives.tensors import random_tensors
from scin.commands.options import (
    Command,
    common,
    parse_size,
    plot_option,
    refuse_options,
)
from scin.errors import EXIT_WRONG, InputError
from scin.flow.compilation import compile_simulator
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.report.files import takes_stdout
from scin.report.measurement import Measurement
from scin.report.output import recorded
from scin.report.plot import plot_waterfall
from scin.report.progress import Stages
from scin.report.record import Result, shown
from scin.report.table import Column, Spinner, TextTable
from scin.report.units import size_text

BACKENDS = ("sim", "rtl")
LARGEST = 64 << 20
PARTS = ("links", "memory", "rows", "rest")
COLUMNS: tuple[Column, ...] = (
    ("step", "", 46),
    ("from", "(cycle)", 9),
    ("cycles", "", 9),
    ("links", "", 8),
    ("memory", "", 8),
    ("rows", "", 8),
    ("rest", "", 8),
    ("time", "(ns)", 11),
    ("share", "", 8),
)


@click.command(cls=Command)
@click.argument("operation", metavar="OP")
@click.option("--size", default="4KiB", show_default=True, help="Bytes of FP16.")
@click.option("--backend", default="sim", show_default=True, help="sim or rtl.")
@plot_option("it as a waterfall")
@common(draws="of random data")
def explain(
    *,
    config: Config,
    operation: str,
    size: str,
    backend: str,
    plot: str | None,
    json_path: str | None,
    seed: int,
    quiet: bool,
) -> None:
    """Where the time of OP (allreduce) goes: steps, and in each the cycles on links, in memory
    latency, reducing rows, and the rest: pipelines and waiting."""
    if operation != "allreduce":
        raise InputError(f"operation {operation!r}: supported here is allreduce")
    check_one_of("backend", backend, BACKENDS)
    message = parse_size(size)
    check_half_elements(message)
    if message > LARGEST:
        raise InputError(f"size {message}: must be at most {LARGEST} B")
    if backend == "sim":
        refuse_options("the simulator has no data", "seed")
    table = TextTable(COLUMNS, quiet=quiet, error=takes_stdout(json_path, plot))
    length = plane_bytes(config, message)
    with recorded(json_path, f"explain {operation}", config) as records:
        if backend == "sim":
            compile_simulator(Stages(quiet=quiet))
            spans = simulated_phases(config, length)
        else:
            check_buildable(config)
            item = _on_rtl(config, length, seed, quiet)
            if item.failed or item.wrong:
                records.append(_failure(config, item, message))
                table.line(
                    f"# status {item.status}, {shown(item.wrong)} elements wrong: no steps to "
                    "explain"
                )
                sys.exit(EXIT_WRONG)
            spans = measured_phases(config, item)
        records += [_record(config, span, backend, message, seed) for span in spans]
        where = "in the simulator" if backend == "sim" else "on RTL"
        table.head(f"allreduce of {size_text(message)} {where}, {config.name}")
        _print_spans(table, spans, 1000 / config.isa.clock_MHz)
        if plot is not None:
            plot_waterfall(plot, f"All-Reduce of {size_text(message)}, {config.name}", spans)


def _on_rtl(config: Config, length: int, seed: int, quiet: bool) -> Measurement:
    spinner = Spinner(quiet=quiet)
    with Simulator(config, seed=seed, report=Stages(quiet=quiet)) as simulator:
        driver = Driver(simulator, config, progress=spinner)
        spinner.watch(simulator, f"allreduce {length} B")
        runner = CollectiveRunner(config, simulator, driver)
        inputs = random_tensors(DataType.FP16, length // 2, config.system.endpoints, seed)
        try:
            outcome = runner.run("allreduce", inputs, DataType.FP16, ReduceOp.SUM, seed=seed)
        finally:
            spinner.stop()
    return outcome.measurement


def _print_spans(table: TextTable, spans: list[Span], cycle: float) -> None:
    """A line per step, and one of them all; ``cycle``: in ns."""
    total = spans[-1].end
    for span in spans:
        table.row(_cells(span, total, cycle))
    whole = Span(
        "last arrival → flag visible",
        0,
        total,
        *(sum(getattr(s, name) for s in spans) for name in ("links", "memory", "rows")),
    )
    table.row(_cells(whole, total, cycle))


def _failure(config: Config, item: Measurement, size: int) -> dict[str, Any]:
    """There are no steps of a collective that failed or came out wrong; one record says so."""
    result = _result(config, "rtl", item.seed, wrong=item.wrong, status=item.status)
    columns = ("step", "start_cycle", "end_cycle", *(f"{name}_cycles" for name in PARTS))
    return result.as_dict(message_bytes=size, **dict.fromkeys(columns))


def _result(config: Config, backend: str, seed: int | None, **more: Any) -> Result:
    return Result(
        op="allreduce",
        algo="scin",
        backend=backend,
        dtype="fp16",
        redop="sum",
        endpoints=config.system.endpoints,
        sync_included=True,
        seed=seed,
        **more,
    )


def _record(config: Config, span: Span, backend: str, size: int, seed: int) -> dict[str, Any]:
    result = _result(
        config,
        backend,
        seed if backend == "rtl" else None,
        cycles=span.cycles,
        time_s=span.cycles / (config.isa.clock_MHz * 1e6),
        status="OK",
    )
    parts = {f"{name}_cycles": getattr(span, name) for name in PARTS}
    return result.as_dict(
        step=span.name, message_bytes=size, start_cycle=span.start, end_cycle=span.end, **parts
    )


def _cells(span: Span, total: int, cycle: float) -> list[str]:
    return [
        span.name,
        str(span.start),
        str(span.cycles),
        *(str(getattr(span, name)) for name in PARTS),
        f"{span.cycles * cycle:.1f}",
        f"{span.cycles / total:.1%}",
    ]
