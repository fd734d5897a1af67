"""Dimensions of a decoder-only transformer with gated feed-forward layers."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from hw.spec.input_file import read_input, stem_of
from hw.spec.packaged import packaged

FOLDER = packaged("hw.spec", "configs", "llm")


class ShapeError(ValueError):
    """A description of a model that cannot be used."""


LARGEST = 1 << 24
"""Of any dimension: far beyond every model, and small enough for exact arithmetic."""


@dataclass(frozen=True)
class Shard:
    """What one of several tensor-parallel accelerators holds of a layer: widths in elements."""

    queries: int
    keys: int
    """Of keys, and as many of values."""
    ffn: int


@dataclass(frozen=True)
class ModelShape:
    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int

    @property
    def head_width(self) -> int:
        return self.hidden // self.heads

    def shard(self, parallel: int) -> Shard:
        """Whole heads and equal shares, as inference engines split a layer over ``parallel``
        accelerators. Where these are more than the KV heads, each KV head is held by several.

        Raises :class:`ShapeError` where ``heads`` or ``ffn`` do not divide, or KV heads neither
        divide nor can be held by equally many accelerators each.
        """
        for name in ("heads", "ffn"):
            if getattr(self, name) % parallel:
                raise ShapeError(
                    f"model {self.name}: {name} = {getattr(self, name)} cannot be divided by "
                    f"{parallel} accelerators: system.endpoints must divide it"
                )
        if max(self.kv_heads, parallel) % min(self.kv_heads, parallel):
            raise ShapeError(
                f"model {self.name}: kv_heads = {self.kv_heads} can be neither divided by nor "
                f"replicated evenly over {parallel} accelerators: one must be a multiple of the "
                "other"
            )
        return Shard(
            queries=self.heads // parallel * self.head_width,
            keys=max(1, self.kv_heads // parallel) * self.head_width,
            ffn=self.ffn // parallel,
        )

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self)[1:]:
            value = getattr(self, item.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ShapeError(f"{self.name}: {item.name} = {value!r}: must be at least 1")
            if value > LARGEST:
                raise ShapeError(f"{self.name}: {item.name} = {value}: must be at most {LARGEST}")
        if self.hidden % self.heads or self.heads % self.kv_heads:
            raise ShapeError(
                f"{self.name}: heads = {self.heads}: must divide hidden = {self.hidden} and be a "
                f"multiple of kv_heads = {self.kv_heads}"
            )


def shapes() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_shape(source: str) -> ModelShape:
    """A preset's name, or a TOML file."""
    is_file = source.endswith(".toml")
    path = Path(source) if is_file else FOLDER / f"{source}.toml"
    if not (os.path.exists(path) if is_file else source in shapes()):
        raise ShapeError(f"model {source!r}: must be a .toml file or one of {', '.join(shapes())}")
    try:
        values = tomllib.loads(read_input(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ShapeError(f"model {source}: {error}") from error
    known = {item.name for item in dataclasses.fields(ModelShape)} - {"name"}
    if set(values) != known:
        wrong = ", ".join(sorted(set(values) ^ known))
        raise ShapeError(f"model {source}: unknown or missing: {wrong}")
    return ModelShape(stem_of(path), **values)
