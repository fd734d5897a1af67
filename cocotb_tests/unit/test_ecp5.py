"""The blocks of preset ecp5 through synthesis, placement and routing."""

import pytest

from fpga.ecp5_report import BLOCKS, PRESET, measure
from hw.spec.config import load

LOGIC_LIMIT_NS = 12.0
AVAILABLE = {"lut": 83_640, "ff": 83_640, "ebr": 208}
"""LFE5U-85F, from nextpnr's own utilisation report."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BLOCKS if name != "switch"])
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
def test_whole_switch_fits():
    """All blocks times their number, with room for what joins them."""
    config = load(PRESET)
    results = [measure(name, config) for name in BLOCKS if name != "switch"]
    for kind, limit in AVAILABLE.items():
        total = sum(getattr(result, kind) * result.count for result in results)
        assert total <= limit, f"{kind}: {total} of {limit}"
