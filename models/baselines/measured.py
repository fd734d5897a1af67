"""What was measured on GPUs, to show beside the baselines."""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec.packaged import packaged
from models.csv_table import read_table

REFERENCE = packaged("models.baselines", "reference", "gpu_measured.csv")


@dataclass(frozen=True)
class Measured:
    source: str
    algorithm: str
    accelerators: int
    size: int
    seconds: float


def measured() -> list[Measured]:
    return [
        Measured(
            row["source"],
            row["algorithm"],
            int(row["accelerators"]),
            int(row["size_bytes"]),
            float(row["seconds"]),
        )
        for row in read_table(REFERENCE)
    ]
