"""The blocks of preset ecp5 through synthesis, placement and routing."""

import pytest

from fpga.ecp5_report import BLOCKS, PRESET, WHOLE, count_cells, measure
from hw.spec.config import load

LOGIC_LIMIT_NS = 12.0
AVAILABLE = {"lut": 83_640, "ff": 83_640, "ebr": 208}
"""LFE5U-85F, from nextpnr's own utilisation report."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BLOCKS if name != WHOLE])
def test_block_meets_timing(name):
    result = measure(name, load(PRESET))
    assert result.lut > 0, "an empty netlist proves nothing"
    assert 0 < result.logic_ns <= LOGIC_LIMIT_NS, result


def test_one_block_in_reduced_form():
    """The flow itself, on the smallest block; needs `make setup-ecp5`."""
    result = measure("isa.scheduler", load(PRESET))
    assert 0 < result.logic_ns <= LOGIC_LIMIT_NS
    assert result.ff > 0


@pytest.mark.slow
def test_whole_switch_synthesises_and_fits():
    cells = count_cells(WHOLE, load(PRESET))
    # A carry cell takes the place of two LUTs, a 16 x 4 RAM that of four and its write port.
    lut = cells["LUT4"] + 2 * cells["CCU2C"] + 6 * cells.get("TRELLIS_DPR16X4", 0)
    assert 10_000 < lut <= AVAILABLE["lut"]
    assert cells["TRELLIS_FF"] <= AVAILABLE["ff"]
    assert 0 < cells["DP16KD"] <= AVAILABLE["ebr"]
