"""``scin sweep``: a collective over a range of sizes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import click

from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from hw.spec.formats import is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.baselines.parameters import Parameters
from models.prediction import SCIN_INQ, known_algorithms, predict
from scin.collectives.dma_ring import ALGORITHM as DMA_RING
from scin.collectives.dma_ring import RingRunner
from scin.collectives.dma_runner import DmaRunner
from scin.collectives.requests import (
    check_average,
    check_one_of,
    check_operation,
    check_simulated,
    parse_data_type,
    parse_reduce_op,
)
from scin.collectives.runner import CollectiveRunner, check_capacity
from scin.collectives.tensor_runs import check_quantized, element_count, run_tensors
from scin.collectives.tensors import random_tensors
from scin.commands.options import (
    Command,
    common,
    exit_if_wrong,
    parse_list,
    parse_sizes,
    plot_option,
    refuse_operator,
    refuse_options,
)
from scin.errors import InputError
from scin.flow.compilation import compile_simulator
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.report.files import takes_stdout
from scin.report.measurement import Measurement
from scin.report.output import recorded
from scin.report.plot import plot_bandwidth
from scin.report.predicted import result_of
from scin.report.progress import Stages
from scin.report.record import CollectiveResult
from scin.report.table import Spinner, Table

BACKENDS = ("rtl", "sim")
RTL_ALGORITHMS = ("scin", SCIN_INQ, DMA_RING)


@dataclass(frozen=True)
class Task:
    """What is asked for: a collective at every size, by every algorithm."""

    config: Config
    operation: str
    kinds: dict[str, DataType]
    """What each algorithm sends the tensors as."""
    sizes: list[int]
    data_type: DataType
    """Of the tensors."""
    reduce_op: ReduceOp
    seed: int
    synchronise: bool


@click.command(cls=Command)
@click.argument("operation", metavar="OP")
@click.option("--backend", default=None, help="rtl or sim; default: rtl where all --algo run.")
@click.option("--min", "smallest", default="4K", show_default=True, help="Smallest size.")
@click.option("--max", "largest", default="1M", show_default=True, help="Largest size.")
@click.option("--factor", default=2, show_default=True, help="From one size to the next.")
@click.option(
    "--algo",
    default="scin",
    show_default=True,
    help=f"On RTL {', '.join(RTL_ALGORITHMS)}; in the simulator those of scin compare.",
)
@click.option("--dtype", default="fp16", show_default=True, help="fp16 or bf16.")
@click.option(
    "--inq-format",
    default="int8",
    show_default=True,
    help="What scin-inq quantizes to: int8 (int8-block), mxint8, mxfp8, mxfp4 or nvfp4.",
)
@click.option("--redop", default="sum", show_default=True, help="sum, max, min or avg.")
@plot_option("bandwidth over size")
@click.option("--no-sync", is_flag=True, help="Time from the first read to the last response.")
@common(draws="of random data")
def sweep(
    *,
    config: Config,
    operation: str,
    backend: str | None,
    smallest: str,
    largest: str,
    factor: int,
    algo: str,
    dtype: str,
    inq_format: str,
    redop: str,
    plot: str | None,
    no_sync: bool,
    json_path: str | None,
    seed: int,
    quiet: bool,
) -> None:
    """Run OP at sizes from --min to --max, each --factor times the one before.

    The backend sim predicts an All-Reduce instead of running it, at any size.

    scin-inq quantizes the same FP16 or BF16 tensors; its sizes and bandwidths are those of the
    tensors. dma-ring is the software baseline on the same hardware: DMA engines around a ring,
    with a flag behind each chunk; ring, nvls, direct and others are closed forms, see scin compare.
    """
    check_operation(operation)
    data_type, reduce_op = parse_data_type(dtype), parse_reduce_op(redop)
    algorithms = parse_list("algo", algo, known_algorithms())
    backend = _backend(backend, algorithms)
    check_average(config, reduce_op)
    if DMA_RING in algorithms and reduce_op == ReduceOp.AVG:
        raise InputError(f"algo {DMA_RING}: redop sum, max or min; its adders do not divide")
    wire_type = _check_types(config, operation, algorithms, data_type, inq_format, reduce_op)
    _check_backend(config, backend, operation, algorithms, synchronise=not no_sync)
    sizes = parse_sizes(smallest, largest, factor)
    for size in sizes:
        element_count(config, operation, size, data_type)
    kinds = {name: wire_type if name == SCIN_INQ else data_type for name in algorithms}
    task = Task(config, operation, kinds, sizes, data_type, reduce_op, seed, not no_sync)
    table = Table(quiet=quiet, error=takes_stdout(json_path, plot))
    if backend == "rtl":
        check_capacity(config, operation, sizes[-1])
    results: list[CollectiveResult] = []
    with recorded(json_path, f"sweep {operation}", config) as records:
        with ExitStack() as stack:
            found: Iterator[CollectiveResult]
            if backend == "sim":
                compile_simulator(Stages(quiet=quiet), algorithms)
                found = _in_simulator(task)
            else:
                simulator = Simulator(config, seed=seed, report=Stages(quiet=quiet))
                found = _on_rtl(task, stack.enter_context(simulator), Spinner(quiet=quiet))
            table.head(_title(task, backend))
            for item in found:
                results.append(item)
                records.append(item.as_dict())
                table.group(item.algo, algorithms)
                table.measurement(item)
        if plot is not None:
            plot_bandwidth(plot, f"{operation}, {config.name}", results, config)
    exit_if_wrong(results)


def _backend(asked: str | None, algorithms: list[str]) -> str:
    """RTL where every algorithm runs there, if none was asked for."""
    if asked is not None:
        check_one_of("backend", asked, BACKENDS)
    absent = [name for name in algorithms if name not in RTL_ALGORITHMS]
    if asked == "rtl" and absent:
        raise InputError(
            f"algo {absent[0]!r} with backend rtl: RTL runs {', '.join(RTL_ALGORITHMS)}; "
            "backend sim has closed forms of the others"
        )
    return asked or ("sim" if absent else "rtl")


def _check_backend(
    config: Config, backend: str, operation: str, algorithms: list[str], *, synchronise: bool
) -> None:
    """Refuse what the backend does not run, or does not heed."""
    if backend == "sim":
        refuse_options("the simulator has no data", "seed")
        check_simulated(operation, synchronise=synchronise)
        return
    check_buildable(config)
    if DMA_RING in algorithms and (operation != "allreduce" or not synchronise):
        raise InputError(f"algo {DMA_RING}: only allreduce, with synchronisation")


def _check_types(
    config: Config,
    operation: str,
    algorithms: list[str],
    data_type: DataType,
    inq_format: str,
    reduce_op: ReduceOp,
) -> DataType:
    """Whether the types fit the algorithms; what ``scin-inq`` quantizes to."""
    wire_type = parse_data_type(inq_format)
    refuse_operator(operation)
    if is_block_scaled(data_type):
        name = data_type.name.lower()
        raise InputError(f"dtype {name}: must be fp16 or bf16; --algo {SCIN_INQ} quantizes")
    if SCIN_INQ not in algorithms:
        refuse_options(f"only --algo {SCIN_INQ} quantizes", "inq_format")
        return wire_type
    if not is_block_scaled(wire_type):
        raise InputError(f"inq-format {inq_format}: must be a block-scaled format")
    check_quantized(config, operation, wire_type, reduce_op)
    return wire_type


def _title(task: Task, backend: str) -> str:
    where = "in the simulator" if backend == "sim" else "on RTL"
    endpoints = task.config.system.endpoints
    title = f"{task.operation} {where}, {task.config.name}, {endpoints} endpoints"
    return title if backend == "sim" else f"{title}, seed {task.seed}"


def _in_simulator(task: Task) -> Iterator[CollectiveResult]:
    """Without tensors: the same time whatever they hold."""
    config, data_type, reduce_op = task.config, task.data_type, task.reduce_op
    for name, size in itertools.product(task.kinds, task.sizes):
        predicted = predict(
            config, name, size, Parameters(), task.kinds[name], data_type, reduce_op
        )
        yield result_of(config, predicted, data_type=data_type, reduce_op=reduce_op)


def _on_rtl(task: Task, simulator: Simulator, spinner: Spinner) -> Iterator[Measurement]:
    """On random tensors, the same for every algorithm."""
    config = task.config
    driver = Driver(simulator, config, progress=spinner)
    runner = CollectiveRunner(config, simulator, driver)
    ring = RingRunner(DmaRunner(config, simulator, driver)) if DMA_RING in task.kinds else None
    try:
        for name, size in itertools.product(task.kinds, task.sizes):
            spinner.watch(simulator, f"{task.operation} {name} {size} B")
            count = element_count(config, task.operation, size, task.data_type)
            inputs = random_tensors(task.data_type, count, config.system.endpoints, task.seed)
            if name == DMA_RING and ring is not None:
                measurement = ring.run(inputs, task.data_type, task.reduce_op, seed=task.seed)
            else:
                measurement, _ = run_tensors(
                    runner,
                    task.operation,
                    inputs,
                    task.kinds[name],
                    task.reduce_op,
                    tensor_type=task.data_type,
                    synchronise=task.synchronise,
                    seed=task.seed,
                )
            spinner.stop()
            yield measurement
    finally:
        spinner.stop()
