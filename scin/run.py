"""``scin run``: one collective on RTL, on the user's tensors, checked."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np

from hw.formats import block_format, element_bits, is_block_scaled
from hw.formats.data_type import DataType
from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from hw.spec.instruction import ReduceOp
from scin.driver import Driver
from scin.files import OutputFile, OutputFolder, check_folder, takes_stdout
from scin.options import (
    EXIT_WRONG,
    InputError,
    check_operation,
    common,
    fault_option,
    parse_data_type,
    parse_faults,
    parse_reduce_op,
    parse_size,
    recorded,
)
from scin.quantized import OPERATIONS as QUANTIZED_OPERATIONS
from scin.quantized import element_bytes, run_quantized
from scin.runner import CollectiveRunner, Measurement, check_capacity
from scin.simulator import Simulator
from scin.soak.run import UNREPAIRABLE, with_faults
from scin.steps import measured_steps
from scin.table import Spinner, Table
from scin.tensors import (
    FILE_TYPES,
    Tensors,
    output_shape,
    random_tensors,
    read_tensors,
    tensor_file,
    write_tensors,
)
from scin.wave import Waveform

DEFAULT_SIZES = ("4KiB",)
WHOLE_VECTOR = ("allgather", "reducescatter")


@click.command()
@click.argument("operation", metavar="OP")
@click.option("--size", "sizes", multiple=True, metavar="SIZE", help="Bytes; repeatable.")
@click.option(
    "--dtype",
    default="fp16",
    show_default=True,
    help="fp16, bf16, int8, mxint8, mxfp8, mxfp4 or nvfp4.",
)
@click.option("--redop", default="sum", show_default=True, help="sum, max or min.")
@click.option("--input", "pattern", metavar="GLOB", help="One .npy file per endpoint.")
@click.option("--output", type=OutputFolder(), metavar="DIR", help="Write endpoint<i>.npy there.")
@click.option(
    "--wave",
    type=OutputFile(".fst", ".vcd"),
    metavar="FILE.fst|vcd",
    help="Write a waveform and a GTKWave save file.",
)
@click.option("--steps", is_flag=True, help="Print the latency of each step, one-wave sizes.")
@fault_option
@click.option("--no-sync", is_flag=True, help="Time from the first read to the last response.")
@common()
def run(
    *,
    config: Config,
    operation: str,
    sizes: tuple[str, ...],
    dtype: str,
    redop: str,
    pattern: str | None,
    output: str | None,
    wave: str | None,
    steps: bool,
    no_sync: bool,
    faults: tuple[str, ...],
    json_path: str | None,
    seed: int,
    quiet: bool,
) -> None:
    """Run OP (allreduce, reduce, broadcast, allgather, reducescatter) on RTL.

    The result is compared bit for bit with the golden model; #wrong counts elements that
    differ. A block-scaled dtype (int8, mxint8, mxfp8, mxfp4, nvfp4) takes FP16 tensors,
    quantizes them, reduces them quantized in the switch, and dequantizes the result; --size
    then counts the bytes of quantized elements. --fault damages the links, and builds the system
    with the link layer that repairs them.

    Exit status: 0 all right, 1 wrong or failed, 2 bad input, 3 a tool is missing.
    """
    check_operation(operation)
    rates = parse_faults(faults)
    if UNREPAIRABLE & set(rates):
        names = ", ".join(kind.name.lower() for kind in UNREPAIRABLE & set(rates))
        raise InputError(f"fault {names}: only for scin soak")
    if rates:
        config = with_faults(config, rates)
    check_buildable(config)
    data_type, reduce_op = parse_data_type(dtype), parse_reduce_op(redop)
    quantized = is_block_scaled(data_type)
    if quantized:
        check_quantized(config, operation, data_type, reduce_op)
    tensor_type = DataType.FP16 if quantized else data_type
    endpoints = config.system.endpoints
    if pattern is not None and sizes:
        raise InputError("--input and --size exclude each other: the files decide the size")
    if output is not None and len(sizes) > 1:
        raise InputError("--output takes one --size, or the tensors of --input")
    tensors = None
    if pattern is not None:
        tensors = read_tensors(pattern, tensor_type, endpoints)
        counts = [tensors.bits[0].size]
        if operation == "reducescatter":
            element_count(config, operation, tensors.bits[0].nbytes, tensor_type)
    else:
        counts = [
            element_count(config, operation, parse_size(text), data_type)
            for text in sizes or DEFAULT_SIZES
        ]
    for count in counts:
        # Before any tensor is made.
        check_capacity(
            config, operation, collective_bytes(config, operation, data_type, count), data_type
        )

    if output is not None:
        like = tensors or Tensors([], (counts[0],), FILE_TYPES[tensor_type][0])
        shape = output_shape(operation, like.shape, endpoints)
        files = [tensor_file(index) for index in range(endpoints)]
        room = len(files) * math.prod(shape) * like.file_type.itemsize
        check_folder("output", output, files, room=room)

    table = Table(quiet=quiet, error=takes_stdout(json_path, wave))
    spinner = Spinner(quiet=quiet)
    outputs: list[np.ndarray] = []
    with recorded(json_path, f"run {operation}", config) as records:
        with ExitStack() as stack:
            waveform = stack.enter_context(Waveform(wave, config)) if wave else None
            simulator = stack.enter_context(
                Simulator(
                    config,
                    seed=seed,
                    faults=rates,
                    wave=waveform.scratch if waveform else None,
                    report=table.line,
                )
            )
            stack.callback(spinner.stop)
            driver = Driver(simulator, config, progress=spinner)
            runner = CollectiveRunner(config, simulator, driver)
            table.head(f"{operation} on RTL, {config.name}, {endpoints} endpoints, seed {seed}")
            for count in counts:
                inputs = (
                    tensors.bits
                    if tensors is not None
                    else random_tensors(tensor_type, count, endpoints, seed)
                )
                spinner.watch(simulator, f"{operation} {inputs[0].nbytes} B")
                measurement, outputs = run_tensors(
                    runner,
                    operation,
                    inputs,
                    data_type,
                    reduce_op,
                    synchronise=not no_sync,
                    seed=seed,
                )
                spinner.stop()
                table.measurement(measurement)
                records.append(measurement.as_dict())
                for kind in rates:
                    struck = simulator.disturbances(kind)
                    table.line(f"# fault {kind.name.lower()}: struck {struck} times so far")
                if steps:
                    print_steps(table, config, measurement)
        if waveform is not None:
            print_waveform(table, waveform)
        if output is not None:
            write_tensors(Path(output), outputs, shape, like.file_type)
    if any(record["wrong"] or record["status"] != "OK" for record in records):
        sys.exit(EXIT_WRONG)


def print_waveform(table: Table, waveform: Waveform) -> None:
    if waveform.ordinary:
        table.line(f"# waveform {waveform.path}, open it with: gtkwave {waveform.save_file}")
    if waveform.lacks_fst:
        table.line("# FST needs lz4.h and zlib.h: apt-get install liblz4-dev zlib1g-dev")


def print_steps(table: Table, config: Config, measurement: Measurement) -> None:
    """Closed form beside measurement, where there is one."""
    one_wave = min(config.isa.wave_bytes, config.fabric.max_payload_bytes)
    unquantized = measurement.algo == "scin"
    if measurement.op != "allreduce" or measurement.size_bytes > one_wave or not unquantized:
        table.line(f"# --steps: only for an unquantized allreduce of at most {one_wave} B")
        return
    table.line(f"# {'step':42} {'closed form':>16} {'cycles':>7} {'measured':>9}")
    for name, formula, expected, measured in measured_steps(config, measurement):
        table.line(f"# {name:42} {formula:>16} {expected:7} {measured:9}")


def run_tensors(
    runner: CollectiveRunner,
    operation: str,
    inputs: list[np.ndarray],
    data_type: DataType,
    reduce_op: ReduceOp,
    *,
    synchronise: bool,
    seed: int,
) -> tuple[Measurement, list[np.ndarray]]:
    """One collective of bit patterns (for a block-scaled type those of FP16 tensors), and per
    endpoint the bytes of the result."""
    if is_block_scaled(data_type):
        tensors = [bits.view(np.float16) for bits in inputs]
        result = run_quantized(
            runner, operation, tensors, data_type, synchronise=synchronise, seed=seed
        )
        return result.measurement, [output.view(np.uint8) for output in result.outputs]
    outcome = runner.run(
        operation, inputs, data_type, reduce_op, synchronise=synchronise, seed=seed
    )
    return outcome.measurement, outcome.outputs


def check_quantized(
    config: Config, operation: str, data_type: DataType, reduce_op: ReduceOp
) -> None:
    name = data_type.name.lower()
    if name not in config.isa.block_formats:
        built = ", ".join(config.isa.block_formats) or "none"
        raise InputError(f"dtype {name}: not among isa.block_formats of {config.name}: {built}")
    if operation not in QUANTIZED_OPERATIONS:
        raise InputError(
            f"operation {operation!r} with dtype {name}: supported are "
            f"{', '.join(QUANTIZED_OPERATIONS)}"
        )
    if reduce_op != ReduceOp.SUM:
        raise InputError(f"redop {reduce_op.name.lower()} with dtype {name}: must be sum")


def collective_bytes(config: Config, operation: str, data_type: DataType, count: int) -> int:
    """Size of a collective of ``count`` elements per endpoint, as nccl-tests counts it."""
    if is_block_scaled(data_type):
        return element_bytes(config, operation, data_type, count)
    pieces = config.system.endpoints if operation == "allgather" else 1
    return count * pieces * element_bits(config, data_type) // 8


def element_count(config: Config, operation: str, size: int, data_type: DataType) -> int:
    """Elements per endpoint of a collective of ``size`` bytes, as nccl-tests counts."""
    endpoints = config.system.endpoints
    if is_block_scaled(data_type):
        entry = block_format(config, data_type)
        unit, what, per_unit = entry.block_bytes, "the block", entry.block
    else:
        unit, what, per_unit = element_bits(config, data_type) // 8, "the element size", 1
    if operation in WHOLE_VECTOR:
        unit, what, per_unit = unit * endpoints, f"endpoints x {what}", per_unit * endpoints
    if size <= 0 or size % unit:
        raise InputError(f"size {size}: must be a positive multiple of {unit} B, {what}")
    return size // unit * per_unit // (endpoints if operation == "allgather" else 1)
