"""Fetch a language model's KV cache, kept in pages, from another memory: by the timing model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.dma.platform import Platform
from models.dma.timing import FETCHES, fetch_time
from scin.dma.table import DmaTable


@dataclass(frozen=True)
class KvCache:
    """LLaMA-2 7B in FP16 (arXiv 2307.09288): a block holds keys, or values, of one layer; 128
    KiB are those of 16 tokens."""

    layers: int = 32
    hidden: int = 4096
    element_bytes: int = 2

    def blocks(self, tokens: int, block_bytes: int) -> int:
        whole = 2 * self.layers * tokens * self.hidden * self.element_bytes
        return -(-whole // block_bytes)


LENGTHS = (512, 1024, 2048, 4096)
HIT_RATES = (0.25, 0.5, 1.0)
COLUMNS = (
    ("tokens", 8),
    ("hits", 7),
    ("blocks", 8),
    ("MiB", 9),
    *((f"{how.name} (ms)", 24) for how in FETCHES),
    ("b2b vs 1x1", 12),
    ("ahead vs 1x1", 14),
)


def kvfetch(platform: Platform, block_bytes: int, table: DmaTable) -> list[dict[str, Any]]:
    """A line per context length and share of it that is found cached."""
    cache = KvCache()
    table.line(
        f"# KV cache of LLaMA-2 7B, FP16, blocks of {block_bytes} B, timing model {platform.name}"
    )
    table.line("#" + "".join(name.rjust(width) for name, width in COLUMNS))
    records = []
    for tokens in LENGTHS:
        for hits in HIT_RATES:
            blocks = cache.blocks(round(tokens * hits), block_bytes)
            times = [fetch_time(platform, blocks, block_bytes, how) for how in FETCHES]
            cells = [
                str(tokens),
                f"{hits:.0%}",
                str(blocks),
                f"{blocks * block_bytes / (1 << 20):.1f}",
                *(f"{1e3 * time:.3f}" for time in times),
                f"{times[0] / times[1]:.2f}",
                f"{times[0] / times[2]:.2f}",
            ]
            table.line(
                " "
                + "".join(
                    cell.rjust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True)
                )
            )
            records.append(
                {
                    "op": "kvfetch",
                    "platform": platform.name,
                    "backend": "model",
                    "tokens": tokens,
                    "hit_rate": hits,
                    "blocks": blocks,
                    "block_bytes": block_bytes,
                    "time_s": dict(zip((how.name for how in FETCHES), times, strict=True)),
                }
            )
    return records
