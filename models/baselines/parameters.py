"""What the baselines assume beside the fabric: each with unit, default and source."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SCIN_SOFTWARE_US = 0.164
"""41 cycles of fpga4 (250 MHz), by :mod:`scin.collectives.software_cost`."""

FENCES = ("none", "switch", "endpoint")
"""What acknowledges the data before a flag may follow it."""

HIGHEST = 10**12
"""Of every number, in its unit."""


SWITCH = ("scin", "scin-inq")
FLAGGED = ("ring", "direct", "oneshot", "twoshot", "tree")
"""Algorithms whose steps end in a flag, and which add on the accelerators' cores."""

CORES = (*FLAGGED, "nvls")
ENGINES = ("dma-ring",)


def parameter(
    doc: str, default: Any, *, unit: str, source: str, algorithms: tuple[str, ...]
) -> Any:
    """``algorithms``: those whose time it changes."""
    metadata = {"doc": doc, "unit": unit, "source": source, "algorithms": algorithms}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Parameters:
    fence: str = parameter(
        "what acknowledges a step's data before its flag is sent: nothing (the flag follows on the "
        "same ordered path), the switch, or the far endpoint",
        "switch",
        unit="none, switch, endpoint",
        source="data, fence and flag per step as in arXiv 2603.28239, 4.1; of the three readings "
        "the one whose ring is 8.7 times slower than the published accelerator on small messages",
        algorithms=FLAGGED,
    )
    software_us: float = parameter(
        "launch and software barrier of a collective that the accelerators' cores run, per call",
        0.0,
        unit="us",
        source="off: hardware-level times; NCCL with CUDA graphs measures about 6 us from 128 B "
        "to 64 KB on 2 H100 (NVIDIA/nccl issue 1259)",
        algorithms=(*SWITCH, *CORES),
    )
    scin_software_us: float | None = parameter(
        "what the in-switch accelerator costs its hosts, per call: writing an instruction, "
        "arriving, and seeing the flag; counted as soon as `software_us` is above 0",
        None,
        unit="us",
        source=f"{SCIN_SOFTWARE_US} us: register accesses on fpga4, as `python -m "
        "scin.collectives.software_cost` measures them on RTL; a host far from its registers pays "
        "the way too",
        algorithms=SWITCH,
    )
    every_us: float = parameter(
        "added to every algorithm, per call, on top of the others: what a framework costs",
        0.0,
        unit="us",
        source="off",
        algorithms=(*SWITCH, *CORES, *ENGINES),
    )
    nvls_outstanding_bytes: int = parameter(
        "reduced bytes an accelerator's ld_reduce instructions have under way",
        36864,
        unit="B",
        source="8 H200 reach 271 GB/s (NVIDIA/nccl-tests issue 272): an eighth of it times the "
        "round trip of a ld_reduce, 1.05 us at 250 ns per link",
        algorithms=("nvls",),
    )
    reduce_gigabytes_per_second: float = parameter(
        "rate at which an accelerator's cores add received data",
        1600.0,
        unit="GB/s",
        source="two reads and a write at the 4.8 TB/s of an H200's memory (NVIDIA H200 data sheet)",
        algorithms=FLAGGED,
    )
    dma_start_ns: float = parameter(
        "per step of a ring by DMA engines, what neither fabric nor data explain: the engine's "
        "poll and start, its signal, the adder",
        650.0,
        unit="ns",
        source="measured on RTL, fpga4, 4 KiB: scin sweep allreduce --algo dma-ring",
        algorithms=ENGINES,
    )

    @property
    def software(self) -> float:
        """Seconds per call, of what the cores run."""
        return (self.software_us + self.every_us) * 1e-6

    @property
    def engine_software(self) -> float:
        """Seconds per call, of DMA engines that were launched ahead."""
        return self.every_us * 1e-6

    @property
    def scin_software(self) -> float:
        """Seconds per call, of the in-switch accelerator."""
        own = self.scin_software_us
        if own is None:
            own = SCIN_SOFTWARE_US if self.software_us else 0.0
        return (own + self.every_us) * 1e-6

    def adding(self, size: float) -> float:
        """Seconds to add ``size`` received bytes."""
        return size / (self.reduce_gigabytes_per_second * 1e9)

    def __post_init__(self) -> None:
        if self.fence not in FENCES:
            raise ParameterError(f"fence = {self.fence!r}: must be one of {', '.join(FENCES)}")
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if isinstance(item.default, str) or value is item.default is None:
                continue
            low = 0 if item.name.endswith(("_us", "_ns")) else 1
            number = isinstance(value, int | float) and not isinstance(value, bool)
            # Not a number compares with nothing, and is refused too.
            if not number or not low <= value <= HIGHEST:
                raise ParameterError(
                    f"{item.name} = {value!r}: must be between {low} and {HIGHEST}"
                )


class ParameterError(ValueError):
    """A parameter out of its bounds."""


def parse(texts: tuple[str, ...], algorithms: Sequence[str]) -> Parameters:
    """From ``name=value`` as the command line writes them; each is to change the time of one of
    ``algorithms``."""
    known = {item.name: item for item in dataclasses.fields(Parameters)}
    values: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or name not in known:
            raise ParameterError(f"{text!r}: must be NAME=VALUE, NAME among {', '.join(known)}")
        default = known[name].default
        kind: Callable[[str], Any] = float if default is None else type(default)
        if name in values:
            raise ParameterError(f"{name!r}: is given more than once")
        try:
            values[name] = kind(value)
        except ValueError as error:
            what = "a whole number" if kind is int else "a number"
            raise ParameterError(f"{name} = {value!r}: must be {what}") from error
    parameters = Parameters(**values)
    for name in values:
        changed = known[name].metadata["algorithms"]
        if not set(changed) & set(algorithms):
            raise ParameterError(
                f"{name}: does nothing here: it changes {', '.join(changed)}, and shown are "
                f"{', '.join(algorithms)}"
            )
    return parameters
