"""Run one collective on RTL and check it against the golden model."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from hw.spec.config import AXI_BOUNDARY_BYTES, Config
from hw.spec.instruction import DataType, ReduceOp
from hw.spec.status import Status
from models.endpoint.endpoint import EndpointModel, Window
from models.isa.isa import execute
from scin.collectives import ROOT, build, bus_factor, collect, place
from scin.driver import Driver, Instruction, Record
from scin.simulator import Simulator


@dataclass
class Measurement:
    """One line of the table; the fields of a JSON record."""

    op: str
    algo: str
    backend: str
    dtype: str
    redop: str | None
    endpoints: int
    size_bytes: int
    cycles: int
    time_s: float
    algbw_GBps: float  # noqa: N815
    busbw_GBps: float  # noqa: N815
    util: float
    wrong: int
    status: str
    sync_included: bool
    seed: int | None
    counters: list[dict[str, int]]
    """Completion records: cycles of the accelerator's counter, in order of completion."""
    arrived: int | None
    visible: int | None

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass
class Outcome:
    measurement: Measurement
    outputs: list[np.ndarray]
    """Per endpoint, the resulting elements as bit patterns; empty where it gets none."""


class CapacityError(ValueError):
    """The tensors do not fit the endpoints' memory."""


def message_bytes(config: Config, operation: str, inputs: list[np.ndarray]) -> int:
    """Size of a collective as nccl-tests counts it: of the whole vector for all-gather."""
    pieces = config.system.endpoints if operation == "allgather" else 1
    return inputs[ROOT].nbytes * pieces


def check_capacity(config: Config, operation: str, size: int) -> None:
    """Raise :class:`CapacityError` if the tensors would reach into the page of flags."""
    layout = build(config, operation, size, DataType.FP16, ReduceOp.SUM).layout
    if layout.footprint > config.flag_base:
        raise CapacityError(
            f"size = {size}: must be at most {config.flag_base} bytes, "
            "endpoint.memory_bytes less the page of flags"
        )


class CollectiveRunner:
    """Runs collectives on one simulated system, one after another."""

    def __init__(self, config: Config, simulator: Simulator, driver: Driver) -> None:
        self.config = config
        self.simulator = simulator
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
    ) -> Outcome:
        """``inputs``: per endpoint, the elements it brings, as uint16 bit patterns."""
        config, endpoints = self.config, self.config.system.endpoints
        size = message_bytes(config, operation, inputs)
        check_capacity(config, operation, size)
        program = build(config, operation, size, data_type, reduce_op, synchronise=synchronise)
        footprint = program.layout.footprint
        memories = self.simulator.memory
        for memory, pieces, content in zip(memories, program.layout.inputs, inputs, strict=True):
            memory[:footprint] = 0
            memory[config.flag_base : config.flag_base + AXI_BOUNDARY_BYTES] = 0
            place(memory, pieces, content.view(np.uint8).ravel())

        golden = [
            EndpointModel(config, memory[:footprint].copy(), [Window(0, footprint)])
            for memory in memories
        ]
        for instruction in program.instructions:
            status, _ = execute(config, instruction, golden)
            if status != Status.OK:
                raise ValueError(f"{operation}: the golden model answers {status.name}")

        records, arrived, visible = self._execute(program.instructions, synchronise)
        if arrived is not None and visible is not None:
            cycles = visible - arrived
        else:
            start = min(record.first_read for record in records)
            cycles = max(record.last_response for record in records) - start
        wrong = sum(
            int((memory[:footprint].view(np.uint16) != model.memory.view(np.uint16)).sum())
            for memory, model in zip(memories, golden, strict=True)
        )
        failed = [record for record in records if record.status != Status.OK]
        time = cycles / (config.isa.clock_MHz * 1e6)
        algbw = size / time / 1e9
        measurement = Measurement(
            op=operation,
            algo="scin",
            backend="rtl",
            dtype=data_type.name.lower(),
            redop=reduce_op.name.lower() if operation not in ("broadcast", "allgather") else None,
            endpoints=endpoints,
            size_bytes=size,
            cycles=cycles,
            time_s=time,
            algbw_GBps=algbw,
            busbw_GBps=algbw * bus_factor(operation, endpoints),
            util=algbw / config.link.gigabytes_per_second,
            wrong=wrong,
            status=failed[0].status.name if failed else Status.OK.name,
            sync_included=synchronise,
            seed=seed,
            counters=[asdict(record) | {"status": record.status.name} for record in records],
            arrived=arrived,
            visible=visible,
        )
        outputs = [
            collect(memory, pieces).view(np.uint16)
            for memory, pieces in zip(memories, program.layout.outputs, strict=True)
        ]
        return Outcome(measurement, outputs)

    def _execute(
        self, instructions: list[Instruction], synchronise: bool
    ) -> tuple[list[Record], int | None, int | None]:
        """Submit, synchronise, wait: the records; if synchronised also the cycles at which
        the last arrival left and the last flag became visible."""
        driver, members = self.driver, range(self.config.system.endpoints)
        for instruction in instructions:
            driver.submit(instruction)
        if synchronise:
            for endpoint in members:
                driver.arrive(endpoint, instructions[0]["sync_id"])
        records = [driver.wait_completion() for _ in instructions]
        if not synchronise:
            return records, None, None
        for endpoint in members:
            driver.wait_flag(endpoint)
        arrived = max(driver.read_endpoint(i, "ARRIVED_AT") for i in members)
        visible = max(driver.read_endpoint(i, "VISIBLE_AT") for i in members)
        return records, arrived, visible
