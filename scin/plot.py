"""Plots with labelled axes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.spec.config import Config
from models.accuracy import INTEGERS, Sqnr
from models.simulator.explain import Span
from scin.dma.measurement import DmaMeasurement
from scin.files import write_file
from scin.report.record import CollectiveResult

FORMATS = ("png", "svg")
DEFAULT_FORMAT = "svg"
"""Of devices and pipes, whose names have no ending."""

LARGEST_PLAIN_TICK = 1024
"""Logarithmic axes up to here are labelled with the values themselves."""


def plot_format(target: str) -> str:
    """Format of a plot, by its file's ending."""
    kind = Path(target).suffix.lstrip(".").lower()
    return kind if kind in FORMATS else DEFAULT_FORMAT


Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """``colour``: number of the colour, the next one if None."""

    label: str
    points: list[Point]
    colour: int | None = None
    marks_only: bool = False


@dataclass(frozen=True)
class Panel:
    """One set of axes."""

    x_label: str
    y_label: str
    lines: list[Line]
    log_x: bool = True
    log_y: bool = False


def plot_panels(target: str, title: str, panels: list[Panel]) -> None:
    figure, all_axes = _figure(len(panels))
    for axes, panel in zip(all_axes, panels, strict=True):
        for number, line in enumerate(panel.lines):
            axes.plot(
                [x for x, _ in line.points],
                [y for _, y in line.points],
                linestyle="none" if line.marks_only else "-",
                marker="x" if line.marks_only else "o",
                markersize=4,
                color=f"C{number if line.colour is None else line.colour}",
                label=line.label,
            )
        places = sorted({x for line in panel.lines for x, _ in line.points})
        if panel.log_x:
            axes.set_xscale("log", base=2)
            if places[-1] < LARGEST_PLAIN_TICK:
                axes.set_xticks(places, [f"{x:g}" for x in places], minor=False)
        if panel.log_y:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(panel.x_label)
        axes.set_ylabel(panel.y_label)
        axes.grid(True, alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle(title, fontsize="medium")
    _write(target, figure)


@dataclass(frozen=True)
class Bar:
    label: str
    compute: float
    communication: float


def plot_bars(target: str, title: str, x_label: str, bars: list[Bar]) -> None:
    """Communication behind compute, a bar per entry, the first on top."""
    figure, (axes,) = _figure(1)
    figure.set_size_inches(7, 1 + 0.45 * len(bars))
    positions = range(len(bars))
    compute = [bar.compute for bar in bars]
    axes.barh(positions, compute, label="compute")
    axes.barh(positions, [bar.communication for bar in bars], left=compute, label="All-Reduce")
    axes.set_yticks(positions, [bar.label for bar in bars], fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel(x_label)
    axes.set_title(title)
    axes.grid(True, axis="x", alpha=0.3)
    axes.legend(fontsize="small")
    _write(target, figure)


def plot_waterfall(target: str, title: str, spans: list[Span]) -> None:
    """A bar per step, from its start to its end, by what its cycles are spent on."""
    figure, (axes,) = _figure(1)
    figure.set_size_inches(8, 1.2 + 0.45 * len(spans))
    for position, span in enumerate(spans):
        left = span.start
        for number, part in enumerate(("links", "memory", "rows", "rest")):
            width = getattr(span, part)
            label = part if position == 0 else None
            axes.barh(position, width, left=left, color=f"C{number}", label=label)
            left += width
    axes.set_yticks(range(len(spans)), [span.name for span in spans], fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel("cycles after the last arrival")
    axes.set_title(title)
    axes.grid(True, axis="x", alpha=0.3)
    axes.legend(fontsize="small")
    _write(target, figure)


def plot_bandwidth(
    target: str, title: str, measurements: list[CollectiveResult], config: Config
) -> None:
    """algbw over size, a line per algorithm, with the link's rate."""
    figure, (axes,) = _figure(1)
    for name in dict.fromkeys((item.algo, item.wire_format) for item in measurements):
        line = [item for item in measurements if (item.algo, item.wire_format) == name]
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
    _write(target, figure)


def plot_dma(target: str, title: str, measurements: list[DmaMeasurement]) -> None:
    """Time over size, a line per variant; dashed what was launched ahead."""
    figure, (axes,) = _figure(1)
    names = list(dict.fromkeys(item.variant for item in measurements))
    for name, ahead in dict.fromkeys((i.variant, i.prelaunch) for i in measurements):
        line = [i for i in measurements if (i.variant, i.prelaunch) == (name, ahead)]
        axes.plot(
            [item.size_bytes for item in line],
            [item.time_s * 1e6 for item in line],
            marker="o",
            linestyle="--" if ahead else "-",
            color=f"C{names.index(name)}",
            label=name + (", launched ahead" if ahead else ""),
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("size (B)")
    axes.set_ylabel("time (us)")
    axes.set_title(title)
    axes.grid(True, alpha=0.3)
    axes.legend()
    _write(target, figure)


def plot_accuracy(target: str, items: list[Sqnr]) -> None:
    """SQNR of INT8 and INT4 over the number of ranks (block 64) and over the block (8 ranks), or
    the nearest that was measured; a line per data set, format and algorithm. Two shots are as
    good as the switch, so they are marks around its points."""
    items = [item for item in items if item.format in INTEGERS]
    blocks, ranks = {item.block for item in items}, {item.ranks for item in items}
    block = min(blocks, key=lambda value: abs(value - 64))
    count = min(ranks, key=lambda value: abs(value - 8))
    figure, (over_ranks, over_blocks) = _figure(2)
    styles: dict[str, dict[str, Any]] = {
        "scin-inq": {"linestyle": "-", "marker": "o"},
        "two-shot-quantized": {
            "linestyle": "",
            "marker": "s",
            "markersize": 10,
            "fillstyle": "none",
        },
        "ring-quantized": {"linestyle": "--", "marker": "o"},
    }
    colours: dict[tuple[str, int], str] = {}
    for data, bits, algo in dict.fromkeys((i.data, i.bits, i.algo) for i in items):
        colour = colours.setdefault((data, bits), f"C{len(colours)}")
        line = [i for i in items if (i.data, i.bits, i.algo) == (data, bits, algo)]
        for axes, key, fixed in (
            (over_ranks, "ranks", [i for i in line if i.block == block]),
            (over_blocks, "block", [i for i in line if i.ranks == count]),
        ):
            axes.plot(
                [getattr(i, key) for i in fixed],
                [i.sqnr_db for i in fixed],
                color=colour,
                **styles[algo],
                label=f"INT{bits} {algo}, {data}",
            )
    for axes, label, title in (
        (over_ranks, "accelerators", f"block {block}"),
        (over_blocks, "block (elements)", f"{count} accelerators"),
    ):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(label)
        axes.set_ylabel("SQNR (dB)")
        axes.set_title(title)
        axes.grid(True, alpha=0.3)
    over_blocks.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.02, 0.5))
    _write(target, figure)


def _figure(count: int):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, count, figsize=(7 if count == 1 else 11, 4.5), squeeze=False)
    return figure, tuple(axes[0])


def _write(target: str, figure) -> None:
    from matplotlib import pyplot

    kind = plot_format(target)
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format=kind, bbox_inches="tight", metadata={"Date": None} if kind == "svg" else None
    )
    pyplot.close(figure)
    write_file(target, buffer.getvalue())
