"""Run one collective on RTL and check it against the golden model, or in that model alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Protocol

import numpy as np

from hw.spec.config import AXI_BOUNDARY_BYTES, Config
from hw.spec.formats import block_format, element_bits
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import Instruction, Opcode, ReduceOp
from hw.spec.status import Status, first_failure
from models.collective import ROOT, collective
from models.endpoint.endpoint import EndpointModel, Window
from models.isa.isa import execute_program
from models.wire import busiest_link_bytes
from scin.collectives.programs import Program, build, collect, place
from scin.errors import CapacityError
from scin.host.driver import Driver, Record
from scin.host.memory import machine_bytes
from scin.report.measurement import Measurement
from scin.report.predicted import wire_format

BYTES = "bytes"
"""Type of what is only copied, on command lines and in records."""


@dataclass
class Outcome:
    measurement: Measurement
    outputs: list[np.ndarray]
    """Per endpoint, the bytes of the resulting elements; empty where it gets none."""
    scales: list[np.ndarray]
    """Per endpoint, the bytes of their scales, if they have some."""


COPIES = 4
"""Of the tensors: as they came, in the endpoints' memories, in the golden model's, and on the
way."""


def message_bytes(config: Config, operation: str, inputs: list[np.ndarray]) -> int:
    """Size of a collective as nccl-tests counts it: of the whole vector for all-gather."""
    pieces = collective(operation).vectors_brought(config.system.endpoints)
    return inputs[ROOT].nbytes * pieces


def check_capacity(
    config: Config, operation: str, size: int, data_type: DataType = DataType.FP16
) -> None:
    """Raise :class:`CapacityError` if the tensors would reach into the page of flags."""
    layout = build(config, operation, size, data_type, ReduceOp.SUM).layout
    if layout.footprint > config.flag_base:
        raise CapacityError(
            f"size = {size}: must be at most {config.flag_base} bytes, "
            "endpoint.memory_bytes less the page of flags"
        )
    needed = COPIES * layout.footprint * config.system.endpoints
    if needed > machine_bytes():
        raise CapacityError(
            f"size = {size}: the tensors of {config.system.endpoints} endpoints take about "
            f"{needed} B here, and this machine has {machine_bytes()} B"
        )


class Machine(Protocol):
    """Where collectives run: a simulated system, or boards."""

    memory: list[np.ndarray]
    """Per endpoint; of boards a copy."""
    common_clock: bool
    """Do the cycle counters of switch and endpoints count together?"""

    def load(self, footprint: int) -> None:
        """Bring the first bytes of every memory, and its flags, to where it is."""

    def fetch(self, footprint: int) -> None:
        """Bring the same back."""


class Runner(Protocol):
    """What runs collectives: hardware, or the golden model in its place."""

    config: Config

    def run(
        self,
        operation: str,
        inputs: list[np.ndarray],
        data_type: DataType,
        reduce_op: ReduceOp,
        *,
        synchronise: bool = True,
        seed: int | None = None,
        scales: list[np.ndarray] | None = None,
        untyped: bool = False,
    ) -> Outcome:
        """As :meth:`CollectiveRunner.run`."""


class CollectiveRunner:
    """Runs collectives on one system, one after another."""

    def __init__(self, config: Config, machine: Machine, driver: Driver) -> None:
        self.config = config
        self.machine = machine
        self.driver = driver
        driver.configure()
        driver.open_whole_memory()

    def run(
        self,
        operation: str,
        inputs: list[np.ndarray],
        data_type: DataType,
        reduce_op: ReduceOp,
        *,
        synchronise: bool = True,
        seed: int | None = None,
        scales: list[np.ndarray] | None = None,
        untyped: bool = False,
    ) -> Outcome:
        """``inputs``: per endpoint, the elements it brings, as bit patterns; ``scales``: per
        endpoint, theirs, as bytes. ``untyped``: the elements are bytes, which are only copied;
        ``data_type`` is what the instruction names."""
        config = self.config
        size = message_bytes(config, operation, inputs)
        check_capacity(config, operation, size, data_type)
        program = build(config, operation, size, data_type, reduce_op, synchronise=synchronise)
        footprint = program.layout.footprint
        memories = self.machine.memory
        for memory in memories:
            memory[:footprint] = 0
            memory[config.flag_base : config.flag_base + AXI_BOUNDARY_BYTES] = 0
        _place_operands(program, memories, inputs, scales)
        golden = _golden_memories(config, program, memories)

        before = self._payload_flits()
        self.machine.load(footprint)
        records, waits, arrived, visible = self._execute(program.instructions, synchronise)
        self.machine.fetch(footprint)
        sent, received = (
            max(now - then for now, then in zip(after, earlier, strict=True))
            for after, earlier in zip(self._payload_flits(), before, strict=True)
        )
        timed = synchronise and self.machine.common_clock
        if timed and arrived is not None and visible is not None:
            cycles = visible - arrived
        else:
            cycles = _accelerator_cycles(records)
        unit = np.uint16 if scales is None and not untyped else np.uint8
        wrong = sum(
            int((memory[:footprint].view(unit) != expected.view(unit)).sum())
            for memory, expected in zip(memories, golden, strict=True)
        )
        status = first_failure([*(record.status for record in records), *waits])
        measurement = replace(
            _described(
                config,
                operation,
                size,
                data_type,
                reduce_op,
                quantized=scales is not None,
                untyped=untyped,
            ),
            backend="rtl",
            cycles=cycles,
            time_s=cycles / (config.isa.clock_MHz * 1e6),
            wrong=wrong,
            status=status.name,
            sync_included=timed,
            seed=seed,
            counters=[asdict(record) | {"status": record.status.name} for record in records],
            arrived=arrived,
            visible=visible,
            payload_flits_sent=sent,
            payload_flits_received=received,
        )
        return Outcome(measurement, *_collect_results(program, memories))

    def _payload_flits(self) -> tuple[list[int], list[int]]:
        """Counters of all endpoints: sent, received."""
        members = range(self.config.system.endpoints)
        return (
            [self.driver.read_endpoint(i, "PAYLOAD_TRANSMITTED") for i in members],
            [self.driver.read_endpoint(i, "PAYLOAD_RECEIVED") for i in members],
        )

    def _execute(
        self, instructions: list[Instruction], synchronise: bool
    ) -> tuple[list[Record], list[Status], int | None, int | None]:
        """Submit, synchronise, wait: the records; if synchronised also how every endpoint's wait
        ended, and the cycles at which the last arrival left and the last flag became visible."""
        driver, members = self.driver, range(self.config.system.endpoints)
        for instruction in instructions:
            driver.submit(instruction)
        if synchronise:
            for endpoint in members:
                driver.arrive(endpoint, instructions[0].sync_id)
        reporting = [item for item in instructions if item.opcode != Opcode.SCALES]
        records = [driver.wait_completion() for _ in reporting]
        if not synchronise:
            return records, [], None, None
        waits = [driver.wait_flag(endpoint) for endpoint in members]
        moments = [driver.endpoint_moments(i, ("ARRIVED_AT", "VISIBLE_AT")) for i in members]
        arrived, visible = (max(times) for times in zip(*moments, strict=True))
        return records, waits, arrived, visible


class GoldenRunner:
    """Runs collectives in the golden model, which has all of the data and no time."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(
        self,
        operation: str,
        inputs: list[np.ndarray],
        data_type: DataType,
        reduce_op: ReduceOp,
        *,
        synchronise: bool = True,
        seed: int | None = None,
        scales: list[np.ndarray] | None = None,
        untyped: bool = False,
    ) -> Outcome:
        """As :meth:`CollectiveRunner.run`; nothing is compared, so nothing is counted as wrong."""
        config = self.config
        size = message_bytes(config, operation, inputs)
        check_capacity(config, operation, size, data_type)
        program = build(config, operation, size, data_type, reduce_op, synchronise=synchronise)
        memories = [np.zeros(program.layout.footprint, np.uint8) for _ in inputs]
        _place_operands(program, memories, inputs, scales)
        results = _golden_memories(config, program, memories)
        measurement = _described(
            config,
            operation,
            size,
            data_type,
            reduce_op,
            quantized=scales is not None,
            untyped=untyped,
        )
        return Outcome(
            replace(measurement, sync_included=synchronise, seed=seed),
            *_collect_results(program, results),
        )


def _place_operands(
    program: Program,
    memories: list[np.ndarray],
    inputs: list[np.ndarray],
    scales: list[np.ndarray] | None,
) -> None:
    """Write what every endpoint brings into its memory."""
    layout = program.layout
    for memory, pieces, content in zip(memories, layout.inputs, inputs, strict=True):
        place(memory, pieces, content.view(np.uint8).ravel())
    if scales is not None:
        for memory, pieces, content in zip(memories, layout.scale_inputs, scales, strict=True):
            place(memory, pieces, content)


def _golden_memories(
    config: Config, program: Program, memories: list[np.ndarray]
) -> list[np.ndarray]:
    """What the golden model makes of ``memories``, which stay as they are."""
    footprint = program.layout.footprint
    golden = [
        EndpointModel(config, memory[:footprint].copy(), [Window(0, footprint)])
        for memory in memories
    ]
    for status, _ in execute_program(config, program.instructions, golden):
        if status != Status.OK:
            raise ValueError(f"{program.operation}: the golden model answers {status.name}")
    return [model.memory for model in golden]


def _collect_results(
    program: Program, memories: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Elements and scales that every endpoint gets, as :class:`Outcome` has them."""
    layout = program.layout
    elements, scales = (
        [collect(memory, pieces) for memory, pieces in zip(memories, parts, strict=True)]
        for parts in (layout.outputs, layout.scale_outputs or [[] for _ in memories])
    )
    return elements, scales


def _described(
    config: Config,
    operation: str,
    size: int,
    data_type: DataType,
    reduce_op: ReduceOp,
    *,
    quantized: bool,
    untyped: bool,
) -> Measurement:
    """What is known of a collective before it runs, and holds if it ends well."""
    endpoints = config.system.endpoints
    algo = "scin-inq" if quantized else "scin"
    moved = size + size // block_format(config, data_type).ratio if quantized else size
    return Measurement(
        op=operation,
        algo=algo,
        backend="golden",
        dtype=BYTES if untyped else data_type.name.lower(),
        redop=None if collective(operation).copies else reduce_op.name.lower(),
        endpoints=endpoints,
        size_bytes=size,
        count=size if untyped else 8 * size // element_bits(config, data_type),
        wire_bytes=busiest_link_bytes(operation, algo, endpoints, moved),
        link_GBps=config.link.gigabytes_per_second,
        status=Status.OK.name,
        sync_included=True,
        wire_format=BYTES if untyped else wire_format(config, data_type),
    )


def _accelerator_cycles(records: list[Record]) -> int:
    """From the first read to the last response; 0 if nothing was read."""
    ran = [r for r in records if r.fetched <= r.first_read <= r.last_response <= r.done]
    if not ran:
        return 0
    return max(record.last_response for record in ran) - min(record.first_read for record in ran)
