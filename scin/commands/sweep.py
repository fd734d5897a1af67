"""``scin sweep``: a collective over a range of sizes."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import click

from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from hw.spec.formats import is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.baselines.parameters import Parameters
from models.collective import collective
from models.prediction import SCIN_INQ, known_algorithms, predict
from scin.collectives.dma_ring import ALGORITHM as DMA_RING
from scin.collectives.dma_ring import RingRunner
from scin.collectives.dma_runner import DmaRunner
from scin.collectives.requests import (
    check_average,
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
    parse_list,
    parse_sizes,
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
from scin.report.plot import plot_bandwidth
from scin.report.predicted import result_of
from scin.report.progress import Stages
from scin.report.record import CollectiveResult
from scin.report.table import Spinner, Table

BACKENDS = ("rtl", "sim")
RTL_ALGORITHMS = ("scin", SCIN_INQ, DMA_RING)


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
    wire_type = _check(config, operation, algorithms, data_type, inq_format, reduce_op)
    if backend == "sim":
        refuse_options("the simulator has no data", "seed")
        check_simulated(operation, synchronise=not no_sync)
    else:
        check_buildable(config)
        if DMA_RING in algorithms and (operation != "allreduce" or no_sync):
            raise InputError(f"algo {DMA_RING}: only allreduce, with synchronisation")
    sizes = parse_sizes(smallest, largest, factor)
    for size in sizes:
        element_count(config, operation, size, data_type)
    table = Table(quiet=quiet, error=takes_stdout(json_path, plot))
    where = "in the simulator" if backend == "sim" else "on RTL"
    title = f"{operation} {where}, {config.name}, {config.system.endpoints} endpoints"
    if backend == "rtl":
        check_capacity(config, operation, sizes[-1])
    results: list[CollectiveResult] = []
    with recorded(json_path, f"sweep {operation}", config) as records:

        def keep(item: CollectiveResult) -> None:
            table.group(item.algo, algorithms)
            table.measurement(item)
            results.append(item)
            records.append(item.as_dict())

        if backend == "sim":
            compile_simulator(Stages(quiet=quiet), algorithms)
            table.head(title)
            for name, size in itertools.product(algorithms, sizes):
                predicted = predict(
                    config, name, size, Parameters(), wire_type, data_type, reduce_op
                )
                keep(result_of(config, predicted, data_type=data_type, reduce_op=reduce_op))
        else:
            kinds = {name: wire_type if name == SCIN_INQ else data_type for name in algorithms}
            spinner = Spinner(quiet=quiet)
            with Simulator(config, seed=seed, report=Stages(quiet=quiet)) as simulator:
                table.head(f"{title}, seed {seed}")
                for item in _on_rtl(
                    simulator,
                    operation,
                    kinds,
                    sizes,
                    data_type,
                    reduce_op,
                    not no_sync,
                    seed,
                    spinner,
                ):
                    keep(item)
        if plot is not None:
            plot_bandwidth(plot, f"{operation}, {config.name}", results, config)
    if any(item.wrong or item.status != "OK" for item in results):
        sys.exit(EXIT_WRONG)


def _backend(asked: str | None, algorithms: list[str]) -> str:
    """RTL where every algorithm runs there, if none was asked for."""
    if asked is not None and asked not in BACKENDS:
        raise InputError(f"backend {asked!r}: must be one of {', '.join(BACKENDS)}")
    absent = [name for name in algorithms if name not in RTL_ALGORITHMS]
    if asked == "rtl" and absent:
        raise InputError(
            f"algo {absent[0]!r} with backend rtl: RTL runs {', '.join(RTL_ALGORITHMS)}; "
            "backend sim has closed forms of the others"
        )
    return asked or ("sim" if absent else "rtl")


def _check(
    config: Config,
    operation: str,
    algorithms: list[str],
    data_type: DataType,
    inq_format: str,
    reduce_op: ReduceOp,
) -> DataType:
    """Whether the types fit the algorithms; what ``scin-inq`` quantizes to."""
    wire_type = parse_data_type(inq_format)
    if collective(operation).copies:
        refuse_options(f"{operation} does not reduce", "redop")
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


def _on_rtl(
    simulator: Simulator,
    operation: str,
    kinds: dict[str, DataType],
    sizes: list[int],
    data_type: DataType,
    reduce_op: ReduceOp,
    synchronise: bool,
    seed: int,
    spinner: Spinner,
) -> Iterator[Measurement]:
    """``kinds``: what each algorithm sends tensors of ``data_type`` as."""
    config = simulator.config
    driver = Driver(simulator, config, progress=spinner)
    runner = CollectiveRunner(config, simulator, driver)
    ring = RingRunner(DmaRunner(config, simulator, driver)) if DMA_RING in kinds else None
    try:
        for name, size in itertools.product(kinds, sizes):
            spinner.watch(simulator, f"{operation} {name} {size} B")
            count = element_count(config, operation, size, data_type)
            inputs = random_tensors(data_type, count, config.system.endpoints, seed)
            if name == DMA_RING and ring is not None:
                measurement = ring.run(inputs, data_type, reduce_op, seed=seed)
            else:
                measurement, _ = run_tensors(
                    runner,
                    operation,
                    inputs,
                    kinds[name],
                    reduce_op,
                    tensor_type=data_type,
                    synchronise=synchronise,
                    seed=seed,
                )
            spinner.stop()
            yield measurement
    finally:
        spinner.stop()
