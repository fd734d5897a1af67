"""Fetch a language model's KV cache, kept in pages, from another memory: by the timing model."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from models.dma.platform import Platform
from models.dma.timing import FETCHES, fetch_time
from models.wire import busiest_link_bytes
from scin.report.record import Result
from scin.report.table import Column, TextTable
from scin.report.units import size_text


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
COLUMNS: tuple[Column, ...] = (
    ("tokens", "", 8),
    ("hits", "", 7),
    ("blocks", "", 8),
    ("size", "(MiB)", 9),
    *((how.name, "(ms)", 20) for how in FETCHES),
    ("b2b vs 1x1", "", 12),
    ("ahead vs 1x1", "", 14),
)


def fetch_table(*, quiet: bool, error: bool) -> TextTable:
    return TextTable(COLUMNS, quiet=quiet, error=error)


def kvfetch(
    platform: Platform, block_bytes: int, table: TextTable, records: list[dict[str, Any]]
) -> None:
    """A line per context length and share of it that is found cached; adds to ``records`` as
    they come."""
    cache = KvCache()
    table.head(
        f"KV cache of LLaMA-2 7B, FP16, blocks of {size_text(block_bytes)}, "
        f"timing model {platform.name}"
    )
    for tokens, hits in itertools.product(LENGTHS, HIT_RATES):
        blocks = cache.blocks(round(tokens * hits), block_bytes)
        times: list[float] = []
        for how in FETCHES:
            times.append(fetch_time(platform, blocks, block_bytes, how))
            result = _result(platform, blocks * block_bytes, times[-1])
            records.append(
                result.as_dict(
                    platform=platform.name,
                    variant="b2b" if how.chained else "pcpy",
                    prelaunch=how.prelaunch,
                    speedup_vs_pcpy=times[0] / times[-1],
                    tokens=tokens,
                    hit_rate=hits,
                    blocks=blocks,
                    block_bytes=block_bytes,
                )
            )
        table.row(
            [
                str(tokens),
                f"{hits:.0%}",
                str(blocks),
                f"{blocks * block_bytes / (1 << 20):.1f}",
                *(f"{1e3 * time:.3f}" for time in times),
                f"{times[0] / times[1]:.2f}",
                f"{times[0] / times[2]:.2f}",
            ]
        )


def _result(platform: Platform, size: int, seconds: float) -> Result:
    return Result(
        op="kvfetch",
        algo="dma",
        backend="model",
        endpoints=platform.endpoints,
        size_bytes=size,
        time_s=seconds,
        wire_bytes=busiest_link_bytes("kvfetch", "dma", platform.endpoints, size),
        link_GBps=platform.bandwidth / 1e3,
        status="OK",
        sync_included=True,
    )
