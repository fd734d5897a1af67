"""Two collectives: the root's vector in chunks, one to every rank, and back."""

from models.collective import Collective, Ranks, moving_share

SCATTER = Collective("scatter", Ranks.ROOT, Ranks.OWNER, moving_share)
GATHER = Collective("gather", Ranks.OWNER, Ranks.ROOT, moving_share)
