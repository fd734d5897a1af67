"""Everything that is proved of ``hw/``."""

from cocotb_tests.formal import (
    arbiter,
    barrier,
    credits,
    dma_ring,
    dma_segmenter,
    link,
    queues,
    refusals,
    wave_table,
)

CLAIMS = [
    claim
    for module in (
        queues,
        arbiter,
        credits,
        link,
        refusals,
        wave_table,
        dma_ring,
        dma_segmenter,
        barrier,
    )
    for claim in module.CLAIMS
]
