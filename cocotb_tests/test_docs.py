"""The documentation's tables and figures are those of the code."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def script(name):
    """A program of the documentation's folder, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_current():
    assert script("generate").outdated() == [], "run python docs/generate.py"


def test_every_table_is_used_once():
    text = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    for name in script("generate").TABLES:
        assert text.count(f"<!-- begin {name} -->") == 1, name
        assert text.count(f"<!-- end {name} -->") == 1, name


def test_simulated_figures_are_current():
    figures = script("figures")
    names = set().union(*(figures.names_in(path.read_text("utf-8")) for path in figures.DOCUMENTS))
    assert set(figures.SIMULATED) <= names, "measured, and written nowhere"
    assert figures.outdated(figures.measured(names, rtl=False)) == [], "run python docs/figures.py"


def test_a_wrong_figure_is_noticed(tmp_path, monkeypatch):
    figures = script("figures")
    page = tmp_path / "page.md"
    page.write_text("It takes <!--figure 4K-->1<!--/--> cycles.\n", encoding="utf-8")
    monkeypatch.setattr(figures, "DOCUMENTS", (page,))
    values = figures.measured({"4K"}, rtl=False)
    assert figures.outdated(values) == [page]
    assert figures.filled(page.read_text("utf-8"), values).count(values["4K"]) == 1
