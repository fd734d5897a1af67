"""A save file that opens a waveform where a reader wants to start."""

from __future__ import annotations

from pathlib import Path

from hw.spec.config import Config

PORT_SIGNALS = (
    "port_{i}.read_request__valid",
    "port_{i}.read_response__valid",
    "port_{i}.write_request__valid",
    "port_{i}.write_response__valid",
)


def write_save_file(wave: Path, config: Config) -> Path:
    """GTKWave (and Surfer) save file: the accelerator's streams, port by port."""
    isa = "TOP.scin.system.switch.isa"
    lines = [
        f'[dumpfile] "{wave.resolve()}"',
        "[timestart] 0",
        "TOP.clk",
        "-scheduler",
        f"{isa}.scheduler.start",
        f"{isa}.scheduler.row",
        f"{isa}.scheduler.free",
    ]
    for port in range(config.system.endpoints):
        lines.append(f"-port {port}")
        lines += [f"{isa}.{name.format(i=port)}" for name in PORT_SIGNALS]
    path = wave.with_suffix(".gtkw")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
