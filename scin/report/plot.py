"""Plots with labelled axes, told apart by colour, marker and dash."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hw.spec.config import Config
from models.accuracy.accuracy import INTEGERS, Sqnr
from models.simulator.explain import Span
from scin.report.dma_measurement import DmaMeasurement
from scin.report.files import write_file
from scin.report.record import CollectiveResult
from scin.report.units import size_text

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
DEFAULT_FORMAT = "svg"
"""Of devices and pipes, whose names have no ending."""

LARGEST_PLAIN_TICK = 1024
"""Logarithmic axes up to here are labelled with the values themselves."""

MOST_TICKS = 8

COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    *("#E69F00", "#56B4E9", "#000000", "#663311"),
)
"""Of Okabe and Ito, which readers with any colour vision tell apart; but brown for yellow, since
lines stand on white."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DASHES = ("-", "--", ":", "-.")

SAME = 0.008
"""Points that are closer to each other than this share of the height of their axes lie on each
other: it is the width of a line."""


def plot_format(target: str) -> str:
    """Format of a plot, by its file's ending."""
    kind = Path(target).suffix.lstrip(".").lower()
    return kind if kind in FORMATS else DEFAULT_FORMAT


Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """``style``: number of its colour and marker, its own place among the lines if None."""

    label: str
    points: list[Point]
    style: int | None = None
    dash: int = 0
    marks_only: bool = False


@dataclass(frozen=True)
class Panel:
    """One set of axes. ``sizes``: x is in bytes."""

    x_label: str
    y_label: str
    lines: list[Line]
    log_x: bool = True
    log_y: bool = False
    sizes: bool = False
    level: tuple[str, float] | None = None
    """A horizontal line, with its name."""
    title: str = ""


def plot_panels(target: str, title: str, panels: list[Panel]) -> None:
    """Panels side by side. The legend is that of all of them, right of the last."""
    figure, all_axes = _figure(len(panels))
    shown: dict[str, Artist] = {}
    notes: dict[str, str] = {}
    for axes, panel in zip(all_axes, panels, strict=True):
        shown = _draw(axes, panel) | shown
        notes |= _covered(axes, panel.lines)
    _legend(all_axes[-1], {label + notes.get(label, ""): item for label, item in shown.items()})
    figure.suptitle(title, fontsize="medium", parse_math=False)
    _write(target, figure)


def _draw(axes: Axes, panel: Panel) -> dict[str, Artist]:
    """What the legend's labels stand for."""
    handles: dict[str, Artist] = {}
    for place, line in enumerate(panel.lines):
        number = place if line.style is None else line.style
        colour = COLOURS[number % len(COLOURS)]
        # What is drawn first is wider, so that it shows beside what comes to lie on it.
        below = max(0, len(panel.lines) - 1 - place)
        (drawn,) = axes.plot(
            [x for x, _ in line.points],
            [y for _, y in line.points],
            linestyle="none" if line.marks_only else DASHES[line.dash % len(DASHES)],
            linewidth=1.3 + 0.35 * min(below, 6),
            marker=MARKERS[number % len(MARKERS)],
            markersize=5 + 0.5 * min(below, 6),
            markerfacecolor=colour if line.marks_only else "none",
            color=colour,
        )
        handles[line.label] = drawn
    if panel.level is not None:
        name, value = panel.level
        handles[name] = axes.axhline(value, color="grey", linestyle=(0, (1, 3)))
    _scale(axes, panel)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.set_title(panel.title, fontsize="medium", parse_math=False)
    axes.grid(True, alpha=0.3)
    return handles


def _covered(axes: Axes, lines: Sequence[Line]) -> dict[str, str]:
    """Notes on lines that another one, drawn later, hides for at least half of their points, by
    their labels."""
    notes: dict[str, str] = {}
    heights = [_heights(axes, line) for line in lines]
    for place, other in itertools.combinations(range(len(lines)), 2):
        mine, over = heights[place], heights[other]
        hidden = [x in over and abs(over[x] - height) < SAME for x, height in mine.items()]
        if hidden and 2 * sum(hidden) >= len(hidden):
            notes.setdefault(lines[place].label, f" (under {lines[other].label})")
    return notes


def _heights(axes: Axes, line: Line) -> dict[float, float]:
    """Where a line's points are drawn, by their x: 0 is the lower end of the axes, 1 the upper."""
    axes.get_ylim()  # matplotlib fits the axes to what they show when it is asked for them
    to_axes = axes.transScale + axes.transLimits
    return {x: float(to_axes.transform((x, y))[1]) for x, y in line.points}


def _scale(axes: Axes, panel: Panel) -> None:
    places = sorted({x for line in panel.lines if not line.marks_only for x, _ in line.points})
    if not any(line.points for line in panel.lines):
        # A scale of nothing cannot be drawn: everything has failed.
        axes.text(0.5, 0.5, "no results", transform=axes.transAxes, ha="center")
        return
    if panel.log_x:
        axes.set_xscale("log", base=2)
        if panel.sizes:
            _ticks(axes, places, [size_text(x) for x in places])
        elif places[-1] < LARGEST_PLAIN_TICK:
            _ticks(axes, places, [f"{x:g}" for x in places])
    if panel.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(_sparse)
    else:
        axes.set_ylim(bottom=0)


def _sparse(value: float, _: object) -> str:
    """Of the marks between powers of ten, those at 2 and 5 are labelled."""
    leading = f"{value:.0e}"[0]
    return f"{value:g}" if leading in "25" else ""


def _ticks(axes: Axes, places: list[float], labels: list[str]) -> None:
    """At most so many that labels do not touch."""
    step = -(-len(places) // MOST_TICKS)
    axes.set_xticks(places[::step], labels[::step], minor=False, fontsize="small", rotation=30)
    axes.set_xticks([], minor=True)


def _legend(axes: Axes, shown: dict[str, Artist]) -> None:
    """Beside the axes and below their title, where it covers nothing, however long it is."""
    legend = axes.legend(
        list(shown.values()),
        list(shown),
        fontsize="small",
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        borderaxespad=0,
    )
    # Names are the user's: a dollar sign begins no formula.
    for text in legend.get_texts():
        text.set_parse_math(False)


@dataclass(frozen=True)
class Bar:
    label: str
    compute: float
    communication: float


def plot_bars(target: str, title: str, x_label: str, bars: list[Bar]) -> None:
    """Communication behind compute, a bar per entry, the first on top."""
    rows = [
        (bar.label, [("compute", bar.compute), ("All-Reduce", bar.communication)]) for bar in bars
    ]
    _stacked(target, title, x_label, [(label, 0.0, parts) for label, parts in rows])


def plot_waterfall(target: str, title: str, spans: list[Span]) -> None:
    """A bar per step, from its start to its end, by what its cycles are spent on."""
    names = ("links", "memory", "rows", "rest")
    rows = [
        (span.name, float(span.start), [(name, float(getattr(span, name))) for name in names])
        for span in spans
    ]
    _stacked(target, title, "cycles after the last arrival", rows)


HATCHES = ("", "////", "....", "xxxx")


def _stacked(
    target: str,
    title: str,
    x_label: str,
    rows: list[tuple[str, float, list[tuple[str, float]]]],
) -> None:
    """Bars of parts, told apart by colour and hatching; each begins somewhere."""
    figure, (axes,) = _figure(1)
    figure.set_size_inches(8, 1.2 + 0.45 * len(rows))
    shown: dict[str, Artist] = {}
    for position, (_, start, parts) in enumerate(rows):
        for number, (name, width) in enumerate(parts):
            (bar,) = axes.barh(
                position,
                width,
                left=start,
                color=COLOURS[number],
                hatch=HATCHES[number],
                edgecolor="white",
                linewidth=0,
            )
            shown.setdefault(name, bar)
            start += width
    labels = [label for label, _, _ in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize="small", parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(x_label)
    axes.set_title(title, fontsize="medium", parse_math=False)
    axes.grid(True, axis="x", alpha=0.3)
    _legend(axes, shown)
    _write(target, figure)


def plot_bandwidth(
    target: str, title: str, results: Sequence[CollectiveResult], config: Config
) -> None:
    """algbw over size, a line per algorithm, with the link's rate."""
    lines = []
    for algo, sent in dict.fromkeys((item.algo, item.wire_format) for item in results):
        mine = [item for item in results if (item.algo, item.wire_format) == (algo, sent)]
        points: list[Point] = [
            (item.size_bytes, item.algbw_GBps) for item in mine if item.algbw_GBps is not None
        ]
        lines.append(Line(f"{algo} {sent}", points))
    rate = config.link.gigabytes_per_second * config.system.switches
    panel = Panel(
        "size",
        "algorithm bandwidth (GB/s)",
        lines,
        sizes=True,
        level=("link, one direction", rate),
    )
    plot_panels(target, title, [panel])


def plot_dma(target: str, title: str, measurements: list[DmaMeasurement]) -> None:
    """Time over size, a line per variant; dashed what was launched ahead."""
    names = list(dict.fromkeys(item.variant for item in measurements))
    lines = []
    for name, ahead in dict.fromkeys((i.variant, i.prelaunch) for i in measurements):
        mine = [i for i in measurements if (i.variant, i.prelaunch) == (name, ahead)]
        points: list[Point] = [
            (item.size_bytes, item.microseconds) for item in mine if item.microseconds is not None
        ]
        label = name + (", launched ahead" if ahead else "")
        lines.append(Line(label, points, style=names.index(name), dash=int(ahead)))
    panel = Panel("size", "time (us)", lines, log_y=True, sizes=True)
    plot_panels(target, title, [panel])


def plot_accuracy(target: str, items: list[Sqnr]) -> None:
    """SQNR over the number of ranks (block 64) and over the block (8 ranks), or the nearest that
    was measured; a line per data set, format and algorithm. Two shots are as good as the switch,
    which its label says."""
    items = [item for item in items if item.format in INTEGERS]
    block = min((item.block for item in items), key=lambda value: abs(value - 64))
    count = min((item.ranks for item in items), key=lambda value: abs(value - 8))
    dashes = list(dict.fromkeys(item.algo for item in items))
    styles = list(dict.fromkeys((item.data, item.format) for item in items))

    def lines(key: str, chosen: Iterable[Sqnr]) -> list[Line]:
        found: dict[tuple[str, str, str], list[Point]] = {}
        for item in chosen:
            points = found.setdefault((item.data, item.format, item.algo), [])
            if item.sqnr_db is not None:
                points.append((getattr(item, key), item.sqnr_db))
        return [
            Line(
                f"{name} {algo}, {data}",
                points,
                style=styles.index((data, name)),
                dash=dashes.index(algo),
            )
            for (data, name, algo), points in found.items()
        ]

    panels = [
        Panel(
            "accelerators",
            "SQNR (dB)",
            lines("ranks", (item for item in items if item.block == block)),
            title=f"block {block}",
        ),
        Panel(
            "block (elements)",
            "SQNR (dB)",
            lines("block", (item for item in items if item.ranks == count)),
            title=f"{count} accelerators",
        ),
    ]
    plot_panels(target, "Quantized All-Reduce against the exact sum", panels)


def _figure(count: int) -> tuple[Figure, tuple[Axes, ...]]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, count, figsize=(7 if count == 1 else 12, 4.5), squeeze=False)
    return figure, tuple(axes[0])


def _write(target: str, figure: Figure) -> None:
    from matplotlib import pyplot

    kind = plot_format(target)
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format=kind, bbox_inches="tight", metadata={"Date": None} if kind == "svg" else None
    )
    pyplot.close(figure)
    write_file(target, buffer.getvalue())
