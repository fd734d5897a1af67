"""Golden in-switch accelerator: what an instruction does to the endpoints' memories."""

from __future__ import annotations

from typing import Any

import numpy as np

from hw.spec.config import Config
from hw.spec.instruction import DataType, Opcode, ReduceOp, instruction_layout
from hw.spec.packing import pack, unpack
from hw.spec.status import Status
from models.endpoint.endpoint import EndpointModel
from models.isa.check import check
from models.isa.reduce import reduce


def execute(
    config: Config, instruction: dict[str, Any], endpoints: list[EndpointModel]
) -> tuple[Status, int | None]:
    """Run one instruction. Returns its status and the endpoint at fault, if any.

    After an error the contents of the destinations are undefined; the model leaves them.
    """
    layout = instruction_layout(config)
    instruction = unpack(layout, pack(layout, instruction))
    status = check(config, instruction)
    if status != Status.OK or instruction["opcode"] == Opcode.NOP:
        return status, None
    length = instruction["length"]
    members = range(config.system.endpoints)
    sources = [i for i in members if instruction["sources"] >> i & 1]
    destinations = [i for i in members if instruction["destinations"] >> i & 1]
    address = instruction["addresses"]
    for i in sources:
        if not endpoints[i].readable(address[i], length):
            return Status.WINDOW_VIOLATION, i
    for i in destinations:
        if not endpoints[i].writable(address[i], length):
            return Status.WINDOW_VIOLATION, i
    operands = np.stack([endpoints[i].read(address[i], length).view(np.uint16) for i in sources])
    result = reduce(
        operands, DataType(instruction["data_type"]), ReduceOp(instruction["reduce_op"])
    )
    for i in destinations:
        endpoints[i].write(address[i], result.view(np.uint8))
    return Status.OK, None
