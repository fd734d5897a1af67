"""Tables and sizes: whatever stands in a cell is whole, and apart from its neighbours."""

import contextlib
import importlib
import io
import os
import pkgutil
import re
from unittest import mock

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich import box
from rich.cells import cell_len
from rich.table import Table as RichTable

import scin
from cocotb_tests.support.properties import steady
from scin.main import main
from scin.report.table import TextTable
from scin.report.terminal import WIDEST, Console
from scin.report.units import size_text

NARROW = {"COLUMNS": "40"}

UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
"""Of IEC 80000-13."""

SIGNS = st.characters(exclude_categories=("C", "Z"))
CELLS = st.lists(st.text(SIGNS, max_size=12), max_size=3).map(" ".join).map(str.strip)
"""Any visible signs, and spaces between words."""

WIDTHS = st.integers(1, 20)


def shown(write):
    """What a function prints to stdout, on a terminal of 40 columns."""
    with mock.patch.dict(os.environ, NARROW), contextlib.redirect_stdout(io.StringIO()) as output:
        write()
    return output.getvalue()


def apart(cells, gap):
    """A pattern of the cells, whole, in order, with a gap between each and the next."""
    return gap.join(re.escape(cell) for cell in cells)


@steady
@given(st.lists(st.tuples(CELLS, WIDTHS), min_size=1, max_size=8), st.sampled_from(" #"))
def test_cells_of_a_line(columns, prefix):
    """Whole and separated, however wide they are and their columns; in one line."""
    cells = [cell for cell, _ in columns]

    def write():
        table = TextTable([("", "", width) for _, width in columns], quiet=False, error=False)
        table.row(cells, prefix=prefix)

    line = shown(write).removesuffix("\n")
    # A line ends with its last cell that is not empty.
    whole = line + " " * sum(width for _, width in columns) + " "
    assert re.fullmatch(f"{prefix} *{apart(cells, ' +')} *", whole), line


@steady
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6))
def test_columns_are_under_their_names(columns):
    """Cells that fit end where the names of their columns end."""
    widths = [max(len(name), len(cell), 1) + 1 for name, cell in columns]

    def write():
        titles = [(name, "", width) for (name, _), width in zip(columns, widths, strict=True)]
        table = TextTable(titles, quiet=False, error=False)
        table.head("")
        table.row([cell for _, cell in columns])

    _, head, row = (line.ljust(sum(widths)) for line in shown(write).splitlines())
    end = 0
    for (name, cell), width in zip(columns, widths, strict=True):
        end += width
        assert head[:end].endswith(name)
        assert row[:end].endswith(cell)


@steady
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=4))
def test_cells_of_a_box(rows):
    """Those of rich's tables, too."""

    def write():
        table = RichTable(*"abc", box=box.SIMPLE, padding=(0, 1, 0, 0))
        for row in rows:
            table.add_row(*row)
        Console().table(table)

    lines = shown(write).splitlines()
    assert all(cell_len(line) < WIDEST for line in lines)
    for row, line in zip(rows, lines[-1 - len(rows) : -1], strict=True):
        assert re.fullmatch(f" *{apart(row, '  +')} *", line.ljust(WIDEST)), line


@pytest.mark.parametrize("text", [":a:", "fpga4:sparkles:", "[red]", "[/x]", "a\\[b]"])
def test_names_are_no_notation(text):
    """A user's file may be called so."""
    assert shown(lambda: Console().print(text)) == f"{text}\n"
    table = RichTable("name")
    table.add_row(text)
    assert text in shown(lambda: Console().table(table))


def column_lists():
    """Every list of columns in the package, by the name of its module."""
    for item in pkgutil.walk_packages(scin.__path__, "scin."):
        columns = getattr(importlib.import_module(item.name), "COLUMNS", ())
        if columns:
            yield pytest.param(columns, id=item.name)


@pytest.mark.parametrize("columns", list(column_lists()))
def test_names_fit_their_columns(columns):
    """So that a name stands over what it names."""
    for name, unit, width in columns:
        assert max(len(name), len(unit)) < width, name


def test_columns_are_found():
    assert len(list(column_lists())) > 5


@steady
@given(st.integers(0, 1 << 70))
def test_sizes_read_back(size):
    """Exactly, by the binary unit."""
    number, name = size_text(size).split(" ")
    assert number.isdecimal()
    assert int(number) * UNITS[name] == size


@steady
@given(st.integers(1, 1023), st.sampled_from(list(UNITS)))
def test_sizes_are_in_the_largest_whole_unit(number, unit):
    """As few digits as there can be, and never in powers or exponents."""
    size = number * UNITS[unit]
    assert size_text(size) == size_text(float(size)) == f"{number} {unit}"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        *((262144, "256 KiB"), (1048576, "1 MiB"), (1 << 30, "1 GiB"), (1 << 40, "1024 GiB")),
        *((0, "0 B"), (1000, "1000 B"), (1025, "1025 B"), (1536, "1536 B"), (3 << 19, "1536 KiB")),
    ],
)
def test_sizes(size, text):
    assert size_text(size) == text


def test_sizes_in_titles():
    """Of tables whose lines do not say them."""
    for command, text in (
        ("dma kvfetch --platform mi300x", "blocks of 128 KiB, timing model mi300x"),
        ("dma kvfetch --platform mi300x --block 3K", "blocks of 3 KiB, timing model mi300x"),
        ("explain allreduce --size 16384", "allreduce of 16 KiB in the simulator"),
    ):
        result = CliRunner().invoke(main, command.split())
        assert text in result.stdout.splitlines()[0], result.output
