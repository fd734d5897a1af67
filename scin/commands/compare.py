"""``scin compare``: the in-switch accelerator beside its baselines, over size."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hw.spec.config import Config
from models.baselines.measured import measured
from models.baselines.parameters import ParameterError, Parameters, parse
from models.prediction import SCIN, SCIN_INQ, Prediction, known_algorithms, predict
from scin.collectives.requests import (
    check_half_elements,
    check_wire_type,
    parse_wire_type,
)
from scin.commands.options import (
    Command,
    common,
    parse_list,
    parse_sizes,
    plot_option,
    refuse_options,
)
from scin.errors import InputError
from scin.flow.compilation import compile_simulator
from scin.report.files import takes_stdout
from scin.report.output import recorded
from scin.report.plot import Line, Panel, Point, plot_panels
from scin.report.predicted import result_of
from scin.report.progress import Stages
from scin.report.table import Column, TextTable

DEFAULT = "scin,scin-inq,ring,nvls,twoshot"
REFERENCE = "ring"


@click.command(cls=Command)
@click.argument("operation", metavar="[OP]", default="allreduce")
@click.option("--algo", default=DEFAULT, show_default=True, help="Comma-separated.")
@click.option("--min", "smallest", default="1K", show_default=True, help="Smallest size.")
@click.option("--max", "largest", default="1G", show_default=True, help="Largest size.")
@click.option("--factor", default=2, show_default=True, help="From one size to the next.")
@click.option("--inq-format", default="int8", show_default=True, help="Format of scin-inq.")
@click.option(
    "--parameter",
    "texts",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change an assumption about the baselines; repeatable; see docs/simulator.md.",
)
@plot_option("bandwidth and speed-up over size")
@common(default="dgx8")
def compare(
    *,
    config: Config,
    operation: str,
    algo: str,
    smallest: str,
    largest: str,
    factor: int,
    inq_format: str,
    texts: tuple[str, ...],
    plot: str | None,
    json_path: str | None,
    quiet: bool,
) -> None:
    """All-Reduce by several algorithms on one fabric: time, bandwidth, speed-up over ring.

    The accelerator is simulated cycle by cycle; ring, direct, nvls, twoshot, oneshot, tree and
    dma-ring are closed forms on the same links. Synchronisation is included. Beside scin-inq
    and plain baselines, plain scin is shown as well.
    """
    if operation != "allreduce":
        raise InputError(f"operation {operation!r}: supported here is allreduce")
    algorithms = with_plain(parse_algorithms(algo))
    wire = parse_wire_type(inq_format)
    if SCIN_INQ not in algorithms:
        refuse_options(f"only --algo {SCIN_INQ} quantizes", "inq_format")
    else:
        check_wire_type(config, wire)
    sizes = parse_sizes(smallest, largest, factor)
    for size in sizes:
        check_half_elements(size)
    parameters = parse_parameters(texts, [*dict.fromkeys((*algorithms, REFERENCE))])
    columns: list[Column] = [("size", "(B)", 12)]
    columns += [(name, "(us)", 11) for name in algorithms]
    columns += [(f"{name}/{REFERENCE}", "(x)", 14) for name in algorithms if name != REFERENCE]
    table = TextTable(columns, quiet=quiet, error=takes_stdout(json_path, plot))
    compile_simulator(Stages(quiet=quiet), algorithms)
    table.head(
        f"allreduce in the simulator, {config.name}, {config.system.endpoints} accelerators, "
        f"{config.system.switches} switches; {software_text(parameters)}"
    )
    predictions: list[Prediction] = []
    with recorded(json_path, "compare", config) as records:
        for size in sizes:
            row: list[Prediction] = []
            for name in algorithms:
                row.append(predict(config, name, size, parameters, wire))
                records.append(result_of(config, row[-1]).as_dict())
            reference = predict(config, REFERENCE, size, parameters).seconds
            table.row(
                [
                    str(size),
                    *(f"{item.seconds * 1e6:.3f}" for item in row),
                    *(
                        f"{reference / item.seconds:.2f}"
                        for item in row
                        if item.algorithm != REFERENCE
                    ),
                ]
            )
            predictions += row
        if plot is not None:
            _plot(plot, config, predictions, parameters)


def parse_algorithms(text: str) -> list[str]:
    return parse_list("algo", text, known_algorithms())


def with_plain(algorithms: Sequence[str]) -> list[str]:
    """``algorithms``, and ``scin`` before ``scin-inq`` where baselines are plain: what quantizing
    gains is told apart from what the switch gains."""
    names = list(algorithms)
    if SCIN_INQ in names and SCIN not in names and len(names) > 1:
        names.insert(names.index(SCIN_INQ), SCIN)
    return names


def software_text(parameters: Parameters) -> str:
    """What is counted beside the hardware's times."""
    costs = {
        "cores": parameters.software,
        "scin": parameters.scin_software,
        "DMA engines": parameters.engine_software,
    }
    if not any(costs.values()):
        return "hardware alone, no software"
    told = ", ".join(f"{name} {seconds * 1e6:.2f}" for name, seconds in costs.items())
    return f"software in us per call: {told}"


def parse_parameters(texts: tuple[str, ...], algorithms: Sequence[str]) -> Parameters:
    """``algorithms``: those that the command shows."""
    try:
        return parse(texts, algorithms)
    except ParameterError as error:
        raise InputError(f"parameter {error}") from error


def _plot(
    target: str, config: Config, predictions: list[Prediction], parameters: Parameters
) -> None:
    """With a software overhead, what was measured on GPUs beside it."""
    names = list(dict.fromkeys(item.algorithm for item in predictions))
    bandwidth, speedup = [], []
    for name in names:
        mine = [item for item in predictions if item.algorithm == name]
        points: list[Point] = [(item.size, item.algbw / 1e9) for item in mine]
        bandwidth.append(Line(name, points))
        gains: list[Point] = [
            (item.size, predict(config, REFERENCE, item.size, parameters).seconds / item.seconds)
            for item in mine
        ]
        speedup.append(Line(name, gains))
    if parameters.software_us:
        for name in dict.fromkeys(item.algorithm for item in measured()):
            marks: list[Point] = [
                (m.size, m.size / m.seconds / 1e9) for m in measured() if m.algorithm == name
            ]
            if name in names:
                style = names.index(name)
                bandwidth.append(Line(f"{name}, 6 GPUs measured", marks, style, marks_only=True))
    plot_panels(
        target,
        f"All-Reduce, {config.name}, {config.system.endpoints} accelerators",
        [
            Panel("size", "algorithm bandwidth (GB/s)", bandwidth, log_y=True, sizes=True),
            Panel("size", f"speed-up over {REFERENCE}", speedup, sizes=True),
        ],
    )
