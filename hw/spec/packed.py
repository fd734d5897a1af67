"""Instructions, commands, packet headers and the like: each field is written once, with its width
and its meaning, and serves as a layout for gates and as a frozen dataclass for software.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Self

from amaranth.lib import data

from hw.spec.config import Config
from hw.spec.packing import pack, unpack


@dataclass(frozen=True)
class PerEndpoint:
    """Shape of a field that has a value of ``width`` bits for every endpoint of a system."""

    width: int


def member(shape: Any, doc: str, *, default: Any = 0) -> Any:
    """A field of a :class:`Packed`: its ``shape`` in gates, its meaning, its value if left out."""
    return field(default=default, metadata={"shape": shape, "doc": doc})


@dataclass(frozen=True)
class Packed:
    """Values that are packed into bits. Subclasses are frozen dataclasses whose fields are all
    :func:`member`.

    Values are checked against their widths when they are packed. Only what has a
    :class:`PerEndpoint` field needs the configuration.
    """

    @classmethod
    @cache
    def layout(cls, config: Config | None = None) -> data.StructLayout:
        """Its layout in gates and on wires, the first field in the lowest bits."""
        return data.StructLayout({item.name: _shape(cls, item, config) for item in fields(cls)})

    @classmethod
    def docs(cls) -> dict[str, str]:
        """The meaning of each field."""
        return {item.name: item.metadata["doc"] for item in fields(cls)}

    def pack(self, config: Config | None = None) -> int:
        """Its bits. Raises :class:`ValueError` for a value that its field does not hold; a field
        that is None is zero."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        return pack(self.layout(config), values)

    @classmethod
    def unpack(cls, word: int, config: Config | None = None) -> Self:
        """That whose bits are ``word``. Numbers stay plain, for no enumeration may have
        them."""
        values = unpack(cls.layout(config), word)
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _shape(owner: type[Packed], item: Any, config: Config | None) -> Any:
    shape = item.metadata["shape"]
    if not isinstance(shape, PerEndpoint):
        return shape
    if config is None:
        raise TypeError(f"{owner.__name__}.{item.name}: has a value per endpoint: of which Config?")
    return data.ArrayLayout(shape.width, config.system.endpoints)
