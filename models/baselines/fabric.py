"""The fabric as the baselines see it: latencies, and rates with all overheads taken off."""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec.config import Config
from hw.spec.packet import Channel, queue_flits

CROSSBAR_CYCLES = 1
WRITE_CYCLES = 4
"""Of a write at its endpoint, beside the memory: header, AXI address, AXI data, answer."""


@dataclass(frozen=True)
class Fabric:
    """Seconds, and bytes per second of one accelerator and direction, all switches together."""

    accelerators: int
    link: float
    cycle: float
    memory: float
    flit_rate: float
    """Bytes of flits that the links carry."""
    packet_rows: int
    credit_rows: float
    """Flits of payload that a credit flit returns."""

    @classmethod
    def of(cls, config: Config) -> Fabric:
        cycle = 1 / (config.isa.clock_MHz * 1e6)
        depth = queue_flits(config, Channel.CORE_WRITE_REQUEST)
        return cls(
            accelerators=config.system.endpoints,
            link=config.link.latency_cycles * cycle,
            cycle=cycle,
            memory=config.endpoint.memory_latency_cycles * cycle,
            flit_rate=config.link.gigabytes_per_second * 1e9 * config.system.switches,
            packet_rows=config.rows_per_packet,
            credit_rows=depth / 2,
        )

    def rate(self, *, data: float = 1.0, requests: float = 0.0, answers: float = 1.0) -> float:
        """Bytes per second of a message whose link carries, per byte of it, ``data`` bytes in
        packets, and ``requests`` and ``answers`` of one flit for so many bytes' packets."""
        flits = data * (1 + 1 / self.packet_rows) + (requests + answers) / self.packet_rows
        credits = data * (1 + 1 / self.packet_rows) / self.credit_rows
        return self.flit_rate / (flits + credits)

    @property
    def write(self) -> float:
        """From an endpoint's first flit until it is visible in another's memory."""
        return 2 * self.link + (CROSSBAR_CYCLES + WRITE_CYCLES) * self.cycle + self.memory

    @property
    def acknowledgement(self) -> float:
        """There and back between an endpoint and the switch, or once between two endpoints."""
        return 2 * self.link + CROSSBAR_CYCLES * self.cycle

    def step(self, fence: str) -> float:
        """Data to a neighbour, fence, flag: without the time the data takes on the link."""
        waits = {
            "none": 0.0,
            "switch": self.acknowledgement,
            "endpoint": self.write + self.acknowledgement,
        }
        return waits[fence] + self.write
