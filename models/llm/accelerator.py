"""How long an operator takes: a roofline, or a measured profile."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from models.csv_table import read_table
from models.llm.operators import PRECISIONS, Operator

COLUMNS = ("operator", "shape", "precision", "seconds")


class ProfileError(ValueError):
    """A profile that cannot be used."""


@dataclass(frozen=True)
class Roofline:
    """Peaks of an NVIDIA H200 SXM without sparsity (NVIDIA H200 data sheet), and what of them
    is achieved: 60 % of the operations, as large matrix products do, and 80 % of the memory's
    bandwidth, as streaming kernels do. The two shares are assumptions, the same for every
    operator, model and size."""

    fp16_operations: float = 989e12
    fp8_operations: float = 1979e12
    memory_bytes: float = 4.8e12
    operations_share: float = 0.60
    memory_share: float = 0.80

    def seconds(self, operator: Operator) -> float:
        peak = self.fp8_operations if operator.precision == "fp8" else self.fp16_operations
        return max(
            operator.operations / (peak * self.operations_share),
            operator.bytes / (self.memory_bytes * self.memory_share),
        )


@dataclass(frozen=True)
class Profile:
    """Measured seconds by operator, shape and precision; what is missing is an error."""

    times: dict[tuple[str, str, str], float]

    @classmethod
    def load(cls, path: Path) -> Profile:
        try:
            table = read_table(path)
            columns, rows = tuple(table.fieldnames or ()), list(table)
        except (OSError, ValueError, csv.Error) as error:
            raise ProfileError(f"profile {path}: {error}") from error
        if columns != COLUMNS:
            raise ProfileError(f"profile {path}: columns must be {','.join(COLUMNS)}")
        times = {}
        for row in rows:
            where = f"profile {path}: {row['operator']} {row['shape']}"
            if row["precision"] not in PRECISIONS:
                raise ProfileError(
                    f"{where}: precision = {row['precision']!r}: must be {' or '.join(PRECISIONS)}"
                )
            try:
                seconds = float(row["seconds"])
            except (TypeError, ValueError) as error:
                raise ProfileError(f"{where}: seconds = {row['seconds']!r}: no number") from error
            if not 0 < seconds < math.inf:
                raise ProfileError(f"{where}: seconds = {seconds}: must be positive and finite")
            times[row["operator"], row["shape"], row["precision"]] = seconds
        return cls(times)

    def seconds(self, operator: Operator) -> float:
        key = operator.name, operator.shape, operator.precision
        if key not in self.times:
            raise ProfileError(f"the profile lacks {', '.join(key)}")
        return self.times[key]
