"""What a caller asks for, by its name: collectives, types, operators; and what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hw.spec.config import Config
from hw.spec.formats import is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.collective import collective, collectives
from scin.collectives.runner import BYTES
from scin.errors import InputError

ELEMENT_BYTES = 2
"""Of an FP16 or BF16 number."""

LARGEST_SIZE = 1 << 60
"""A size in bytes is below this."""

DATA_TYPE_ALIASES = {
    "half": DataType.FP16,
    "float16": DataType.FP16,
    "bfloat16": DataType.BF16,
    # NCCL's int8 is plain integers; ours always has a scale per block.
    "int8-block": DataType.INT8,
}


COPIED_TYPES = ("uint8", "int32", "uint32", "int64", "uint64", "float", "double", "float32",
                "float64", "float8e4m3", "float8e5m2", "fp8_e4m3", "fp8_e5m2")  # fmt: skip
"""What NCCL and its tests call types that the switch copies, but does not add."""


def check_operation(text: str) -> str:
    known = collectives()
    if text not in known:
        raise InputError(f"operation {text!r}: supported here are {', '.join(known)}")
    return text


def parse_data_type(text: str) -> DataType:
    """By its name, or by what other software calls it."""
    names = {entry.name.lower(): entry for entry in DataType}
    if text not in names | DATA_TYPE_ALIASES:
        also = ", ".join(DATA_TYPE_ALIASES)
        hint = "; broadcast and allgather copy it as dtype bytes" if text in COPIED_TYPES else ""
        raise InputError(f"dtype {text!r}: must be one of {', '.join(names)} (also {also}){hint}")
    return (names | DATA_TYPE_ALIASES)[text]


def choose_data_type(operation: str, dtype: str | None, *, given: bool) -> DataType | None:
    """What ``dtype`` names, None for bytes. Without it FP16, but collectives that only copy take
    tensors that are ``given``, and not drawn at random, as they are."""
    copies = collective(operation).copies
    if dtype == BYTES and not copies:
        copying = [name for name, item in collectives().items() if item.copies]
        raise InputError(
            f"operation {operation!r} with dtype {BYTES}: supported are "
            f"{', '.join(copying)}, which only copy"
        )
    if dtype == BYTES or (dtype is None and copies and given):
        return None
    return DataType.FP16 if dtype is None else parse_data_type(dtype)


def parse_reduce_op(text: str) -> ReduceOp:
    names = {entry.name.lower(): entry for entry in ReduceOp if entry != ReduceOp.BYPASS}
    if text not in names:
        raise InputError(f"redop {text!r}: must be one of {', '.join(names)}")
    return names[text]


def check_average(config: Config, reduce_op: ReduceOp) -> None:
    if reduce_op == ReduceOp.AVG and not config.isa.average:
        raise InputError("redop avg: isa.average = false, this switch is built without dividers")


def check_simulated(operation: str, *, synchronise: bool) -> None:
    """Raise :class:`InputError` for what the simulator of times does not predict."""
    if operation != "allreduce" or not synchronise:
        raise InputError("backend sim: only allreduce, with synchronisation")


def check_half_elements(size: int, element_bytes: int = ELEMENT_BYTES) -> None:
    """A size is a positive number of whole elements."""
    if size <= 0 or size % element_bytes:
        raise InputError(
            f"size {size}: must be a positive multiple of {element_bytes} B, the element size"
        )


def parse_wire_type(text: str) -> DataType:
    """What quantized tensors are sent as."""
    data_type = parse_data_type(text)
    if not is_block_scaled(data_type):
        raise InputError(f"inq-format {text}: must be a block-scaled format")
    return data_type


def check_wire_type(config: Config, data_type: DataType) -> None:
    """Raise :class:`InputError` for a format that the switch is built without."""
    name = data_type.name.lower()
    if name not in config.isa.block_formats:
        raise InputError(f"inq-format {name}: not among isa.block_formats of {config.name}")


def check_known(what: str, names: Sequence[str], known: Iterable[str]) -> None:
    """Raise :class:`InputError` if one of the ``names`` is not among the ``known``."""
    known = list(known)
    for name in names:
        if name not in known:
            raise InputError(f"{what} {name!r}: must be among {', '.join(known)}")


def check_one_of(what: str, name: str, known: Iterable[str]) -> None:
    """Raise :class:`InputError` if what is to be a single one of the ``known`` is none of them."""
    known = list(known)
    if name not in known:
        raise InputError(f"{what} {name!r}: must be one of {', '.join(known)}")


def refuse_repetition(what: str, names: Sequence[Any]) -> None:
    """Raise :class:`InputError` if one of the ``names`` is there twice."""
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{what} {name!r}: is named {names.count(name)} times")
