"""Two collectives: the root's vector in chunks, one to every rank, and back."""

from models.collective import Collective, Ranks


def _moving(ranks: int) -> float:
    return (ranks - 1) / ranks


SCATTER = Collective("scatter", Ranks.ROOT, Ranks.OWNER, _moving)
GATHER = Collective("gather", Ranks.OWNER, Ranks.ROOT, _moving)
