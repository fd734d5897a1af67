"""Reduction of one slice (a flit of every port, or a part of it) per cycle."""

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.isa.average import Divisor
from hw.isa.lane import ReduceLane
from hw.spec.config import Config
from hw.spec.instruction import DataType, ReduceOp
from hw.spec.timing import AVERAGE_CYCLES, DIVISOR_LAG, REDUCE_CYCLES
from hw.stream.delay import delayed

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
    ``LATENCY`` cycles later, one slice per cycle; that of an AVG
    :func:`hw.spec.timing.average_lead` cycles after that, when there must be no other. The
    component that starts a row must have room for it.
    """

    LATENCY = REDUCE_CYCLES

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
        results, averages = [], []
        average = self._config.isa.average
        if average:
            m.submodules.divisor = divisor = Divisor(len(self.slices))
            lag = DIVISOR_LAG - Divisor.LATENCY
            m.d.comb += divisor.present.eq(delayed(m, self.present, lag, "present"))
        for index in range(len(self.result) // LANE_BITS):
            m.submodules[f"lane_{index}"] = lane = ReduceLane(len(self.slices), average=average)
            for source, operand in zip(self.slices, lane.operands, strict=True):
                m.d.comb += operand.eq(source.word_select(index, LANE_BITS))
            m.d.comb += [
                lane.present.eq(self.present),
                lane.data_type.eq(self.data_type),
                lane.reduce_op.eq(self.reduce_op),
            ]
            results.append(lane.result)
            if average:
                m.d.comb += [lane.reciprocal.eq(divisor.reciprocal), lane.drop.eq(divisor.drop)]
                averages.append(lane.average)
        m.d.comb += self.result.eq(Cat(*results))
        if average:
            divides = self.reduce_op == ReduceOp.AVG
            with m.If(delayed(m, divides, AVERAGE_CYCLES, "divides")):
                m.d.comb += self.result.eq(Cat(*averages))
        return m
