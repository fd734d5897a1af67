"""Queues whose items become visible at a given time; compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.simulator.compiled import compiled


class Queues(NamedTuple):
    """Ring buffers side by side. Queue ``q`` has its places at ``base[q]`` onwards."""

    item: np.ndarray
    time: np.ndarray
    base: np.ndarray
    depth: np.ndarray
    head: np.ndarray
    held: np.ndarray

    @classmethod
    def of(cls, depths: list[int]) -> Queues:
        depth = np.array(depths, dtype=np.int64)
        base = np.concatenate([[0], np.cumsum(depth)[:-1]]).astype(np.int64)
        places = int(depth.sum())
        return cls(
            np.zeros(places, np.int64),
            np.zeros(places, np.int64),
            base,
            depth,
            np.zeros_like(depth),
            np.zeros_like(depth),
        )


@compiled
def push(queues: Queues, q: int, item: int, time: int) -> None:
    """``item`` is visible from ``time`` on; the queue must have room."""
    place = queues.head[q] + queues.held[q]
    if place >= queues.depth[q]:
        place -= queues.depth[q]
    queues.item[queues.base[q] + place] = item
    queues.time[queues.base[q] + place] = time
    queues.held[q] += 1


@compiled
def ready(queues: Queues, q: int, now: int) -> bool:
    due: bool = queues.held[q] > 0 and queues.time[queues.base[q] + queues.head[q]] <= now
    return due


@compiled
def front(queues: Queues, q: int) -> int:
    item: int = queues.item[queues.base[q] + queues.head[q]]
    return item


@compiled
def pop(queues: Queues, q: int) -> int:
    item: int = queues.item[queues.base[q] + queues.head[q]]
    queues.head[q] += 1
    if queues.head[q] == queues.depth[q]:
        queues.head[q] = 0
    queues.held[q] -= 1
    return item
