"""Dimensions of a decoder-only transformer with gated feed-forward layers."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "llm"


class ShapeError(ValueError):
    """A description of a model that cannot be used."""


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
    def kv_width(self) -> int:
        """Of all keys of a token, or all values."""
        return self.hidden // self.heads * self.kv_heads

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self)[1:]:
            value = getattr(self, item.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ShapeError(f"{self.name}: {item.name} = {value!r}: must be at least 1")
        if self.hidden % self.heads or self.heads % self.kv_heads:
            raise ShapeError(
                f"{self.name}: heads = {self.heads}: must divide hidden = {self.hidden} and be a "
                f"multiple of kv_heads = {self.kv_heads}"
            )


def shapes() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_shape(source: str) -> ModelShape:
    """A preset's name, or a TOML file."""
    path = Path(source) if source.endswith(".toml") else FOLDER / f"{source}.toml"
    if not path.is_file():
        raise ShapeError(f"model {source!r}: must be a .toml file or one of {', '.join(shapes())}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ShapeError(f"model {source}: {error}") from error
    known = {item.name for item in dataclasses.fields(ModelShape)} - {"name"}
    if set(values) != known:
        wrong = ", ".join(sorted(set(values) ^ known))
        raise ShapeError(f"model {source}: unknown or missing: {wrong}")
    return ModelShape(path.stem, **values)
