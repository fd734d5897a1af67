"""What the simulator says of an All-Reduce, in the terms of a measurement."""

from __future__ import annotations

from hw.spec.config import Config
from hw.spec.formats import block_format, is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.prediction import SCIN_INQ, Prediction
from scin.report.record import CollectiveResult

ELEMENT_BYTES = 2


def wire_format(config: Config, data_type: DataType) -> str:
    """Name of a type, of a block-scaled one with its block."""
    name: str = data_type.name.lower()
    if not is_block_scaled(data_type):
        return name
    return f"{name}/{block_format(config, data_type).block}"


def result_of(
    config: Config,
    item: Prediction,
    *,
    data_type: DataType = DataType.FP16,
    reduce_op: ReduceOp = ReduceOp.SUM,
) -> CollectiveResult:
    """``item``: a prediction of the synchronised All-Reduce of 16-bit elements."""
    sent = item.wire if item.algorithm == SCIN_INQ else data_type
    return CollectiveResult(
        op="allreduce",
        algo=item.algorithm,
        backend="sim",
        dtype=data_type.name.lower(),
        redop=reduce_op.name.lower(),
        endpoints=item.accelerators,
        size_bytes=item.size,
        cycles=item.cycles,
        time_s=item.seconds,
        wire_bytes=item.wire_bytes,
        link_GBps=config.link.gigabytes_per_second * config.system.switches,
        status="OK",
        sync_included=True,
        count=item.size // ELEMENT_BYTES,
        wire_format=wire_format(config, sent),
        agreement_cycles=round(item.agreement_cycles),
    )
