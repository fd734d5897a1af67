"""Plots: curves that every reader tells apart, legends that cover nothing, nothing hidden without a
word."""

import functools
import itertools
import re
import shlex
from unittest import mock

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib import pyplot

from cocotb_tests.support.commands import commands_of
from scin.commands.study import STUDIES
from scin.main import main
from scin.report import plot
from scin.report.plot import COLOURS, HATCHES, MARKERS, Bar, Line, Panel, plot_bars, plot_panels

ALL = "scin,scin-inq,ring,direct,nvls,twoshot,oneshot,tree,dma-ring"
COMMANDS = [
    "compare --config fpga4 --max 16M --factor 4",
    f"compare --config fpga4 --max 256K --factor 4 --algo {ALL}",
    "compare --algo ring,nvls,twoshot --parameter software_us=6",
    *(f"study {name} --config fpga4" for name in STUDIES),
    "llm --model llama2-7b",
    "explain allreduce --backend sim",
    "dma allgather --backend model --platform mi300x",
    "dma alltoall --backend model --platform mi300x",
    "dma p2p --backend model --platform fpga4",
    "accuracy --data synthetic,normal --formats int8,int4 --ranks 2,4 --blocks 64",
    f"sweep allreduce --backend sim --config fpga4 --algo {ALL}",
]
every_plot = pytest.mark.parametrize("command", COMMANDS)


def drawn(call, *arguments):
    """The figure that a function would write."""
    figures = []
    with mock.patch.object(plot, "_write", lambda target, figure: figures.append(figure)):
        call(*arguments)
    (figure,) = figures
    pyplot.close(figure)
    figure.canvas.draw()
    return figure


@functools.cache
def figure_of(command):
    def call():
        given = [*shlex.split(command), "--quiet", "--plot", "x.svg"]
        result = CliRunner().invoke(main, given)
        assert result.exit_code == 0, result.output

    return drawn(call)


def panels(*curves, **options):
    """A figure of one set of axes, whose curves have letters as names."""
    lines = [Line(name, points) for name, points in zip("abcdefgh", curves, strict=False)]
    return drawn(plot_panels, "x.svg", "", [Panel("x", "y", lines, **options)])


def labels_of(figure):
    return [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]


def test_every_command_that_plots_is_here():
    plotting = {
        name
        for name, command in commands_of(main)
        if any(parameter.name == "plot" for parameter in command.params)
    }
    assert {command.split()[0] for command in COMMANDS} == plotting


# Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision
# Deficiency, IEEE TVCG 15 (6), 2009, https://doi.org/10.1109/TVCG.2009.113: the matrices of full
# severity, for linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""Of IEC 61966-2-1, with the white D65."""

LEAST_DIFFERENCE = 15
"""In CIE 1976 L*a*b*, where 2.3 is what is just noticed."""


def seen(colour, vision):
    """L*a*b* of a colour as it is seen."""
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    relative = SRGB_TO_XYZ @ linear / SRGB_TO_XYZ.sum(axis=1)
    x, y, z = np.where(
        relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_colours_are_told_apart(vision):
    """From each other and from the paper, by readers with any colour vision."""
    for one, other in itertools.combinations([*COLOURS, "#FFFFFF"], 2):
        difference = np.linalg.norm(seen(one, vision) - seen(other, vision))
        assert difference >= LEAST_DIFFERENCE, (one, other)


def test_colours_alone_tell_nothing():
    """A reader without colours has the markers and the hatching."""
    assert len(set(MARKERS)) == len(MARKERS) >= len(COLOURS)
    assert len(set(HATCHES)) == len(HATCHES)


def mark(line):
    return line.get_marker(), line.get_markerfacecolor() != "none"


def looks(line):
    """What tells a curve from others without its colour."""
    return (*mark(line), line.get_linestyle())


@every_plot
def test_curves_look_different(command):
    """Without colours, as far as they share axes; and as the legend shows them."""
    for axes in figure_of(command).axes:
        curves = [looks(line) for line in axes.lines]
        assert len(set(curves)) == len(curves)
        # Points that no line joins stand among those of others.
        marks = [mark(line) for line in axes.lines]
        loose = [mark(line) for line in axes.lines if line.get_linestyle() == "None"]
        assert all(marks.count(item) == 1 for item in loose)
        hatches = {patch.get_facecolor(): patch.get_hatch() for patch in axes.patches}
        assert len(set(hatches.values())) == len(hatches)
    handles = figure_of(command).axes[-1].get_legend().legend_handles
    shown = [looks(item) for item in handles if hasattr(item, "get_marker")]
    assert set(shown) == {looks(line) for axes in figure_of(command).axes for line in axes.lines}


def check_legend(figure):
    """Its box is apart from every curve with its markers, every bar, and every text."""
    box = figure.axes[-1].get_legend().get_window_extent()
    assert sum(axes.get_legend() is not None for axes in figure.axes) == 1
    texts = [figure._suptitle] if figure._suptitle else []
    for axes in figure.axes:
        for line in axes.lines:
            around = box.padded(line.get_markersize() * figure.dpi / 72)
            path = line.get_transform().transform_path(line.get_path())
            assert not path.intersects_bbox(around, filled=False), line.get_label()
        assert not any(patch.get_window_extent().overlaps(box) for patch in axes.patches)
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels()]
    for text in texts:
        assert not (text.get_text() and text.get_window_extent().overlaps(box)), text


@every_plot
def test_legends_cover_nothing(command):
    check_legend(figure_of(command))


@pytest.mark.parametrize("count", [1, 12, 40])
def test_legends_of_any_length_cover_nothing(count):
    """Of as many curves as anyone asks for, under a title as long as the name of a file may be."""
    lines = [Line(f"{place}" * 20, [(1, 1), (2, place)]) for place in range(count)]
    title = "a title " * 20
    check_legend(drawn(plot_panels, "x.svg", title, [Panel("x", "y", lines)]))
    bars = [Bar(f"{place}" * 20, place, place) for place in range(count)]
    check_legend(drawn(plot_bars, "x.svg", title, "x", bars))


HIDDEN = 1
"""Pixels between two points that no one sees."""


def points_of(line):
    """Where a curve is drawn, in pixels."""
    return line.get_transform().transform(np.column_stack(line.get_data()))


def hides(later, earlier):
    """Whether at least half of the points of a curve are under points of another."""
    over, under = points_of(later), points_of(earlier)
    distances = np.linalg.norm(under[:, None] - over[None], axis=2).min(axis=1)
    return 2 * np.count_nonzero(distances < HIDDEN) >= len(under)


@every_plot
def test_hidden_curves_have_notes(command):
    """Measured on the picture."""
    figure = figure_of(command)
    handles = figure.axes[-1].get_legend().legend_handles
    texts = labels_of(figure)
    names = {looks(item): text for item, text in zip(handles, texts, strict=True) if curve(item)}
    for axes in figure.axes:
        for earlier, later in itertools.combinations(filter(curve, axes.lines), 2):
            if hides(later, earlier):
                assert "(under " in names[looks(earlier)], names[looks(earlier)]


def curve(item):
    """Whether it has points; a level has none."""
    return getattr(item, "get_marker", lambda: "None")() != "None"


def test_what_is_hidden_is_seen_in_the_picture():
    """What measures it finds something."""
    found = 0
    for command in COMMANDS:
        for axes in figure_of(command).axes:
            pairs = itertools.combinations(filter(curve, axes.lines), 2)
            found += sum(hides(later, earlier) for earlier, later in pairs)
    assert found > 5


RISING = [(1 << place, float(1 << place)) for place in range(6)]


@pytest.mark.parametrize("same", range(len(RISING) + 1))
def test_half_of_a_curve(same):
    """From then on it counts as hidden, by the one that is drawn later."""
    other = [(x, y if place < same else y + 50) for place, (x, y) in enumerate(RISING)]
    note = " (under b)" if 2 * same >= len(RISING) else ""
    assert labels_of(panels(RISING, other)) == [f"a{note}", "b"]


def times(factor):
    return [(x, factor * y) for x, y in RISING]


def test_heights_are_those_of_the_picture():
    """What is apart on one scale lies on each other on another."""
    assert labels_of(panels(times(1), times(1.02))) == ["a (under b)", "b"]
    assert labels_of(panels([(1, 1.0)], [(1, 1.02)])) == ["a", "b"]
    far = [*RISING, (64, 1e12)]
    assert labels_of(panels(times(1), times(1.1), far, log_y=True))[0] == "a (under b)"
    assert labels_of(panels(times(1), times(1.1), log_y=True)) == ["a", "b"]


def test_each_hidden_curve_says_what_lies_on_it():
    assert labels_of(panels(RISING, RISING, RISING)) == ["a (under b)", "b (under c)", "c"]
    assert labels_of(panels(RISING, [], times(9))) == ["a", "b", "c"]


def test_a_curve_that_is_hidden_in_one_panel():
    """Has the note in the legend, which is that of all panels."""
    shown = [
        Panel("x", "y", [Line("a", RISING), Line("b", times(factor))]) for factor in (9.0, 1.0)
    ]
    for order in (shown, shown[::-1]):
        assert labels_of(drawn(plot_panels, "x.svg", "", order)) == ["a (under b)", "b"]


@every_plot
def test_sizes_in_plots(command):
    """Axes of sizes have ticks in binary units, and no number of a plot is a power."""
    figure = figure_of(command)
    for axes in figure.axes:
        ticks = [text.get_text() for text in axes.get_xticklabels()]
        if axes.get_xlabel() == "size":
            assert ticks
            assert all(re.fullmatch(r"\d{1,4} ([KMG]i)?B", text) for text in ticks), ticks
        texts = [*ticks, *labels_of(figure), *(text.get_text() for text in axes.get_yticklabels())]
        for text in texts:
            assert not re.search(r"\^|\de[+-]?\d|\d{4,} B", text), text


def test_sizes_in_labels():
    """Of studies that vary them."""
    assert labels_of(figure_of("study buffer --config fpga4"))[0] == "1 KiB waves"
    assert "4 KiB" in labels_of(figure_of("study interference --config fpga4"))[0]
