"""What is claimed holds, is about something that can happen, and would be seen to fail."""

import pytest

from cocotb_tests.formal.claims import CLAIMS

EVERY = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.part)


@EVERY
def test_holds(claim):
    assert claim.holds()


@EVERY
def test_covers_are_reached(claim):
    """The assumptions do not hold everything still."""
    assert claim.reaches()


@EVERY
def test_the_bug_is_found(claim):
    assert claim.finds_the_bug()


@pytest.mark.slow
@EVERY
def test_holds_deeper(claim):
    assert claim.holds(full=True)
