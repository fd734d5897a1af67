"""The simulator against the RTL: the cases of ``scin validate``."""

from dataclasses import replace

import pytest

from scin.table import TextTable
from scin.validation.cases import LARGEST
from scin.validation.cli import COLUMNS, Comparison, compare, predict

SHARED_LINK_CYCLES = 8
"""Where two kinds of traffic share a link, whose turn it was before is not known."""


def run(name, *, quick):
    table = TextTable(COLUMNS, quiet=True, error=False)
    return compare(name, quick, table, True)


def check(results):
    assert len(results) > 40
    for item in results:
        assert item.holds, item.as_dict()


@pytest.mark.parametrize("name", LARGEST)
def test_every_case_up_to_64_kib(name):
    """Within the promised bound; and without other traffic to the cycle."""
    results = run(name, quick=True)
    check(results)
    for item in results:
        if not item.case.traffic:
            assert abs(item.error) <= 1, item.as_dict()


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGEST)
def test_every_case(name):
    check(run(name, quick=False))


def test_a_wrong_parameter_is_noticed():
    """The comparison fails for a simulator whose link is 5 % too long, or whose memory is."""
    results = [item for item in run("tiny", quick=True) if item.case.size <= 1024]
    for section, field, factor in (
        ("link", "latency_cycles", 2),
        ("endpoint", "memory_latency_cycles", 4),
    ):
        failed = 0
        for item in results:
            config = item.case.config
            part = getattr(config, section)
            wrong = replace(part, **{field: factor * getattr(part, field)})
            case = replace(item.case, config=replace(config, **{section: wrong}))
            changed = Comparison(case, item.rtl, predict(case, item.rtl))
            failed += not changed.holds
        assert failed >= 0.9 * len(results), (field, failed, len(results))
