"""``scin sweep``: a collective over a range of sizes."""

from __future__ import annotations

import itertools
import sys

import click

from hw.formats import is_block_scaled
from hw.formats.data_type import DataType
from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from hw.spec.instruction import ReduceOp
from models.baselines.parameters import Parameters
from models.prediction import SCIN_INQ, predict
from scin.dma.ring import RingRunner
from scin.dma.runner import DmaRunner
from scin.driver import Driver
from scin.files import takes_stdout
from scin.options import (
    EXIT_WRONG,
    InputError,
    check_operation,
    common,
    parse_data_type,
    parse_reduce_op,
    parse_sizes,
    plot_option,
    recorded,
)
from scin.plot import plot_bandwidth
from scin.run import check_quantized, element_count, run_tensors
from scin.runner import CollectiveRunner, Measurement, check_capacity
from scin.simulator import Simulator
from scin.table import Spinner, Table
from scin.tensors import random_tensors

BACKENDS = ("rtl", "sim")
ALGORITHMS = ("scin", "scin-inq", "ring")


@click.command()
@click.argument("operation", metavar="OP")
@click.option("--backend", default="rtl", show_default=True, help="rtl or sim.")
@click.option("--min", "smallest", default="4K", show_default=True, help="Smallest size.")
@click.option("--max", "largest", default="1M", show_default=True, help="Largest size.")
@click.option("--factor", default=2, show_default=True, help="From one size to the next.")
@click.option(
    "--algo", default="scin", show_default=True, help="scin, scin-inq, ring; comma-separated."
)
@click.option("--dtype", default="fp16", show_default=True, help="fp16 or bf16.")
@click.option(
    "--inq-format",
    default="int8",
    show_default=True,
    help="What scin-inq quantizes to: int8 (int8-block), mxint8, mxfp8, mxfp4 or nvfp4.",
)
@click.option("--redop", default="sum", show_default=True, help="sum, max or min.")
@plot_option("bandwidth over size")
@click.option("--no-sync", is_flag=True, help="Time from the first read to the last response.")
@common()
def sweep(
    *,
    config: Config,
    operation: str,
    backend: str,
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
    data it stands for. ring is the software baseline: DMA engines around a ring, with a flag
    behind each chunk.
    """
    check_operation(operation)
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r}: must be one of {', '.join(BACKENDS)}")
    data_type, reduce_op = parse_data_type(dtype), parse_reduce_op(redop)
    wire_type = parse_data_type(inq_format)
    algorithms = algo.split(",")
    for name in algorithms:
        if name not in ALGORITHMS:
            raise InputError(f"algo {name!r}: must be among {', '.join(ALGORITHMS)}")
    if is_block_scaled(data_type):
        raise InputError(f"dtype {dtype}: must be fp16 or bf16; --algo scin-inq quantizes")
    if "scin-inq" in algorithms:
        if not is_block_scaled(wire_type):
            raise InputError(f"inq-format {inq_format}: must be a block-scaled format")
        check_quantized(config, operation, wire_type, reduce_op)
    if backend == "rtl":
        check_buildable(config)
    elif operation != "allreduce" or no_sync or "ring" in algorithms:
        raise InputError(
            "backend sim: allreduce with synchronisation, scin and scin-inq; for ring and other "
            "baselines: scin compare"
        )
    if "ring" in algorithms and (operation != "allreduce" or no_sync):
        raise InputError(f"algo ring: only allreduce, with synchronisation, not {operation}")
    endpoints = config.system.endpoints
    sizes = parse_sizes(smallest, largest, factor)
    for size in sizes:
        element_count(config, operation, size, data_type)
    table = Table(quiet=quiet, error=takes_stdout(json_path, plot))
    if backend == "rtl":
        check_capacity(config, operation, sizes[-1])
    measurements: list[Measurement] = []
    with recorded(json_path, f"sweep {operation}", config) as records:

        def keep(item: Measurement) -> None:
            table.measurement(item)
            measurements.append(item)
            records.append(item.as_dict())

        if backend == "sim":
            table.head(f"{operation} in the simulator, {config.name}, {endpoints} endpoints")
            for name, size in itertools.product(algorithms, sizes):
                if len(algorithms) > 1 and size == sizes[0]:
                    table.line(f"# {name}")
                keep(_simulated(config, name, size, data_type, reduce_op, wire_type))
        else:
            spinner = Spinner(quiet=quiet)
            with Simulator(config, seed=seed, report=table.line) as simulator:
                driver = Driver(simulator, config, progress=spinner)
                runner = CollectiveRunner(config, simulator, driver)
                ring = None
                if "ring" in algorithms:
                    ring = RingRunner(DmaRunner(config, simulator, driver))
                table.head(f"{operation} on RTL, {config.name}, {endpoints} endpoints, seed {seed}")
                try:
                    for name, size in itertools.product(algorithms, sizes):
                        if len(algorithms) > 1 and size == sizes[0]:
                            table.line(f"# {name}")
                        spinner.watch(simulator, f"{operation} {name} {size} B")
                        count = element_count(config, operation, size, data_type)
                        inputs = random_tensors(data_type, count, endpoints, seed)
                        if name == "ring" and ring is not None:
                            measurement = ring.run(inputs, data_type, reduce_op, seed=seed)
                        else:
                            kind = wire_type if name == "scin-inq" else data_type
                            measurement, _ = run_tensors(
                                runner,
                                operation,
                                inputs,
                                kind,
                                reduce_op,
                                tensor_type=data_type,
                                synchronise=not no_sync,
                                seed=seed,
                            )
                        if name == "scin-inq":
                            measurement = measurement.standing_for(size, data_type)
                        spinner.stop()
                        keep(measurement)
                finally:
                    spinner.stop()
        if plot is not None:
            plot_bandwidth(plot, f"{operation}, {config.name}", measurements, config)
    if any(item.wrong or item.status != "OK" for item in measurements):
        sys.exit(EXIT_WRONG)


def _simulated(
    config: Config,
    algorithm: str,
    size: int,
    data_type: DataType,
    reduce_op: ReduceOp,
    wire_type: DataType,
) -> Measurement:
    """What the simulator says of an All-Reduce, in the terms of a measurement."""
    item = predict(config, algorithm, size, Parameters(), wire_type, data_type)
    rate = config.link.gigabytes_per_second * config.system.switches
    return Measurement(
        op="allreduce",
        algo=algorithm,
        backend="sim",
        dtype=data_type.name.lower(),
        redop=reduce_op.name.lower(),
        endpoints=config.system.endpoints,
        size_bytes=size,
        count=element_count(config, "allreduce", size, data_type),
        cycles=round(item.seconds * config.isa.clock_MHz * 1e6),
        time_s=item.seconds,
        algbw_GBps=item.algbw / 1e9,
        busbw_GBps=item.busbw / 1e9,
        util=item.algbw / 1e9 / rate,
        wrong=None,
        status="OK",
        sync_included=True,
        seed=None,
        counters=[],
        arrived=None,
        visible=None,
        wire=(wire_type if algorithm == SCIN_INQ else data_type).name.lower(),
        payload_flits_sent=None,
        payload_flits_received=None,
        tensor_dtype=data_type.name.lower() if algorithm == SCIN_INQ else None,
        agreement_cycles=round(item.agreement_cycles),
    )
