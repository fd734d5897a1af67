"""What a simulation is given to do."""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp


@dataclass(frozen=True)
class Instruction:
    """One collective of the accelerator. ``length``: bytes of elements. ``synchronised``: begins
    with a barrier, whose last participant arrives at ``start``, and ends with a flag; otherwise
    it just begins at ``start``. Masks of endpoints; None: all."""

    length: int
    data_type: DataType = DataType.FP16
    reduce_op: ReduceOp = ReduceOp.SUM
    controller: int = 0
    sources: int | None = None
    destinations: int | None = None
    participants: int | None = None
    synchronised: bool = True
    start: int = 0


@dataclass(frozen=True)
class Traffic:
    """Ordinary writes without end from one endpoint to another, ``packet_bytes`` each, which
    begin at ``start``."""

    source: int
    destination: int
    packet_bytes: int
    start: int = 0
