"""``--redop avg`` from files to files, and where it is refused."""

import numpy as np
import pytest

from cocotb_tests.support.commands import TINY, scin
from hw.spec.config import load
from hw.spec.instruction import ReduceOp
from models.simulator.collective import allreduce


@pytest.mark.parametrize("operation", ["allreduce", "reduce", "reducescatter"])
def test_averages_of_files(tmp_path, operation):
    """Of two ranks: a sum in float64 is exact, so is its half, and one conversion rounds it."""
    rng = np.random.default_rng(9)
    arrays = [rng.standard_normal((8, 12)).astype(np.float16) for _ in range(2)]
    # Sums that overflow where their average does not, ties, and subnormal halves.
    arrays[0][0, :4] = [65504, 1, 2.0**-24, -(2.0**-24)]
    arrays[1][0, :4] = [65504, 1 + 2.0**-10, 0, 0]
    for index, array in enumerate(arrays):
        np.save(tmp_path / f"rank{index}.npy", array)
    files = ("--input", tmp_path / "rank*.npy", "--output", tmp_path / "out")
    result = scin("run", operation, *TINY, "--redop", "avg", *files)
    assert result.exit_code == 0, result.output
    expected = ((arrays[0].astype(float) + arrays[1].astype(float)) / 2).astype(np.float16)
    if operation == "reducescatter":
        expected = expected[:4]
    found = np.load(tmp_path / "out" / "endpoint0.npy")
    assert (found.view(np.uint16) == expected.view(np.uint16)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "allreduce", "--dtype", "int8"), "redop avg with dtype int8"),
        (("run", "allreduce", "--set", "isa.average=false"), "isa.average = false"),
        (("sweep", "allreduce", "--set", "isa.average=false"), "isa.average = false"),
        (("sweep", "allreduce", "--algo", "dma-ring"), "algo dma-ring: redop sum, max or min"),
    ],
)
def test_refused(arguments, message):
    result = scin(*arguments, *TINY, "--redop", "avg")
    assert result.exit_code == 2, result.output
    assert message in result.output


def test_two_cycles_more_than_a_sum():
    """docs/numerics.md; the simulator is held to the RTL by ``scin validate``."""
    config = load("tiny")
    took = {op: allreduce(config, 512, reduce_op=op).cycles for op in (ReduceOp.SUM, ReduceOp.AVG)}
    assert took[ReduceOp.AVG] == took[ReduceOp.SUM] + 2
