"""Tables in CSV, with lines of comment that begin with #."""

from __future__ import annotations

import csv
from pathlib import Path

from hw.spec.input_file import read_input


def read_table(path: Path) -> csv.DictReader[str]:
    lines = read_input(path).splitlines()
    return csv.DictReader(line for line in lines if line and not line.startswith("#"))
