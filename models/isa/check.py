"""Golden check of an instruction: which rule it breaks first, if any."""

from __future__ import annotations

from typing import Any

from hw.spec.config import Config
from hw.spec.instruction import ELEMENT_BYTES, MAX_LENGTH, DataType, Opcode, ReduceOp
from hw.spec.status import Status


def check(config: Config, instruction: dict[str, Any]) -> Status:
    """``instruction`` holds integers by field name, as :func:`hw.spec.packing.unpack` gives."""
    if instruction["opcode"] == Opcode.NOP:
        return Status.OK
    if instruction["opcode"] != Opcode.COLLECTIVE:
        return Status.BAD_OPCODE
    formats = {entry.value for entry in DataType}
    operations = {entry.value for entry in ReduceOp}
    if (
        instruction["data_type"] not in formats
        or instruction["reduce_op"] not in operations
        or instruction["quantize"]
    ):
        return Status.BAD_FORMAT
    sources, destinations = instruction["sources"], instruction["destinations"]
    synchronised = instruction["barrier"] or instruction["notify"]
    if not sources or not destinations:
        return Status.EMPTY_MASK
    if synchronised and not instruction["participants"]:
        return Status.EMPTY_MASK
    named = sources | destinations | instruction["participants"]
    if named >> config.system.endpoints or instruction["sync_id"] >= config.isa.sync_ids:
        return Status.BAD_MASK
    if instruction["reduce_op"] == ReduceOp.BYPASS and sources.bit_count() > 1:
        return Status.BAD_MASK
    used = [
        address
        for port, address in enumerate(instruction["addresses"])
        if (sources | destinations) >> port & 1
    ]
    length = instruction["length"]
    element = ELEMENT_BYTES[DataType(instruction["data_type"])]
    if any(address % config.fabric.flit_bytes for address in used) or length % element:
        return Status.MISALIGNED
    if not 0 < length <= MAX_LENGTH:
        return Status.BAD_LENGTH
    return Status.OK
