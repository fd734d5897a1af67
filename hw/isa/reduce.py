"""Reduction of one slice (a flit of every port, or a part of it) per cycle."""

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.isa.lane import ReduceLane
from hw.spec.config import Config
from hw.spec.instruction import DataType, ReduceOp

LANE_BITS = 16


class Reduce(wiring.Component):
    """All lanes of a slice side by side.

    Ports
    -----
    slices : in, one per port
    present : in, one bit per port that takes part
    data_type, reduce_op : in
    result : out, one slice

    A free-running pipeline without back-pressure: the result of a cycle's inputs follows
    ``LATENCY`` cycles later, one slice per cycle. Who starts a row must have room for it.
    """

    LATENCY = ReduceLane.LATENCY

    def __init__(self, config: Config):
        self._config = config
        ports = config.system.endpoints
        width = 8 * config.slice_bytes
        super().__init__(
            {
                "slices": In(width).array(ports),
                "present": In(ports),
                "data_type": In(DataType),
                "reduce_op": In(ReduceOp),
                "result": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        results = []
        for index in range(len(self.result) // LANE_BITS):
            m.submodules[f"lane_{index}"] = lane = ReduceLane(self._config.system.endpoints)
            for source, operand in zip(self.slices, lane.operands, strict=True):
                m.d.comb += operand.eq(source.word_select(index, LANE_BITS))
            m.d.comb += [
                lane.present.eq(self.present),
                lane.data_type.eq(self.data_type),
                lane.reduce_op.eq(self.reduce_op),
            ]
            results.append(lane.result)
        m.d.comb += self.result.eq(Cat(*results))
        return m
