"""What was measured on GPUs, to show beside the baselines."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

REFERENCE = Path(__file__).resolve().parent / "reference" / "gpu_measured.csv"


@dataclass(frozen=True)
class Measured:
    source: str
    algorithm: str
    accelerators: int
    size: int
    seconds: float


def measured() -> list[Measured]:
    lines = REFERENCE.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return [
        Measured(
            row["source"],
            row["algorithm"],
            int(row["accelerators"]),
            int(row["size_bytes"]),
            float(row["seconds"]),
        )
        for row in rows
    ]
