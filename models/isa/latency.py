"""Closed-form latency of an All-Reduce of one wave and one packet, step by step.

The terms are those of ``docs/microarchitecture.md``; `scin run --steps` prints them beside
the measured cycles. Valid for ordered memories without other traffic.
"""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec.config import Config
from hw.spec.link import one_way_cycles

READ_PATH_CYCLES = 7
"""Request 1, cut 1, order 1, AXI address 1, beat queue 2, wave table 1."""

WRITE_PATH_CYCLES = 16
"""Table 2, reduction 8, row queue 2, AXI data 2, answer 1, response counted 1."""

FLAG_BEHIND_DATA_CYCLES = 19
"""As the write path up to memory, then the flag's own header and write, and its answer."""

FLAG_AFTER_RESPONSE_CYCLES = 9
"""Retire 2, job queue 2, header 1, flag write 2, answer 2."""


@dataclass(frozen=True)
class Step:
    name: str
    formula: str
    cycles: int


def steps(config: Config, size: int, *, synchronise: bool) -> list[Step]:
    """``size`` must fit one wave and one packet. L: link, M: memory latency, R: rows,
    or cycles of their reduction."""
    limit = min(config.isa.wave_bytes, config.fabric.max_payload_bytes)
    if not 0 < size <= limit:
        raise ValueError(f"size = {size}: must be between 1 and {limit} for a closed form")
    link, memory = one_way_cycles(config), config.endpoint.memory_latency_cycles
    rows = -(-size // config.fabric.flit_bytes)
    reduction = rows * config.isa.cycles_per_row
    result = []
    if synchronise:
        result.append(Step("last arrival leaves → barrier met", "L + 1", link + 1))
        result.append(Step("barrier met → first read request", "1", 1))
    if config.isa.streaming_reduction:
        formula = f"2L + M + R + {READ_PATH_CYCLES}"
        cycles = 2 * link + memory + reduction + READ_PATH_CYCLES
    else:
        formula = f"2L + M + 2R + {READ_PATH_CYCLES - 1}"
        cycles = 2 * link + memory + rows + reduction + READ_PATH_CYCLES - 1
    result.append(Step("first read request → last row reduced", formula, cycles))
    response = 2 * link + memory + WRITE_PATH_CYCLES
    if not synchronise or not config.isa.fused_notify:
        formula = f"2L + M + {WRITE_PATH_CYCLES}"
        result.append(Step("last row reduced → last write response", formula, response))
    if synchronise and config.isa.fused_notify:
        formula = f"L + 2M + {FLAG_BEHIND_DATA_CYCLES}"
        cycles = link + 2 * memory + FLAG_BEHIND_DATA_CYCLES
        result.append(Step("last row reduced → flag visible", formula, cycles))
    elif synchronise:
        formula = f"L + M + {FLAG_AFTER_RESPONSE_CYCLES}"
        cycles = link + memory + FLAG_AFTER_RESPONSE_CYCLES
        result.append(Step("last write response → flag visible", formula, cycles))
    return result
