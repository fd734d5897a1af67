"""``scin run``: one collective on RTL, on the user's tensors, checked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from hw.spec.formats import block_format, is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from scin.collectives.requests import check_operation, choose_data_type, parse_reduce_op
from scin.collectives.runner import CollectiveRunner
from scin.collectives.steps import measured_steps
from scin.collectives.tensor_runs import (
    check_collective,
    check_count,
    check_shards,
    element_count,
    run_tensors,
)
from scin.collectives.tensors import (
    FILE_TYPES,
    Tensors,
    as_floating,
    output_shape,
    random_bytes,
    random_tensors,
    read_tensors,
    refuse_older_results,
    result_files,
    write_tensors,
)
from scin.commands.options import (
    Command,
    common,
    exit_if_wrong,
    fault_option,
    parse_faults,
    parse_size,
    refuse_operator,
    refuse_options,
)
from scin.errors import InputError
from scin.host.driver import Driver
from scin.host.simulator import Faults, Simulator
from scin.host.wave import Waveform
from scin.report.files import OutputFile, OutputFolder, check_folder, takes_stdout
from scin.report.measurement import Measurement
from scin.report.output import recorded
from scin.report.progress import Stages
from scin.report.table import Spinner, Table
from scin.soak.run import UNREPAIRABLE, with_faults

DEFAULT_SIZES = ("4KiB",)


def with_asked_faults(config: Config, options: dict[str, Any]) -> Config:
    """With the link layer and the circuits that --fault needs, if it is given."""
    rates = parse_faults(options["faults"])
    if UNREPAIRABLE & set(rates):
        names = ", ".join(kind.name.lower() for kind in UNREPAIRABLE & set(rates))
        raise InputError(f"fault {names}: only for scin soak")
    return with_faults(config, rates) if rates else config


def as_written(data_type: DataType | None, count: int) -> Tensors:
    """What files of ``count`` random elements look like; FP16 for a block-scaled type."""
    if data_type is None:
        return Tensors([], (count,), np.dtype(np.uint8), None)
    tensor_type = DataType.FP16 if is_block_scaled(data_type) else data_type
    return Tensors([], (count,), FILE_TYPES[tensor_type][0], tensor_type)


@dataclass(frozen=True)
class Content:
    """What goes into a collective: the user's tensors, or random ones of one size or several."""

    data_type: DataType | None
    """What it is run as; None for bytes."""
    counts: list[int]
    """Elements per endpoint, of one run after the other."""
    tensors: Tensors | None = None
    """The user's; None where they are random."""

    @property
    def like(self) -> Tensors:
        """What they look like in files."""
        return self.tensors or as_written(self.data_type, self.counts[0])

    def inputs(self, count: int, endpoints: int, seed: int) -> list[np.ndarray]:
        """Per endpoint, the ``count`` elements that it brings."""
        if self.tensors is not None:
            return self.tensors.content
        if self.like.tensor_type is None:
            return random_bytes(count, endpoints, seed)
        return random_tensors(self.like.tensor_type, count, endpoints, seed)


@dataclass(frozen=True)
class Task:
    """What is asked for: a collective, what goes into it, and how it is run."""

    config: Config
    operation: str
    reduce_op: ReduceOp
    content: Content
    faults: Faults
    seed: int
    synchronise: bool

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Of the tensor that an endpoint gets."""
        endpoints = self.config.system.endpoints
        return output_shape(self.operation, self.content.like.shape, endpoints)


@click.command(cls=Command)
@click.argument("operation", metavar="OP")
@click.option("--size", "sizes", multiple=True, metavar="SIZE", help="Bytes; repeatable.")
@click.option(
    "--dtype",
    help="fp16 (default), bf16; block-scaled: int8 (or int8-block), mxint8, mxfp8, mxfp4, nvfp4; "
    "bytes, which are only copied.",
)
@click.option("--redop", default="sum", show_default=True, help="sum, max, min or avg.")
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
@common(draws="of random data", adapt=with_asked_faults)
def run(
    *,
    config: Config,
    operation: str,
    sizes: tuple[str, ...],
    dtype: str | None,
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
    differ. A block-scaled dtype (int8, mxint8, mxfp8, mxfp4, nvfp4) takes FP16 or BF16 tensors,
    quantizes them, reduces them quantized in the switch, and dequantizes the result; sizes and
    bandwidths are those of the tensors. --fault damages the links, and builds the system
    with the link layer that repairs them.

    FP16 is read from float16 files, BF16 from uint16 bit patterns or two-byte void. broadcast and
    allgather copy files of any type.

    Exit status: 0 all right, 1 wrong or failed, 2 bad input, 3 a tool is missing.
    """
    check_operation(operation)
    if quiet:
        refuse_options("--quiet prints nothing", "steps")
    refuse_operator(operation)
    rates = parse_faults(faults)
    check_buildable(config)
    data_type = choose_data_type(operation, dtype, given=pattern is not None)
    reduce_op = parse_reduce_op(redop)
    check_collective(config, operation, data_type, reduce_op)
    if pattern is not None:
        refuse_beside_files(sizes, drawn=bool(rates))
    if output is not None and len(sizes) > 1:
        raise InputError("--output takes one --size, or the tensors of --input")
    if pattern is not None:
        content = read_content(config, operation, data_type, pattern, typed=dtype is not None)
    else:
        content = drawn_content(config, operation, data_type, sizes or DEFAULT_SIZES)
    task = Task(config, operation, reduce_op, content, rates, seed, synchronise=not no_sync)
    check_sizes(task, steps=steps)
    if output is not None:
        check_output(task, output)

    table = Table(quiet=quiet, error=takes_stdout(json_path, wave))
    results: list[Measurement] = []
    with recorded(json_path, f"run {operation}", config) as records:
        with ExitStack() as stack:
            waveform = stack.enter_context(Waveform(wave, config)) if wave else None
            simulator = stack.enter_context(simulator_for(task, waveform, quiet=quiet))
            for measurement, outputs in run_sizes(task, simulator, table):
                results.append(measurement)
                records.append(measurement.as_dict())
                try:
                    table.measurement(measurement)
                    print_disturbances(table, task, simulator)
                    if steps and not measurement.failed:
                        print_steps(table, config, measurement)
                finally:
                    # Before the waveform, and whether or not there is room for the table.
                    if output is not None:
                        keep_tensors(output, task, measurement, outputs, table)
        if waveform is not None:
            print_waveform(table, waveform)
    exit_if_wrong(results)


def keep_tensors(
    folder: str, task: Task, measurement: Measurement, outputs: list[np.ndarray], table: Table
) -> None:
    """Write what the endpoints got, unless the collective failed."""
    if measurement.failed:
        table.line(f"# {folder}: nothing written, since the collective failed")
        return
    write_tensors(Path(folder), outputs, task.result_shape, task.content.like.file_type)


def refuse_beside_files(sizes: tuple[str, ...], *, drawn: bool) -> None:
    """Refuse what does nothing beside --input; ``drawn``: whether faults are drawn at random."""
    if not drawn:
        refuse_options("the files are the data, and no fault is drawn", "seed")
    if sizes:
        raise InputError("--input and --size exclude each other: the files decide the size")


def read_content(
    config: Config, operation: str, data_type: DataType | None, pattern: str, *, typed: bool
) -> Content:
    """The tensors that ``pattern`` names; ``typed``: whether the user said what they are."""
    tensors = read_tensors(
        pattern,
        data_type,
        config.system.endpoints,
        memory_bytes=config.endpoint.memory_bytes,
    )
    if not typed:
        tensors = as_floating(tensors)
        data_type = tensors.tensor_type
    check_shards(config, operation, tensors)
    return Content(data_type, [tensors.content[0].size], tensors)


def drawn_content(
    config: Config, operation: str, data_type: DataType | None, sizes: tuple[str, ...]
) -> Content:
    """Random tensors of the ``sizes`` that the user names."""
    tensor_type = as_written(data_type, 1).tensor_type
    counts = [element_count(config, operation, parse_size(text), tensor_type) for text in sizes]
    return Content(data_type, counts)


def check_sizes(task: Task, *, steps: bool) -> None:
    """Raise an error for a size that cannot be run, before any tensor is made; ``steps``: whether
    its steps are asked for, too."""
    config, operation, data_type = task.config, task.operation, task.content.data_type
    for count in task.content.counts:
        size = check_count(config, operation, data_type, count)
        if steps:
            check_steps(config, operation, data_type, size)


def check_output(task: Task, folder: str) -> None:
    """Raise :class:`InputError` if the folder cannot hold the results."""
    files = result_files(task.operation, task.config.system.endpoints)
    refuse_older_results(folder, files)
    room = len(files) * math.prod(task.result_shape) * task.content.like.file_type.itemsize
    check_folder("output", folder, files, room=room)


def simulator_for(task: Task, waveform: Waveform | None, *, quiet: bool) -> Simulator:
    return Simulator(
        task.config,
        seed=task.seed,
        faults=task.faults,
        wave=waveform.scratch if waveform else None,
        report=Stages(quiet=quiet),
    )


def run_sizes(
    task: Task, simulator: Simulator, table: Table
) -> Iterator[tuple[Measurement, list[np.ndarray]]]:
    """One run after the other: what is measured, and per endpoint the bytes of the result."""
    config, content = task.config, task.content
    spinner = Spinner(quiet=table.quiet)
    try:
        driver = Driver(simulator, config, progress=spinner)
        runner = CollectiveRunner(config, simulator, driver)
        print_head(table, task)
        for count in content.counts:
            inputs = content.inputs(count, config.system.endpoints, task.seed)
            spinner.watch(simulator, f"{task.operation} {inputs[0].nbytes} B")
            outcome = run_tensors(
                runner,
                task.operation,
                inputs,
                content.data_type,
                task.reduce_op,
                tensor_type=content.like.tensor_type,
                synchronise=task.synchronise,
                seed=task.seed,
            )
            spinner.stop()
            yield outcome
    finally:
        spinner.stop()


def print_head(table: Table, task: Task) -> None:
    """What runs, and of what type the tensors are where that may be mistaken."""
    config, content = task.config, task.content
    table.head(
        f"{task.operation} on RTL, {config.name}, {config.system.endpoints} endpoints, "
        f"seed {task.seed}"
    )
    if content.data_type is not None and is_block_scaled(content.data_type):
        table.line(f"# {describe_quantized(config, content.data_type, content.like)}")
    if content.tensors is not None and content.tensors.tensor_type == DataType.BF16:
        table.line(f"# {content.tensors.file_type} files are taken for BF16 bit patterns")


def print_disturbances(table: Table, task: Task, simulator: Simulator) -> None:
    for kind in task.faults:
        struck = simulator.disturbances(kind)
        table.line(f"# fault {kind.name.lower()}: struck {struck} times so far")


def print_waveform(table: Table, waveform: Waveform) -> None:
    if waveform.ordinary:
        table.line(f"# waveform {waveform.path}, open it with: gtkwave {waveform.save_file}")
    if waveform.lacks_fst:
        table.line("# FST needs lz4.h and zlib.h: apt-get install liblz4-dev zlib1g-dev")


def check_steps(config: Config, operation: str, data_type: DataType | None, size: int) -> None:
    """There is a closed form only of what the accelerator does in one wave."""
    one_wave = min(config.isa.wave_bytes, config.fabric.max_payload_bytes)
    quantized = data_type is not None and is_block_scaled(data_type)
    if operation != "allreduce" or quantized or size > one_wave:
        raise InputError(f"--steps: only for an unquantized allreduce of at most {one_wave} B")
    if config.endpoint.shuffle_slots > 1:
        raise InputError(
            "--steps: only where endpoint.shuffle_slots = 1; memories that answer in any order "
            "have no closed form"
        )


def print_steps(table: Table, config: Config, measurement: Measurement) -> None:
    """Closed form beside measurement."""
    table.line(f"# {'step':42} {'closed form':>16} {'cycles':>7} {'measured':>9}")
    for name, formula, expected, measured in measured_steps(config, measurement):
        table.line(f"# {name:42} {formula:>16} {expected:7} {measured:9}")


def describe_quantized(config: Config, data_type: DataType, tensors: Tensors) -> str:
    """What is on the wire, by a name that elsewhere may mean something else."""
    name, entry = data_type.name.lower(), block_format(config, data_type)
    shown = "int8 (int8-block, not plain integers)" if data_type == DataType.INT8 else name
    source = "FP16" if tensors.tensor_type == DataType.FP16 else "BF16"
    return f"dtype {shown}: one scale per {entry.block} elements; tensors are {source}"
