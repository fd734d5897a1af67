"""Golden check of an instruction: which rule it breaks first, if any."""

from __future__ import annotations

from hw.spec.config import Config
from hw.spec.formats import FORMATS, block_formats
from hw.spec.instruction import MAX_LENGTH, Instruction, Opcode, ReduceOp
from hw.spec.packet import ADDRESS_BITS
from hw.spec.status import Status


def check(
    config: Config,
    instruction: Instruction,
    scales: Instruction | None = None,
    *,
    sync_refused: int = 0,
) -> Status:
    """``scales`` is the instruction that followed a quantized one; ``sync_refused`` has a bit per
    barrier that is not for its controller."""
    if instruction.opcode == Opcode.NOP:
        return Status.OK
    if instruction.opcode == Opcode.SCALES:
        return Status.MISSING_SCALES
    if instruction.opcode != Opcode.COLLECTIVE:
        return Status.BAD_OPCODE
    quantized = bool(instruction.quantize)
    code, operation = instruction.data_type, instruction.reduce_op
    if quantized:
        if scales is None or scales.opcode != Opcode.SCALES:
            return Status.MISSING_SCALES
        formats = {entry.code.value: entry for entry in block_formats(config)}
        if code not in formats or operation != ReduceOp.SUM:
            return Status.BAD_FORMAT
        unit = formats[code].block_bytes
    else:
        if code not in FORMATS or operation not in {entry.value for entry in ReduceOp}:
            return Status.BAD_FORMAT
        if operation == ReduceOp.AVG and not config.isa.average:
            return Status.BAD_FORMAT
        unit = 2
    sources, destinations = instruction.sources, instruction.destinations
    synchronised = instruction.barrier or instruction.notify
    if not sources or not destinations:
        return Status.EMPTY_MASK
    if synchronised and not instruction.participants:
        return Status.EMPTY_MASK
    named = sources | destinations | instruction.participants
    if named >> config.system.endpoints or instruction.sync_id >= config.isa.sync_ids:
        return Status.BAD_MASK
    if synchronised and sync_refused >> instruction.sync_id & 1:
        return Status.BAD_MASK
    if operation == ReduceOp.BYPASS and sources.bit_count() > 1:
        return Status.BAD_MASK
    used = [
        address
        for part in ([instruction, scales] if quantized and scales else [instruction])
        for port, address in enumerate(part.addresses)
        if (sources | destinations) >> port & 1
    ]
    length = instruction.length
    if any(address % config.fabric.flit_bytes for address in used) or length % unit:
        return Status.MISALIGNED
    if not 0 < length <= MAX_LENGTH:
        return Status.BAD_LENGTH
    if quantized and scales and scales.length != length // formats[code].ratio:
        return Status.BAD_LENGTH
    if passes_end(instruction, scales) is not None:
        return Status.WINDOW_VIOLATION
    return Status.OK


def passes_end(instruction: Instruction, scales: Instruction | None) -> int | None:
    """The first endpoint with an operand that goes past the last address, if there is one."""
    parts = [instruction] if scales is None or not instruction.quantize else [instruction, scales]
    used = instruction.sources | instruction.destinations
    for port in range(len(instruction.addresses)):
        ends = (part.addresses[port] + part.length for part in parts)
        if used >> port & 1 and max(ends) > 1 << ADDRESS_BITS:
            return port
    return None
