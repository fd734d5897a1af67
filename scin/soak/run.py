"""Soak a system: rounds of the load under faults, then the same rounds without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hw.spec.config import Config, replace_field
from hw.spec.fault import Disturbance
from scin.host.driver import Driver
from scin.host.simulator import Faults, Simulator
from scin.report.progress import Report
from scin.report.record import Result
from scin.soak.load import SoakLoad

UNREPAIRABLE = {Disturbance.WRONG, Disturbance.CUT}
"""What no link layer mends: it ends in a status."""

Progress = Callable[[str, int, int], None]
"""Called with what is going on, cycles done and cycles wanted."""


@dataclass(kw_only=True)
class SoakResult(Result):
    """One record; ``wrong`` counts bytes."""

    rounds: int
    moved_bytes: int
    lost: int
    duplicated: int
    statuses: dict[str, int]
    corrected: int
    replays: int
    damaged: int
    rejects: int
    drops: int
    throughput_kept: float | None
    """Bytes per cycle, over those of the same rounds without faults; None where some failed."""
    faults: dict[str, float]
    happened: dict[str, int]
    """How often each fault struck."""

    @property
    def repairable(self) -> bool:
        return not UNREPAIRABLE & {Disturbance[name.upper()] for name in self.faults}

    @property
    def good(self) -> bool:
        """Nothing is wrong, lost or doubled; where faults can be mended, nothing failed."""
        if self.wrong:
            return False
        whole = not (self.lost or self.duplicated) and set(self.statuses) <= {"OK"}
        return whole or not self.repairable


def with_faults(config: Config, faults: Faults) -> Config:
    """The configuration with a link layer, and the circuits that these faults need."""
    config = replace_field(config, "link.reliable", True)
    config = replace_field(config, "link.fault_injection", True)
    if Disturbance.WRONG in faults:
        config = replace_field(config, "endpoint.fault_injection", True)
    return config


def soak(
    config: Config,
    faults: Faults,
    *,
    cycles: int,
    seed: int,
    progress: Progress = lambda what, done, wanted: None,
    report: Report = print,
) -> SoakResult:
    """``cycles`` of faults, to the end of a round; ``config`` is one of :func:`with_faults`."""
    with Simulator(config, seed=seed, faults=faults, report=report) as simulator:
        load = SoakLoad(config, simulator, Driver(simulator, config), seed)
        start = simulator.cycle
        while (done := simulator.cycle - start) < cycles:
            progress("under faults", done, cycles)
            cut = faults.get(Disturbance.CUT, 0) and done >= cycles // 2
            if cut:
                simulator.disturb(Disturbance.CUT, 1, config.system.endpoints - 1)
            load.round(misbehaving=_strikes(faults, load.tally.rounds))
            if cut:
                # From here on every round would only wait until everything has timed out.
                break
        spent = simulator.cycle - start
        tally = load.tally
        counters = {
            name: sum(
                load.driver.read_endpoint(i, f"LINK_{name.upper()}")
                for i in range(config.system.endpoints)
            )
            for name in ("corrected", "replays", "damaged", "rejects", "drops")
        }
        happened = {kind.name.lower(): simulator.disturbances(kind) for kind in faults}
    kept = None
    if set(tally.statuses) <= {"OK"}:
        kept = _clean_cycles(config, tally.rounds, seed, progress, report) / spent
    return SoakResult(
        op="soak",
        backend="rtl",
        endpoints=config.system.endpoints,
        cycles=spent,
        time_s=spent / (config.isa.clock_MHz * 1e6),
        status=next((name for name in tally.statuses if name != "OK"), "OK"),
        rounds=tally.rounds,
        moved_bytes=tally.moved_bytes,
        wrong=tally.wrong,
        lost=tally.lost,
        duplicated=tally.duplicated,
        statuses=dict(tally.statuses),
        corrected=counters["corrected"],
        replays=counters["replays"],
        damaged=counters["damaged"],
        rejects=counters["rejects"],
        drops=counters["drops"],
        throughput_kept=kept,
        faults={kind.name.lower(): rate for kind, rate in faults.items()},
        happened=happened,
        seed=seed,
    )


def _strikes(faults: Faults, number: int) -> bool:
    """Whether an endpoint misbehaves in this round: evenly, as often as the rate says."""
    rate = faults.get(Disturbance.WRONG, 0)
    return int((number + 1) * rate) > int(number * rate)


def _clean_cycles(
    config: Config, rounds: int, seed: int, progress: Progress, report: Report
) -> int:
    """How long the same rounds take without faults."""
    with Simulator(config, seed=seed, report=report) as simulator:
        load = SoakLoad(config, simulator, Driver(simulator, config), seed)
        start = simulator.cycle
        for number in range(rounds):
            progress("without faults", number, rounds)
            load.round()
        if load.tally.wrong or set(load.tally.statuses) - {"OK"}:
            raise RuntimeError(f"without faults: {load.tally}")
        return simulator.cycle - start
