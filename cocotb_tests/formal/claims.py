"""Everything that is proved of ``hw/``."""

from cocotb_tests.formal import (
    arbiter,
    barrier,
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
    for module in (
        queues,
        arbiter,
        credits,
        link,
        refusals,
        wave_table,
        dma_ring,
        dma_cutter,
        barrier,
    )
    for claim in module.CLAIMS
]
