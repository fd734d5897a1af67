"""Golden in-switch accelerator: what an instruction does to the endpoints' memories."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hw.spec.config import Config
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import Instruction, Opcode, ReduceOp
from hw.spec.status import Status
from models.endpoint.endpoint import EndpointModel, Requester
from models.formats.floating import reduce
from models.formats.packing import pack_elements, pack_scales, unpack_elements, unpack_scales
from models.formats.registry import golden_format
from models.isa.check import check, passes_end


def execute_program(
    config: Config, instructions: Iterable[Instruction], endpoints: list[EndpointModel]
) -> list[tuple[Status, int | None]]:
    """Run a stream of instructions as a wave controller does: a quantized one takes the
    SCALES behind it. Returns status and endpoint at fault of each that reports."""
    results = []
    queue = list(instructions)
    while queue:
        instruction, scales = queue.pop(0), None
        if (
            instruction.opcode == Opcode.COLLECTIVE
            and instruction.quantize
            and queue
            and queue[0].opcode == Opcode.SCALES
        ):
            scales = queue.pop(0)
        results.append(execute(config, instruction, endpoints, scales))
    return results


def execute(
    config: Config,
    instruction: Instruction,
    endpoints: list[EndpointModel],
    scales: Instruction | None = None,
    *,
    tenant: int = 0,
    sync_refused: int = 0,
) -> tuple[Status, int | None]:
    """Run one instruction, with its ``scales`` if it is quantized, of wave controller
    ``tenant``. Returns its status and the endpoint at fault, if any.

    After an error the contents of the destinations are undefined; the model leaves them.
    """
    status = check(config, instruction, scales, sync_refused=sync_refused)
    if status == Status.WINDOW_VIOLATION:
        return status, passes_end(instruction, scales)
    if status != Status.OK or instruction.opcode == Opcode.NOP:
        return status, None
    members = range(config.system.endpoints)
    sources = [i for i in members if instruction.sources >> i & 1]
    destinations = [i for i in members if instruction.destinations >> i & 1]
    parts = [instruction] if scales is None or not instruction.quantize else [instruction, scales]
    requester = Requester(None, tenant)
    for part in parts:
        for i in sources:
            if not endpoints[i].readable(part.addresses[i], part.length, requester):
                return Status.WINDOW_VIOLATION, i
        for i in destinations:
            if not endpoints[i].writable(part.addresses[i], part.length, requester):
                return Status.WINDOW_VIOLATION, i
    operands = [
        np.stack([endpoints[i].read(part.addresses[i], part.length) for i in sources])
        for part in parts
    ]
    code = DataType(instruction.data_type)
    if instruction.quantize:
        golden = golden_format(config, code)
        elements = np.stack([unpack_elements(golden.layout, raw) for raw in operands[0]])
        codes = np.stack([unpack_scales(golden.layout, raw) for raw in operands[1]])
        new_elements, new_scales = golden.reduce(elements, codes)
        results = [
            pack_elements(golden.layout, new_elements),
            pack_scales(golden.layout, new_scales),
        ]
    else:
        operation = ReduceOp(instruction.reduce_op)
        results = [reduce(operands[0].view(np.uint16), code, operation).view(np.uint8)]
    for part, result in zip(parts, results, strict=True):
        for i in destinations:
            endpoints[i].write(part.addresses[i], result)
    return Status.OK, None
