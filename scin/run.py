"""``scin run``: one collective on RTL, on the user's tensors, checked."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

from hw.spec.config import Config, check_buildable
from hw.spec.instruction import ELEMENT_BYTES
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
from scin.runner import CollectiveRunner, Measurement, check_capacity, message_bytes
from scin.simulator import Simulator
from scin.steps import measured_steps
from scin.table import Spinner, Table
from scin.tensors import output_shape, random_tensors, read_tensors, write_tensors
from scin.wave import write_save_file

DEFAULT_SIZES = ("4KiB",)
WHOLE_VECTOR = ("allgather", "reducescatter")


@click.command()
@click.argument("operation", metavar="OP")
@click.option("--size", "sizes", multiple=True, metavar="SIZE", help="Bytes; repeatable.")
@click.option("--dtype", default="fp16", show_default=True, help="fp16 or bf16.")
@click.option("--redop", default="sum", show_default=True, help="sum, max or min.")
@click.option("--input", "pattern", metavar="GLOB", help="One .npy file per endpoint.")
@click.option("--output", metavar="DIR", help="Write endpoint<i>.npy there.")
@click.option("--wave", metavar="FILE.fst", help="Write a waveform and a GTKWave save file.")
@click.option("--steps", is_flag=True, help="Print the latency of each step, one-wave sizes.")
@click.option("--no-sync", is_flag=True, help="Time from the first read to the last response.")
@common
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
    json_path: str | None,
    seed: int,
    quiet: bool,
) -> None:
    """Run OP (allreduce, reduce, broadcast, allgather, reducescatter) on RTL.

    The result is compared bit for bit with the golden model; #wrong counts elements that
    differ. Exit status: 0 all right, 1 wrong or failed, 2 bad input, 3 a tool is missing.
    """
    check_operation(operation)
    check_buildable(config)
    data_type, reduce_op = parse_data_type(dtype), parse_reduce_op(redop)
    endpoints = config.system.endpoints
    if pattern is not None and sizes:
        raise InputError("--input and --size exclude each other: the files decide the size")
    if output is not None and len(sizes) > 1:
        raise InputError("--output takes one --size, or the tensors of --input")
    shape, file_type = None, None
    jobs: list[list[np.ndarray]] = []
    if pattern is not None:
        tensors = read_tensors(pattern, data_type, endpoints)
        shape, file_type = tensors.shape, tensors.file_type
        if operation == "reducescatter":
            element_count(operation, tensors.bits[0].nbytes, data_type, endpoints)
        jobs.append(tensors.bits)
    else:
        for text in sizes or DEFAULT_SIZES:
            count = element_count(operation, parse_size(text), data_type, endpoints)
            jobs.append(random_tensors(data_type, count, endpoints, seed))

    for inputs in jobs:
        check_capacity(config, operation, message_bytes(config, operation, inputs))

    table = Table(quiet=quiet, error=json_path == "-")
    spinner = Spinner(quiet=quiet)
    wave_path = Path(wave) if wave else None
    if wave_path is not None and not wave_path.absolute().parent.is_dir():
        raise InputError(f"wave {wave}: its folder does not exist")
    records, outcome, finished = [], None, False
    simulator = Simulator(config, seed=seed, wave=wave_path, report=table.line)
    try:
        driver = Driver(simulator, config, progress=spinner)
        runner = CollectiveRunner(config, simulator, driver)
        table.head(f"{operation} on RTL, {config.name}, {endpoints} endpoints, seed {seed}")
        for inputs in jobs:
            spinner.watch(simulator, f"{operation} {inputs[0].nbytes} B")
            outcome = runner.run(
                operation, inputs, data_type, reduce_op, synchronise=not no_sync, seed=seed
            )
            spinner.stop()
            table.measurement(outcome.measurement)
            records.append(outcome.measurement.as_dict())
            if steps:
                print_steps(table, config, outcome.measurement)
        finished = True
    finally:
        spinner.stop()
        simulator.close()
        if simulator.wave is not None and not finished:
            simulator.wave.unlink(missing_ok=True)
    if simulator.wave is not None:
        save = write_save_file(simulator.wave, config)
        table.line(f"# waveform {simulator.wave}, open it with: gtkwave {save}")
        if wave_path is not None and simulator.wave.suffix != wave_path.suffix:
            table.line("# FST needs lz4.h and zlib.h: apt-get install liblz4-dev zlib1g-dev")
    if output is not None and outcome is not None:
        if shape is None or file_type is None:
            shape, file_type = jobs[0][0].shape, np.dtype(np.uint16)
            if dtype == "fp16":
                file_type = np.dtype(np.float16)
        write_tensors(
            Path(output), outcome.outputs, output_shape(operation, shape, endpoints), file_type
        )
    write_json(json_path, f"run {operation}", config, records)
    if any(record["wrong"] or record["status"] != "OK" for record in records):
        sys.exit(EXIT_WRONG)


def print_steps(table: Table, config: Config, measurement: Measurement) -> None:
    """Closed form beside measurement, where there is one."""
    one_wave = min(config.isa.wave_bytes, config.fabric.max_payload_bytes)
    if measurement.op != "allreduce" or measurement.size_bytes > one_wave:
        table.line(f"# --steps: only for an allreduce of at most {one_wave} B")
        return
    table.line(f"# {'step':42} {'closed form':>16} {'cycles':>7} {'measured':>9}")
    for name, formula, expected, measured in measured_steps(config, measurement):
        table.line(f"# {name:42} {formula:>16} {expected:7} {measured:9}")


def element_count(operation: str, size: int, data_type, endpoints: int) -> int:
    """Elements per endpoint of a collective of ``size`` bytes, as nccl-tests counts."""
    element = ELEMENT_BYTES[data_type]
    unit = element * (endpoints if operation in WHOLE_VECTOR else 1)
    if size <= 0 or size % unit:
        detail = "the element size" if unit == element else "endpoints x the element size"
        raise InputError(f"size {size}: must be a positive multiple of {unit} B, {detail}")
    return size // element // (endpoints if operation == "allgather" else 1)
