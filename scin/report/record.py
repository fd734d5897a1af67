"""Records: the one form in which every command writes its results as JSON.

A document is ``{"command", "version", "config", "records"}``; ``schema.json`` beside this file
describes it, every field a record may have, and which fields each command's records have.
:data:`FIELDS` are in every record, null where they do not apply. JSON has no NaN and no Infinity:
such a value becomes null, and the record's field ``missing`` says why.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import Any

from hw.spec.config import Config
from hw.spec.packaged import packaged
from hw.spec.status import Status
from models.dma.platform import Platform
from models.wire import bus_factor

SCHEMA = packaged("scin.report", "schema.json")

FIELDS = (
    *("op", "algo", "backend", "dtype", "redop", "endpoints", "size_bytes", "cycles", "time_s"),
    *("algbw_GBps", "busbw_GBps", "wire_bytes", "wire_GBps", "util"),
    *("wrong", "status", "sync_included", "seed"),
)
"""In every record, in this order."""

GIGA = 1e9


@dataclass(kw_only=True)
class Result:
    """One line of a table, and one record.

    ``size_bytes`` counts as nccl-tests does; ``wire_bytes`` is what the busiest link carries of
    it (:mod:`models.wire`), and ``link_GBps`` what that link could carry. Rates follow from them;
    they are None where something is missing or nothing took any time. What failed has no time,
    so no rates either: the times that its hardware keeps are those of whatever ran before.
    Subclasses add fields, which are part of the record.
    """

    op: str | None = None
    algo: str | None = None
    backend: str | None = None
    dtype: str | None = None
    redop: str | None = None
    endpoints: int | None = None
    size_bytes: int | None = None
    cycles: int | None = None
    time_s: float | None = None
    wire_bytes: int | None = None
    link_GBps: float | None = None  # noqa: N815
    wrong: int | None = None
    status: str | None = None
    sync_included: bool | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.failed:
            self.cycles = self.time_s = None

    @property
    def failed(self) -> bool:
        return self.status not in (None, Status.OK.name)

    @property
    def microseconds(self) -> float | None:
        return None if self.time_s is None else self.time_s * 1e6

    @property
    def algbw_GBps(self) -> float | None:  # noqa: N802
        return self._rate(self.size_bytes)

    @property
    def busbw_GBps(self) -> float | None:  # noqa: N802
        if self.algbw_GBps is None or self.op is None or self.endpoints is None:
            return None
        return self.algbw_GBps * bus_factor(self.op, self.endpoints)

    @property
    def wire_GBps(self) -> float | None:  # noqa: N802
        return self._rate(self.wire_bytes)

    @property
    def util(self) -> float | None:
        """Share of what the busiest link could carry in that time; never above 1."""
        if self.wire_GBps is None or self.link_GBps is None:
            return None
        return self.wire_GBps / self.link_GBps

    def _rate(self, size: int | None) -> float | None:
        return size / self.time_s / GIGA if size is not None and self.time_s else None

    def as_dict(self, **more: Any) -> dict[str, Any]:
        """The record: common fields, the subclass's own, and ``more``."""
        common = {item.name for item in fields(Result)}
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        extra = {name: value for name, value in own.items() if name not in common}
        return {name: getattr(self, name) for name in FIELDS} | extra | more


@dataclass(kw_only=True)
class CollectiveResult(Result):
    """A collective of tensors, run or predicted."""

    op: str
    algo: str
    endpoints: int
    size_bytes: int
    sync_included: bool
    count: int
    """Elements."""
    wire_format: str
    """What crosses the fabric: the dtype, of a block-scaled one with its block."""
    error: dict[str, float | int | None] | None = None
    """Of a quantized collective: :class:`models.accuracy.quantized_allreduce.Error` of the tensors
    that come out, against the exact sum."""
    agreement_cycles: int | None = None
    """Part of ``cycles``: the All-Reduce of one value per rank by which the ranks of a
    quantized collective agree on a common exponent; 0 where the format needs none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.failed:
            self.error = self.agreement_cycles = None


def shown(value: float | None, form: str = "") -> str:
    """A cell of a table: ``-`` where there is no value."""
    return "-" if value is None else format(value, form)


def document(
    command: str, config: Config | Platform | None, records: list[dict[str, Any]]
) -> dict[str, Any]:
    """``config``: of the system, or of the platform whose times are predicted; None where every
    record names its own, or none applies."""
    return {
        "command": command,
        "version": version("scin"),
        "config": None if config is None else asdict(config),
        "records": [_without_infinities(record) for record in records],
    }


def as_json(tree: Any) -> str:
    return json.dumps(tree, indent=2, allow_nan=False) + "\n"


def _without_infinities(record: dict[str, Any]) -> dict[str, Any]:
    reasons: dict[str, str] = dict(record.get("missing", {}))
    clean = {name: _finite(value, name, reasons) for name, value in record.items()}
    return clean | ({"missing": reasons} if reasons else {})


def _finite(value: Any, path: str, reasons: dict[str, str]) -> Any:
    """``value`` as JSON can hold it; adds why something became null to ``reasons``."""
    if isinstance(value, dict):
        return {key: _finite(item, f"{path}.{key}", reasons) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item, f"{path}.{index}", reasons) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        why = "not a number" if math.isnan(value) else "infinite"
        reasons.setdefault(path, why if value != -math.inf else "minus infinity")
        return None
    return value
