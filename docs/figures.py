"""Measure the figures of the documentation and write them where they stand.

``python docs/figures.py`` (``make figures-in-docs``) rewrites what stands between
``<!--figure NAME-->`` and ``<!--/-->`` in README.md and ``docs/*.md``. Figures that the simulator
gives take seconds; ``--rtl`` measures those of the DMA engines too, on RTL. All are cycles, ratios
of cycles, numbers of things, or ratios of exact sums, so they are the same on every machine, and
tests hold them: ``cocotb_tests/test_docs.py`` and ``cocotb_tests/dma/test_figures.py``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache, partial
from operator import truediv
from pathlib import Path
from typing import Any

from hw.spec.config import Config, load
from hw.spec.formats.data_type import DataType
from hw.spec.registers import FEATURE_BITS
from models.accuracy.accuracy import NVFP4_UP, normal_tensors, sqnr_of, studies, synthetic_tensors
from models.baselines.fabric import Fabric
from models.baselines.parameters import Parameters
from models.prediction import predict
from models.simulator.collective import allreduce, wire_bytes
from models.simulator.simulation import simulate
from models.simulator.work import Instruction, Traffic
from scin.collectives.dma_plans import build
from scin.collectives.dma_runner import DmaRunner
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.host.timeline import HostModel
from scin.validation.cases import LARGEST, cases

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(REPOSITORY))  # the tests, whose claims are counted, are not installed
DOCUMENTS = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
MARKED = re.compile(r"(<!--figure (?P<name>[\w.-]+)-->).*?(<!--/-->)")

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
HOST = HostModel(100.0, 50.0)
"""Nanoseconds that a host takes for a command, and from one poll to the next."""

SWITCH = "scin-inq"
VARIANTS = ("pcpy", "bcst", "b2b", "mcast")
DMA_SIZES = {"1K": KIB, "64K": 64 * KIB, "1M": MIB}


def all_off(preset: str) -> Config:
    """A preset with all improvements switched off."""
    return load(preset, {f"isa.{name}": False for name in FEATURE_BITS})


def cycles(
    size: int,
    config: Config | None = None,
    data_type: DataType = DataType.FP16,
    *,
    synchronised: bool = False,
) -> float:
    """Of an All-Reduce of ``size`` bytes on the wire, on fpga4 unless said otherwise."""
    config = config or load("fpga4")
    return allreduce(config, size, data_type, synchronised=synchronised).cycles


def reliable(**fields: bool) -> Config:
    """fpga4 with the link layer."""
    extra = {f"link.{name}": value for name, value in fields.items()}
    return load("fpga4", {"link.reliable": True, **extra})


def quantized_cycles(size: int) -> float:
    """As INT8, ``size`` bytes of FP16 data."""
    return cycles(wire_bytes(load("fpga4"), size, DataType.INT8), data_type=DataType.INT8)


def use(size: int, config: Config | None = None) -> float:
    """Payload of an All-Reduce over what a link carries in its time, on fpga4 or like it."""
    config = config or load("fpga4")
    return size / config.fabric.flit_bytes / cycles(size, config)


def one_wave(*, streaming: bool) -> Config:
    """fpga4 with a single wave of 64 KiB instead of 16 of 4 KiB."""
    fields = {"waves": 1, "wave_controllers": 1, "wave_bytes": 64 * KIB}
    fields["streaming_reduction"] = streaming
    return load("fpga4", {f"isa.{name}": value for name, value in fields.items()})


@cache
def shares(*, collective: bool) -> tuple[float, float]:
    """Payload of ordinary traffic from every endpoint to the next, and of an All-Reduce beside it,
    as shares of each link in steady state."""
    config, start, end = load("fpga4"), 4000, 44_000
    endpoints, packet = config.system.endpoints, config.fabric.max_payload_bytes
    traffic = [Traffic(i, (i + 1) % endpoints, packet) for i in range(endpoints)]
    items = [Instruction(16 * MIB, synchronised=False)] * collective
    early, late = (simulate(config, items, traffic, cycles=n) for n in (start, end))
    core = min(b - a for a, b in zip(early.core_rows, late.core_rows, strict=True))
    isa = min(b - a for a, b in zip(early.isa_rows, late.isa_rows, strict=True))
    return core / (end - start), isa / (end - start)


def over_ring(
    config: Config, algorithm: str, size: int, parameters: Parameters | None = None
) -> float:
    """How many times as fast as a ring."""
    given = parameters or Parameters()
    ring, other = (predict(config, name, size, given) for name in ("ring", algorithm))
    return ring.seconds / other.seconds


def over_ring_whose_fence(fence: str) -> float:
    """On dgx8 without improvements, 4 KiB; ``fence``: what acknowledges a step of the ring."""
    return over_ring(all_off("dgx8"), "scin", 4 * KIB, Parameters(fence=fence))


def improved(size: int) -> float:
    """How many times as fast dgx8 is with all improvements as without."""
    off, on = (predict(c, "scin", size, Parameters()) for c in (all_off("dgx8"), load("dgx8")))
    return off.seconds / on.seconds


def as_nvfp4(size: int) -> tuple[float, float]:
    """Cycles of agreeing on an exponent, and all of them, for ``size`` bytes of FP16 data on
    fpga4."""
    config = load("fpga4")
    found = predict(config, "scin-inq", size, Parameters(), DataType.NVFP4)
    return found.agreement_cycles, found.seconds * config.isa.clock_MHz * 1e6


@cache
def compared(name: str) -> int:
    """Cases of ``scin validate``."""
    return len(list(cases(name, quick=False)))


@cache
def sqnr(data: str, ranks: int, form: str) -> dict[str, float]:
    """In dB, of the switch and of what it is compared with."""
    make = {"normal": normal_tensors, "synthetic": synthetic_tensors}[data]
    (study,) = studies([form], [])
    found = {item.algo: item.sqnr_db for item in sqnr_of(data, make(ranks, 1), ranks, study)}
    return {algo: value for algo, value in found.items() if value is not None}


def proofs() -> int:
    from cocotb_tests.formal.claims import CLAIMS

    return len(CLAIMS)


def mutated() -> tuple[int, int]:
    """Files, and mutants of them."""
    from cocotb_tests.mutation.mutate import chosen, targets

    found = targets()
    return len(found), sum(len(chosen(target, seed=1)) for target in found)


def records(preset: str) -> int:
    return load(preset).records


def whole(measure: Callable[[], float]) -> Callable[[], str]:
    return lambda: f"{measure():,.0f}"


def decimal(measure: Callable[[], float], form: str = ".1f") -> Callable[[], str]:
    return lambda: f"{measure():{form}}"


def percent(measure: Callable[[], float], digits: int = 1) -> Callable[[], str]:
    return lambda: f"{100 * measure():.{digits}f} %"


def times(measure: Callable[[], float], digits: int = 1) -> Callable[[], str]:
    return lambda: f"{measure():.{digits}f}\N{MULTIPLICATION SIGN}"


SIMULATED: dict[str, Callable[[], str]] = {
    "4K": whole(lambda: cycles(4 * KIB)),
    "4K-off": whole(lambda: cycles(4 * KIB, all_off("fpga4"))),
    "4K-sync": whole(lambda: cycles(4 * KIB, synchronised=True)),
    "16M": whole(lambda: cycles(16 * MIB)),
    "4K-not-fused": whole(
        lambda: cycles(4 * KIB, load("fpga4", {"isa.fused_notify": False}), synchronised=True)
    ),
    "16M-use": percent(lambda: use(16 * MIB)),
    "16M-use-one-wave": percent(lambda: use(16 * MIB, one_wave(streaming=True))),
    "16M-use-whole-wave": percent(lambda: use(16 * MIB, one_wave(streaming=False))),
    "permutation-use": percent(lambda: shares(collective=False)[0]),
    "shared-use": percent(lambda: min(shares(collective=True))),
    "16M-int8": whole(lambda: quantized_cycles(16 * MIB)),
    "16M-int8-gain": times(lambda: cycles(16 * MIB) / quantized_cycles(16 * MIB), 2),
    "4K-int8": whole(lambda: cycles(4 * KIB, data_type=DataType.INT8)),
    "4K-data-int8": whole(lambda: quantized_cycles(4 * KIB)),
    "4K-int8-extra": whole(lambda: cycles(4 * KIB, data_type=DataType.INT8) - cycles(4 * KIB)),
    "4K-reliable": whole(lambda: cycles(4 * KIB, reliable())),
    "4K-reliable-extra": whole(lambda: cycles(4 * KIB, reliable()) - cycles(4 * KIB)),
    "4K-no-correction": whole(lambda: cycles(4 * KIB, reliable(correction=False))),
    "dgx8-4K": times(lambda: over_ring(load("dgx8"), "scin", 4 * KIB)),
    "dgx8-1G": times(lambda: over_ring(load("dgx8"), "scin", GIB)),
    "dgx8-1G-int8": times(lambda: over_ring(load("dgx8"), "scin-inq", GIB)),
    "dgx8-4K-off": times(lambda: over_ring(all_off("dgx8"), "scin", 4 * KIB)),
    "dgx8-1G-off": times(lambda: over_ring(all_off("dgx8"), "scin", GIB), 2),
    "dgx8-1G-int8-off": times(lambda: over_ring(all_off("dgx8"), "scin-inq", GIB)),
    "dgx8-ceiling": decimal(lambda: Fabric.of(all_off("dgx8")).rate() / 1e9),
    "dgx8-4K-gain": times(lambda: improved(4 * KIB), 2),
    "dgx8-1G-gain": times(lambda: improved(GIB), 2),
    "agreement": whole(lambda: as_nvfp4(4 * KIB)[0]),
    "agreement-4K": percent(lambda: truediv(*as_nvfp4(4 * KIB)), 0),
    "agreement-1M": percent(lambda: truediv(*as_nvfp4(MIB)), 0),
    "validated": whole(lambda: sum(map(compared, LARGEST))),
    "proofs": whole(proofs),
    "mutated-files": whole(lambda: mutated()[0]),
    "mutants": whole(lambda: mutated()[1]),
    "records-fpga4": whole(lambda: records("fpga4")),
    "records-ecp5": whole(lambda: records("ecp5")),
}

for fence in ("endpoint", "none"):
    SIMULATED[f"dgx8-4K-off-fence-{fence}"] = times(partial(over_ring_whose_fence, fence))
for preset in LARGEST:
    SIMULATED[f"validated-{preset}"] = whole(partial(compared, preset))


def nvfp4_db(data: str, ranks: int) -> float:
    return sqnr(data, ranks, "nvfp4")[SWITCH]


def nvfp4_up_db(data: str, ranks: int) -> float:
    """With scales rounded up."""
    return sqnr(data, ranks, NVFP4_UP)[SWITCH]


def nvfp4_gain(data: str, ranks: int) -> float:
    return nvfp4_db(data, ranks) - nvfp4_up_db(data, ranks)


def nvfp4_over(other: str, data: str, ranks: int) -> float:
    found = sqnr(data, ranks, "nvfp4")
    return found[SWITCH] - found[f"{other}-quantized"]


for ranks in (2, 4, 8):
    for other, form in (("two-shot", ".1f"), ("ring", "+.1f")):
        name = f"nvfp4-over-{other}-synthetic-{ranks}"
        SIMULATED[name] = decimal(partial(nvfp4_over, other, "synthetic", ranks), form)

for data in ("normal", "synthetic"):
    for ranks in (2, 4, 8):
        for what, measure, form in (
            ("", nvfp4_db, ".1f"),
            ("-up", nvfp4_up_db, ".1f"),
            ("-gain", nvfp4_gain, "+.1f"),
        ):
            name = f"nvfp4{what}-{data}-{ranks}"
            SIMULATED[name] = decimal(partial(measure, data, ranks), form)


class DmaFigures:
    """The figures of the DMA engines, measured on fpga4 with :data:`HOST`."""

    def __init__(self, runner: DmaRunner) -> None:
        self._runner = runner
        self.figures: dict[str, Callable[[], str]] = {
            "dma-1K-fetched": percent(partial(self._not_copying, inline=False)),
            "dma-1K-inline": percent(partial(self._not_copying, inline=True)),
            "dma-mcast-use": percent(self._use_of_receivers),
        }
        for variant in VARIANTS:
            for label, size in DMA_SIZES.items():
                for suffix, prelaunch in (("", False), ("-pl", True)):
                    measure = partial(self._allgather, variant, size, prelaunch)
                    self.figures[f"dma-{variant}{suffix}-{label}"] = whole(measure)

    def _run(self, operation: str, variant: str, size: int, **options: bool) -> Any:
        plan = build(self._runner.config, operation, variant, size)
        item = self._runner.run(plan, **options)
        if item.wrong or item.status != "OK":
            raise RuntimeError(f"{operation} {variant} {size}: {item.status}, {item.wrong} wrong")
        return item

    def _allgather(self, variant: str, size: int, prelaunch: bool) -> float:
        return self._run("allgather", variant, size, prelaunch=prelaunch).cycles

    def _not_copying(self, *, inline: bool) -> float:
        self._runner.inline = inline
        item = self._run("p2p", "pcpy", KIB)
        self._runner.inline = False
        return item.phases.non_copy_share

    def _use_of_receivers(self) -> float:
        """Payload that arrives over what the receivers' links carry in that time."""
        config, item = self._runner.config, self._run("allgather", "mcast", MIB)
        arriving = MIB * (config.system.endpoints - 1) / config.system.endpoints
        return arriving / config.fabric.flit_bytes / item.cycles


def measured(names: set[str], *, rtl: bool) -> dict[str, str]:
    """Those of the named figures that can be measured so."""
    values = {name: SIMULATED[name]() for name in sorted(names & set(SIMULATED))}
    if rtl:
        with Simulator(load("fpga4")) as simulator:
            driver = Driver(simulator, simulator.config)
            driver.configure()
            runner = DmaRunner(simulator.config, simulator, driver, host=HOST)
            figures = DmaFigures(runner).figures
            values |= {name: make() for name, make in figures.items() if name in names}
    return values


def names_in(text: str) -> set[str]:
    return {match["name"] for match in MARKED.finditer(text)}


def filled(text: str, values: dict[str, str]) -> str:
    """``text`` with every figure that has a value."""

    def fill(match: re.Match[str]) -> str:
        value = values.get(match["name"])
        return match[0] if value is None else f"{match[1]}{value}{match[3]}"

    return MARKED.sub(fill, text)


def outdated(values: dict[str, str]) -> list[Path]:
    """Documents that say something else."""
    texts = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    return [path for path, text in texts.items() if filled(text, values) != text]


def main() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    values = measured(set().union(*map(names_in, texts.values())), rtl="--rtl" in sys.argv)
    for path in outdated(values):
        path.write_text(filled(texts[path], values), encoding="utf-8")
        print(f"{path.name} updated")


if __name__ == "__main__":
    main()
