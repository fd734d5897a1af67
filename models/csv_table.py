"""Tables in CSV, with lines of comment that begin with #."""

from __future__ import annotations

import csv
from pathlib import Path


def read_table(path: Path) -> csv.DictReader[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return csv.DictReader(line for line in lines if line and not line.startswith("#"))
