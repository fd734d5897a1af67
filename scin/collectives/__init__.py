"""Collectives as programs and as DMA plans, run on a system and checked."""
