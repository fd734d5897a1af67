"""Golden model and timing model of the DMA engine."""
