"""Everything that is proved of ``hw/``."""

from cocotb_tests.formal import (
    arbiter,
    credits,
    dma_cutter,
    dma_ring,
    link,
    queues,
    refusals,
    wave_table,
)

CLAIMS = [
    claim
    for module in (queues, arbiter, credits, link, refusals, wave_table, dma_ring, dma_cutter)
    for claim in module.CLAIMS
]
