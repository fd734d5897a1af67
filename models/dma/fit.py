"""Fit the platform ``mi300x`` to published measurements: ``python -m models.dma.fit``.

Prints parameters with their uncertainty and the residuals; ``--write`` replaces
``configs/dma/mi300x.toml``. Only the shares of a point-to-point copy and the columns
``pcpy_pl``, ``bcst`` and ``bcst_pl`` of the all-gather are fitted. The columns ``b2b`` and
``b2b_pl``, and everything about all-to-all, are predictions.

Ratios do not fix a time scale: the link's effective bandwidth does, 52 GB/s per direction
(64 GB/s raw).
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from hw.spec.packaged import packaged
from models.csv_table import read_table
from models.dma.platform import FOLDER, Platform, as_toml
from models.dma.timing import predict

REFERENCE = packaged("models.dma", "reference")
ANCHOR = Platform(name="mi300x", endpoints=8, bandwidth=52_000.0)

FITTED = {
    "host": 1.0,
    "doorbell": 4.0,
    "start": 2.0,
    "occupancy": 0.5,
    "broadcast_rate": 0.4,
    "signal": 1.0,
    "next_signal": 1.5,
    "release": 0.1,
}
"""The fitted parameters, and where the search begins."""

FITTED_VARIANTS = ("pcpy_pl", "bcst", "bcst_pl")
PREDICTED_VARIANTS = ("b2b", "b2b_pl")
TITLE = "AMD Instinct MI300X, 8 GPUs: written by `python -m models.dma.fit --write`."
PHASES = ("control", "schedule", "copy", "sync")
PHASE_WEIGHT = 1.3
"""Worth of an error of a share, against a relative error of a speed-up. Shares are published
in whole per cents; they decide how a fixed total is divided."""

EXPONENTS = (1.0, 1.5, 2.0, 3.0)
"""The error's exponent grows in steps, from least squares towards the smallest worst case."""

SMALLEST = 1e-3
"""No time is shorter: what the data push to it cannot be told apart from zero."""


@dataclass(frozen=True)
class Row:
    """One published all-gather size with its speed-ups over pcpy."""

    size: int
    speedup: dict[str, float]


def allgather_rows() -> list[Row]:
    return [
        Row(
            int(row["size_bytes"]),
            {name: float(row[name]) for name in (*FITTED_VARIANTS, *PREDICTED_VARIANTS)},
        )
        for row in _read("allgather_speedup.csv")
    ]


def phase_rows() -> list[tuple[int, dict[str, float]]]:
    return [
        (int(row["size_bytes"]), {name: float(row[f"{name}_pct"]) / 100 for name in PHASES})
        for row in _read("p2p_phases.csv")
    ]


def _read(name: str) -> list[dict[str, str]]:
    return list(read_table(REFERENCE / name))


def speedup(platform: Platform, variant: str, size: int) -> float:
    """Of an all-gather ``variant`` (with ``_pl`` if launched ahead) over pcpy."""
    name, _, ahead = variant.partition("_")
    time = predict(platform, "allgather", name, size, prelaunch=ahead == "pl").total
    return predict(platform, "allgather", "pcpy", size).total / time


def speedup_errors(platform: Platform, variants: tuple[str, ...]) -> np.ndarray:
    """Relative, sizes by variants."""
    return np.array(
        [
            [speedup(platform, name, row.size) / row.speedup[name] - 1 for name in variants]
            for row in allgather_rows()
        ]
    )


def phase_errors(platform: Platform) -> np.ndarray:
    """Differences of shares, sizes by phases."""
    errors = []
    for size, shares in phase_rows():
        phases = predict(platform, "p2p", "pcpy", size)
        errors.append([getattr(phases, name) / phases.total - shares[name] for name in PHASES])
    return np.array(errors)


def platform_of(values: np.ndarray) -> Platform:
    """A swap, which nothing is published of, is taken for a broadcast: two streams at once."""
    fields: dict[str, Any] = dict(zip(FITTED, map(float, values), strict=True))
    return dataclasses.replace(
        ANCHOR, **fields, swap_rate=fields["broadcast_rate"], swap_start=fields["start"]
    )


def _residuals(logarithms: np.ndarray, exponent: float = 1.0) -> np.ndarray:
    platform = platform_of(SMALLEST + np.exp(logarithms))
    errors = np.concatenate(
        [
            speedup_errors(platform, FITTED_VARIANTS).ravel(),
            PHASE_WEIGHT * phase_errors(platform).ravel(),
        ]
    )
    residuals: np.ndarray = np.sign(errors) * np.abs(errors) ** exponent
    return residuals


def fit() -> tuple[Platform, dict[str, float]]:
    """The platform, and the standard error of each fitted parameter: from the curvature at the
    least-squares level, as a share of the parameter."""
    point = np.log(np.array(list(FITTED.values())))
    for exponent in EXPONENTS:
        point = least_squares(_residuals, point, kwargs={"exponent": exponent}).x
    linear = least_squares(_residuals, point, max_nfev=1)
    jacobian, freedom = linear.jac, len(linear.fun) - len(point)
    variance = float((_residuals(point) ** 2).sum()) / freedom
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * variance
    spread = np.sqrt(np.diag(covariance))
    return platform_of(SMALLEST + np.exp(point)), dict(zip(FITTED, spread, strict=True))


def advice(platform: Platform) -> list[tuple[int, str, float]]:
    """Per size the variant the model ranks first, and its published speed over the best's."""
    result = []
    for row in allgather_rows():
        published = row.speedup | {"pcpy": 1.0}
        ranked = {
            name: 1.0 if name == "pcpy" else speedup(platform, name, row.size) for name in published
        }
        first = max(ranked, key=lambda name: ranked[name])
        result.append((row.size, first, published[first] / max(published.values())))
    return result


def report(platform: Platform, spread: dict[str, float]) -> str:
    """Parameters and residuals as text."""
    units = {item.name: item.metadata for item in dataclasses.fields(platform) if item.metadata}
    lines = [f"{'parameter':16}{'value':>9} {'+-':>7}  meaning"]
    for name in FITTED:
        value = getattr(platform, name)
        lines.append(
            f"{name:16}{value:9.3f} {value * spread[name]:7.3f}  {units[name]['doc']}"
            + (f" ({units[name]['unit']})" if units[name]["unit"] else "")
        )
    for title, variants in (("fitted", FITTED_VARIANTS), ("predicted", PREDICTED_VARIANTS)):
        for column, name in enumerate(variants):
            errors = np.abs(speedup_errors(platform, variants)[:, column])
            lines.append(
                f"{title} {name}: median {np.median(errors):.1%}, worst {errors.max():.1%}"
            )
    errors = np.abs(speedup_errors(platform, FITTED_VARIANTS))
    lines.append(f"fitted columns: median {np.median(errors):.1%}, worst {errors.max():.1%}")
    shares = np.abs(phase_errors(platform))
    lines.append(
        f"shares of a copy's phases: median {np.median(shares) * 100:.1f} points, worst "
        f"{shares.max() * 100:.1f}"
    )
    lines.append("size         pcpy_pl        bcst     bcst_pl         b2b      b2b_pl   first")
    for row, (_, first, worth) in zip(allgather_rows(), advice(platform), strict=True):
        cells = "".join(
            f"{speedup(platform, name, row.size):6.2f}/{row.speedup[name]:5.2f}"
            for name in (*FITTED_VARIANTS, *PREDICTED_VARIANTS)
        )
        lines.append(f"{row.size:<8}{cells}   {first} ({worth:.0%} of the best)")
    return "\n".join(lines)


def main() -> None:
    platform, spread = fit()
    print(report(platform, spread))
    if "--write" in sys.argv:
        text = as_toml(platform, TITLE)
        (FOLDER / "mi300x.toml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
