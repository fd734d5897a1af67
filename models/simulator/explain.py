"""Where the time of a collective goes."""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec.config import Config
from hw.spec.link import one_way_cycles
from models.simulator.simulation import Outcome


@dataclass(frozen=True)
class Span:
    """Cycles from ``start`` to ``end``: ``links`` of them on the way between endpoint and
    switch, ``memory`` in its latency, ``rows`` with a row of data reduced in each; the rest
    passes in pipelines, or waiting."""

    name: str
    start: int
    end: int
    links: int = 0
    memory: int = 0
    rows: int = 0

    @property
    def cycles(self) -> int:
        return self.end - self.start

    @property
    def rest(self) -> int:
        return self.cycles - self.links - self.memory - self.rows


def simulated_spans(config: Config, outcome: Outcome, rows: int) -> list[Span]:
    """Of one synchronised instruction of ``rows`` rows."""
    read, data, first, last, response = (
        moments[0]
        for moments in (
            outcome.first_read,
            outcome.first_data,
            outcome.first_row,
            outcome.last_write,
            outcome.last_response,
        )
    )
    link, memory = one_way_cycles(config), config.endpoint.memory_latency_cycles
    met = read - 1
    return [
        Span("last arrival → barrier met", 0, met, links=link),
        Span("barrier met → first read request", met, read),
        Span("first read request → data at the switch", read, data, 2 * link, memory),
        Span("data at the switch → first row reduced", data, first),
        Span("first row reduced → last row reduced", first, last, rows=rows - 1),
        *closing_spans(config, last, response, outcome.visible),
    ]


def measured_spans(
    config: Config, arrived: int, record: dict[str, int], visible: int, rows: int
) -> list[Span]:
    """The same of RTL, from the times its registers keep, counted from the last arrival."""
    met, read, last, response = (
        record[name] - arrived
        for name in ("barrier_met", "first_read", "last_write", "last_response")
    )
    link, memory = one_way_cycles(config), config.endpoint.memory_latency_cycles
    return [
        Span("last arrival → barrier met", 0, met, links=link),
        Span("barrier met → first read request", met, read),
        Span("first read request → last row reduced", read, last, 2 * link, memory, rows),
        *closing_spans(config, last, response, visible - arrived),
    ]


def closing_spans(config: Config, last: int, response: int, visible: int) -> list[Span]:
    """From the last row to the completion flag, which does not wait for responses if fused."""
    link, memory = one_way_cycles(config), config.endpoint.memory_latency_cycles
    if config.isa.fused_notify:
        return [Span("last row reduced → flag visible", last, visible, link, 2 * memory)]
    return [
        Span("last row reduced → last write response", last, response, 2 * link, memory),
        Span("last write response → flag visible", response, visible, link, memory),
    ]
