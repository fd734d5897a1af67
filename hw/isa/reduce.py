"""Reduction of one row (a flit of every port) per cycle."""

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.isa.lane import ReduceLane
from hw.spec.config import Config
from hw.spec.instruction import DataType, ReduceOp

LANE_BITS = 16


class Reduce(wiring.Component):
    """All lanes of a flit side by side.

    Ports
    -----
    rows : in, one flit per port
    present : in, one bit per port that takes part
    data_type, reduce_op : in
    result : out, one flit

    A free-running pipeline without back-pressure: the result of a cycle's inputs follows
    ``LATENCY`` cycles later, one row per cycle. Who starts a row must have room for it.
    """

    LATENCY = ReduceLane.LATENCY

    def __init__(self, config: Config):
        self._config = config
        ports = config.system.endpoints
        super().__init__(
            {
                "rows": In(config.flit_bits).array(ports),
                "present": In(ports),
                "data_type": In(DataType),
                "reduce_op": In(ReduceOp),
                "result": Out(config.flit_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        results = []
        for index in range(self._config.flit_bits // LANE_BITS):
            m.submodules[f"lane_{index}"] = lane = ReduceLane(self._config.system.endpoints)
            for row, operand in zip(self.rows, lane.operands, strict=True):
                m.d.comb += operand.eq(row.word_select(index, LANE_BITS))
            m.d.comb += [
                lane.present.eq(self.present),
                lane.data_type.eq(self.data_type),
                lane.reduce_op.eq(self.reduce_op),
            ]
            results.append(lane.result)
        m.d.comb += self.result.eq(Cat(*results))
        return m
