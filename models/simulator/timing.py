"""What the simulator knows of the hardware: sizes in flits, times in cycles."""

from __future__ import annotations

from typing import NamedTuple

from hw.spec.config import Config, ConfigError
from hw.spec.link import one_way_cycles
from hw.spec.packet import Channel, queue_flits
from hw.spec.registers import POLL_INTERVAL
from hw.spec.timing import REDUCE_CYCLES, TABLE_CYCLES, longest_run

CHANNELS = 4
CORE_REQUEST, CORE_RESPONSE, ISA_READ, ISA_WRITE = range(CHANNELS)
"""Channels of either direction that carry traffic here: writes of endpoints to each other and
their answers; read requests down and read responses up; write requests down and write
responses up."""

ROW_TO_RESULT = TABLE_CYCLES + REDUCE_CYCLES
"""From the start of a row to its result."""


WHOLE = 1 << 20
ROUNDING = 1e-6


class Timing(NamedTuple):
    """Plain numbers, for compiled code. Rows are flits of payload."""

    ports: int
    link: int
    """One way, from stream to stream."""
    share: int
    """Of the cycles in which a link can carry a flit, in units of 1 / :data:`WHOLE`."""
    memory: int
    """From an accepted address to the first beat, and from the last beat to the answer."""
    packet_rows: int
    wave_rows: int
    packets_per_wave: int
    waves: int
    """Table entries of each controller."""
    controllers: int
    contexts: int
    """Instructions in flight, of each controller."""
    writeback_rows: int
    cycles_per_row: int
    block_rows: int
    """Room that a destination keeps for rows that cannot pause."""
    result: int
    shuffle: int
    poll_interval: int
    up_depth: tuple[int, ...]
    down_depth: tuple[int, ...]
    """Receive queues, and so credits, per channel."""
    streaming: bool
    burst_reads: bool
    coalesced: bool
    fused: bool

    @classmethod
    def of(cls, config: Config) -> Timing:
        isa = config.isa
        if config.fabric.registered:
            raise ConfigError("fabric.registered = true: the simulator knows its times without")
        up = (
            Channel.CORE_WRITE_REQUEST,
            Channel.CORE_WRITE_RESPONSE,
            Channel.ISA_READ_RESPONSE,
            Channel.ISA_WRITE_RESPONSE,
        )
        down = (
            Channel.CORE_WRITE_REQUEST,
            Channel.CORE_WRITE_RESPONSE,
            Channel.ISA_READ_REQUEST,
            Channel.ISA_WRITE_REQUEST,
        )
        return cls(
            ports=config.system.endpoints,
            link=one_way_cycles(config),
            share=_share(config),
            memory=config.endpoint.memory_latency_cycles,
            packet_rows=config.rows_per_packet,
            wave_rows=config.rows_per_wave,
            packets_per_wave=config.packets_per_wave,
            waves=config.waves_per_controller,
            controllers=isa.wave_controllers,
            contexts=isa.instructions_in_flight,
            writeback_rows=isa.writeback_flits,
            cycles_per_row=isa.cycles_per_row,
            block_rows=longest_run(config) // isa.cycles_per_row,
            result=ROW_TO_RESULT,
            shuffle=config.endpoint.shuffle_slots,
            poll_interval=POLL_INTERVAL,
            up_depth=tuple(queue_flits(config, channel) for channel in up),
            down_depth=tuple(queue_flits(config, channel) for channel in down),
            streaming=isa.streaming_reduction,
            burst_reads=isa.burst_reads,
            coalesced=isa.coalesced_write_responses,
            fused=isa.fused_notify,
        )


def _share(config: Config) -> int:
    rate = config.fabric.flit_bytes * config.isa.clock_MHz / 1000
    share = config.link.gigabytes_per_second / rate
    if share > 1 + ROUNDING:
        raise ConfigError(
            f"link.gigabytes_per_second = {config.link.gigabytes_per_second}: must be at most "
            f"fabric.flit_bytes x isa.clock_MHz = {rate:g} GB/s, a flit per cycle"
        )
    return min(WHOLE, round(share * WHOLE))
