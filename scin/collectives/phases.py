"""Where the time of an All-Reduce goes, phase by phase, on RTL and in the simulator."""

from __future__ import annotations

from hw.spec.config import Config
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.simulator.explain import Span, measured_spans, simulated_spans
from models.simulator.simulation import simulate
from models.simulator.work import Instruction
from scin.report.measurement import Measurement


def measured_phases(config: Config, item: Measurement) -> list[Span]:
    """Of a synchronised, unquantized All-Reduce that RTL has run."""
    assert item.arrived is not None
    assert item.visible is not None
    rows = _rows(config, item.size_bytes)
    return measured_spans(config, item.arrived, item.counters[0], item.visible, rows)


def simulated_phases(
    config: Config,
    length: int,
    data_type: DataType = DataType.FP16,
    reduce_op: ReduceOp = ReduceOp.SUM,
) -> list[Span]:
    """Of a synchronised, unquantized All-Reduce of which the busiest switch gets ``length``
    bytes. All of it is simulated: that takes the longer, the more bytes there are."""
    outcome = simulate(config, [Instruction(length, data_type, reduce_op)])
    return simulated_spans(config, outcome, _rows(config, length))


def _rows(config: Config, length: int) -> int:
    return -(-length // config.fabric.flit_bytes)
