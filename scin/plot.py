"""Plots with labelled axes."""

from __future__ import annotations

import io
from pathlib import Path

from hw.spec.config import Config
from scin.options import InputError, write_atomically
from scin.runner import Measurement

FORMATS = ("png", "svg")


def plot_format(target: str) -> str:
    """Format of a plot, by its file's ending; checked before anything long starts."""
    kind = Path(target).suffix.lstrip(".").lower()
    if kind not in FORMATS:
        raise InputError(f"plot {target}: must end in one of {', '.join(FORMATS)}")
    return kind


def plot_bandwidth(
    target: str, title: str, measurements: list[Measurement], config: Config
) -> None:
    """algbw over size, a line per algorithm, with the link's rate."""
    path, kind = Path(target), plot_format(target)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for name in dict.fromkeys((item.algo, item.wire) for item in measurements):
        line = [item for item in measurements if (item.algo, item.wire) == name]
        axes.plot(
            [item.size_bytes for item in line],
            [item.algbw_GBps for item in line],
            marker="o",
            label=" ".join(name),
        )
    axes.axhline(config.link.gigabytes_per_second, color="grey", linestyle="--", label="link")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("size (B)")
    axes.set_ylabel("algorithm bandwidth (GB/s)")
    axes.set_title(title)
    axes.grid(True, alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format=kind, bbox_inches="tight", metadata={"Date": None} if kind == "svg" else None
    )
    pyplot.close(figure)
    write_atomically(path, buffer.getvalue())
