"""The documentation's tables and figures are those of the code."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_current():
    assert generator().outdated() == [], "run python docs/generate.py"


def test_every_table_is_used_once():
    text = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    for name in generator().TABLES:
        assert text.count(f"<!-- begin {name} -->") == 1, name
        assert text.count(f"<!-- end {name} -->") == 1, name
