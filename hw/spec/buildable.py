"""What can be built as RTL, beyond what can be described."""

from __future__ import annotations

from hw.spec.config import MAX_ENDPOINTS, Config, ConfigError
from hw.spec.formats import block_formats


def check_buildable(config: Config) -> None:
    """Raise :class:`ConfigError` where a system can be simulated but not built as RTL."""
    if config.system.endpoints > MAX_ENDPOINTS:
        raise ConfigError(
            f"system.endpoints = {config.system.endpoints}: RTL takes at most {MAX_ENDPOINTS}"
        )
    if config.system.switches != 1:
        raise ConfigError(
            f"system.switches = {config.system.switches}: RTL is built for 1 switch; "
            "the model backend stripes over several"
        )
    rate = config.fabric.flit_bytes * config.isa.clock_MHz / 1000
    if abs(config.link.gigabytes_per_second - rate) > 1e-6 * rate:
        raise ConfigError(
            f"link.gigabytes_per_second = {config.link.gigabytes_per_second}: RTL moves one flit "
            f"per cycle, fabric.flit_bytes x isa.clock_MHz = {rate:g} GB/s"
        )
    for entry in block_formats(config):
        name = entry.code.name
        if config.isa.wave_bytes % (entry.ratio * config.fabric.flit_bytes):
            raise ConfigError(
                f"isa.wave_bytes = {config.isa.wave_bytes}: must be a multiple of "
                f"{entry.ratio * config.fabric.flit_bytes}, so that the scales of a wave of "
                f"{name} fill whole flits"
            )
        if entry.block_bytes > config.fabric.max_payload_bytes:
            raise ConfigError(
                f"fabric.max_payload_bytes = {config.fabric.max_payload_bytes}: must be at "
                f"least {entry.block_bytes}, a block of {name}"
            )
