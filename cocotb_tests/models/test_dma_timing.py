"""models/dma: the timing model against what was published, and the script that fits it."""

import dataclasses

import numpy as np
import pytest

from models.dma import fit
from models.dma.platform import Platform
from models.dma.timing import predict

MI300X = Platform.load("mi300x")


def test_bounds_on_the_fitted_columns():
    """Reference: models/dma/reference. Closer than this would be over-fitting."""
    errors = np.abs(fit.speedup_errors(MI300X, fit.FITTED_VARIANTS))
    assert np.median(errors) <= 0.06
    assert errors.max() <= 0.20
    assert len(fit.FITTED) <= 10


def test_advice():
    """At every size the variant ranked first is within 15 % of the best published one."""
    for size, first, worth in fit.advice(MI300X):
        assert worth >= 0.85, f"{first} at {size} B reaches {worth:.0%} of the best"


def test_fit_is_reproducible():
    """The script finds what is in the file."""
    found, spread = fit.fit()
    for name in fit.FITTED:
        assert getattr(found, name) == pytest.approx(getattr(MI300X, name), rel=0.02), name
    assert all(value >= 0 for value in spread.values())
    assert fit.report(found, spread).count("\n") > 30


def test_predictions_are_not_fitted():
    """What is predicted does not enter the residuals."""
    assert not set(fit.FITTED_VARIANTS) & set(fit.PREDICTED_VARIANTS)
    rows = len(fit.allgather_rows()) * len(fit.FITTED_VARIANTS)
    shares = len(fit.phase_rows()) * len(fit.PHASES)
    assert len(fit._residuals(np.zeros(len(fit.FITTED)))) == rows + shares


@pytest.mark.parametrize("name", ["host", "doorbell", "fetch", "start", "occupancy", "signal"])
def test_every_cost_counts(name):
    """More of any cost makes a back-to-back all-gather slower."""
    slower = dataclasses.replace(MI300X, **{name: getattr(MI300X, name) + 1})
    before, after = (predict(p, "allgather", "b2b", 1 << 20).total for p in (MI300X, slower))
    assert after > before


def test_launched_ahead_back_to_back_pays_for_small_sizes():
    """Published: 4.1 to 4.6 times pcpy up to 128 KiB; here a prediction."""
    small = [row for row in fit.allgather_rows() if row.size <= 1 << 14]
    for row in small:
        assert fit.speedup(MI300X, "b2b_pl", row.size) == pytest.approx(
            row.speedup["b2b_pl"], rel=0.15
        )
