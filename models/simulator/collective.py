"""How long a collective of the switch takes, at any size.

A message is striped over the switches; all planes do the same, so one is simulated. Once the
pipeline is full, every further wave takes as long as the one before: beyond
``STEADY_BYTES`` per plane, time grows by what the simulation shows between that size and its
double (``docs/simulator.md``).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from hw.spec.config import Config
from hw.spec.formats import block_format, is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.simulator.simulation import simulate
from models.simulator.work import Instruction

STEADY_BYTES = 1 << 20


@dataclass(frozen=True)
class Duration:
    """Cycles. ``simulated``: all of it; otherwise the steady state was extended."""

    cycles: float
    simulated: bool

    def seconds(self, config: Config) -> float:
        return self.cycles / (config.isa.clock_MHz * 1e6)


def wire_bytes(config: Config, size: int, data_type: DataType) -> int:
    """Bytes of elements that stand for ``size`` bytes of 16-bit elements."""
    if not is_block_scaled(data_type):
        return size
    entry = block_format(config, data_type)
    return -(-size // 2 // entry.block) * entry.block_bytes


def plane_bytes(config: Config, length: int) -> int:
    """Of ``length`` bytes, what the busiest of the switches gets."""
    return -(-length // config.system.switches)


def allreduce(
    config: Config,
    length: int,
    data_type: DataType = DataType.FP16,
    *,
    reduce_op: ReduceOp = ReduceOp.SUM,
    synchronised: bool = True,
) -> Duration:
    """``length``: bytes of elements on the wire. From the last arrival to the last flag; not
    ``synchronised``: from the first read to the last response."""
    plane = plane_bytes(config, length)
    if is_block_scaled(data_type):
        block = block_format(config, data_type).block_bytes
        plane = -(-plane // block) * block
    wave = config.isa.wave_bytes
    steady = -(-STEADY_BYTES // wave) * wave
    if plane <= 2 * steady:
        cycles = _simulated(config, plane, data_type, reduce_op, synchronised)
        return Duration(cycles, simulated=True)
    rest = plane % wave
    near, far = (
        _simulated(config, size + rest, data_type, reduce_op, synchronised)
        for size in (steady, 2 * steady)
    )
    waves = (plane - rest - 2 * steady) // wave
    return Duration(far + waves * (far - near) / (steady // wave), simulated=False)


@functools.lru_cache(maxsize=4096)
def _simulated(
    config: Config, length: int, data_type: DataType, reduce_op: ReduceOp, synchronised: bool
) -> int:
    item = Instruction(length, data_type, reduce_op, synchronised=synchronised)
    outcome = simulate(config, [item])
    return outcome.visible if synchronised else outcome.unsynchronised
