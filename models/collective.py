"""Operations between ranks: which of them bring data, which get it, and how sizes are counted.

A collective of the switch is added by :func:`register`: its program of instructions, what every
rank brings and gets, its checks and its bandwidths follow from what it says here.

Sizes and bus bandwidths are those of nccl-tests: an operation whose vector has a chunk per rank
is as large as the whole vector, any other as large as what a rank brings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

ROOT = 0
"""Rank that a reduce brings the result to, and that a broadcast starts from."""

BusFactor = Callable[[int], float]
"""busbw ÷ algbw, by the number of ranks."""


class Ranks(Enum):
    """Of one chunk of the vector."""

    EVERY = auto()
    ROOT = auto()
    OWNER = auto()
    """The rank with the number of the chunk."""

    def mask(self, chunk: int, ranks: int) -> int:
        """A bit per rank."""
        return {
            Ranks.EVERY: (1 << ranks) - 1,
            Ranks.ROOT: 1 << ROOT,
            Ranks.OWNER: 1 << chunk,
        }[self]


@dataclass(frozen=True)
class Collective:
    """What the switch does with a vector, or with every chunk of one: it reads it from the
    ``sources``, combines what it read, and writes the result to the ``destinations``."""

    name: str
    sources: Ranks
    destinations: Ranks
    bus_factor: BusFactor

    def __post_init__(self) -> None:
        if self.sources == self.destinations == Ranks.OWNER:
            raise ValueError(f"collective {self.name!r}: chunks must not stay with their owners")

    @property
    def copies(self) -> bool:
        """It has one source: bytes of any meaning pass, and an operator has nothing to do."""
        return self.sources != Ranks.EVERY

    @property
    def whole_vector(self) -> bool:
        """The vector has a chunk per rank, and the size is that of all of them."""
        return Ranks.OWNER in (self.sources, self.destinations)

    def chunks(self, ranks: int) -> list[tuple[int, int]]:
        """Sources and destinations of each chunk, as masks of ranks."""
        count = ranks if self.whole_vector else 1
        return [
            (self.sources.mask(chunk, ranks), self.destinations.mask(chunk, ranks))
            for chunk in range(count)
        ]

    def vectors_brought(self, ranks: int) -> int:
        """How many times what a rank brings makes the vector."""
        return ranks if self.sources == Ranks.OWNER else 1

    def shards(self, ranks: int) -> int:
        """Parts of what a rank brings that go different ways."""
        return ranks if self.destinations == Ranks.OWNER else 1

    def holders(self, ranks: int) -> list[int]:
        """Ranks that get a result."""
        got = 0
        for _, destinations in self.chunks(ranks):
            got |= destinations
        return [rank for rank in range(ranks) if got >> rank & 1]


@dataclass(frozen=True)
class Exchange:
    """What DMA engines do without the switch's accelerator; ``whole_vector`` as in
    :class:`Collective`."""

    name: str
    bus_factor: BusFactor
    whole_vector: bool = False


def _all(ranks: int) -> float:
    return 1.0


def moving_share(ranks: int) -> float:
    """All but the share that stays where it is."""
    return (ranks - 1) / ranks


def _both_ways(ranks: int) -> float:
    return 2 * moving_share(ranks)


OPERATIONS: dict[str, Collective | Exchange] = {}


def register(operation: Collective | Exchange) -> None:
    """Make an operation known by its name."""
    if operation.name in OPERATIONS:
        raise ValueError(f"operation {operation.name!r}: is registered already")
    OPERATIONS[operation.name] = operation


for _operation in (
    Collective("allreduce", Ranks.EVERY, Ranks.EVERY, _both_ways),
    Collective("reduce", Ranks.EVERY, Ranks.ROOT, _all),
    Collective("broadcast", Ranks.ROOT, Ranks.EVERY, _all),
    Collective("allgather", Ranks.OWNER, Ranks.EVERY, moving_share),
    Collective("reducescatter", Ranks.EVERY, Ranks.OWNER, moving_share),
    Exchange("alltoall", moving_share, whole_vector=True),
    Exchange("p2p", _all),
    Exchange("kvfetch", _all),
):
    register(_operation)


def collectives() -> dict[str, Collective]:
    """Those of the switch."""
    return {name: item for name, item in OPERATIONS.items() if isinstance(item, Collective)}


def collective(name: str) -> Collective:
    """The one of that name; raise ``ValueError`` if the switch has none."""
    known = collectives()
    if name not in known:
        raise ValueError(f"operation {name!r}: must be one of {', '.join(known)}")
    return known[name]
