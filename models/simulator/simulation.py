"""Run collectives and traffic on the simulated system."""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec.config import Config
from hw.spec.timing import SHUFFLE_SEED, SHUFFLE_TAPS
from models.simulator.assembly import assemble
from models.simulator.read_server import first_poll
from models.simulator.system import run
from models.simulator.timing import Timing
from models.simulator.work import Instruction, Traffic
from models.simulator.write_server import CORE, ISA

SHUFFLE_PERIOD = (1 << 16) - 1


@dataclass(frozen=True)
class Outcome:
    """Times in cycles. Of each instruction: first read, first data at the switch, first and last
    row reduced, last response counted; ``visible``: the last completion flag is visible. Per
    endpoint: rows written by ordinary traffic and by the accelerator."""

    cycles: int
    first_read: list[int]
    first_data: list[int]
    first_row: list[int]
    last_write: list[int]
    last_response: list[int]
    visible: int
    core_rows: list[int]
    isa_rows: list[int]

    @property
    def unsynchronised(self) -> int:
        """From the first read to the last response, all instructions together."""
        return max(self.last_response) - min(self.first_read)


class SimulationError(RuntimeError):
    """The simulated time ran out."""


def simulate(
    config: Config,
    instructions: list[Instruction],
    traffic: list[Traffic] | None = None,
    *,
    limit: int = 1 << 40,
    cycles: int | None = None,
    since_reset: int = 0,
    arrivals: list[int] | None = None,
) -> Outcome:
    """Run until all instructions are complete, or for ``cycles`` cycles.

    ``since_reset``: how long the hardware had run when time 0 came; only endpoints that shuffle
    their answers, ``endpoint.shuffle_slots`` > 1, are different then. ``arrivals``: when each
    endpoint arrived and began to poll its flag, also before time 0; by default all at the start
    of the first synchronised instruction.
    """
    timing = Timing.of(config)
    state = assemble(config, timing, instructions, traffic or [])
    waits = [item.start for item in instructions if item.synchronised]
    if waits:
        moments = arrivals or [min(waits)] * timing.ports
        state.endpoints["poll"] = [first_poll(timing, moment) for moment in moments]
    if timing.shuffle > 1:
        state.endpoints["noise"] = _noise(since_reset)
    end = run(timing, state, cycles if cycles is not None else limit)
    if end == limit and cycles is None:
        raise SimulationError(f"not complete after {limit} simulated cycles")
    items, ends = state.instructions, state.endpoints
    return Outcome(
        cycles=int(end),
        first_read=items["first_read"].tolist(),
        first_data=items["first_data"].tolist(),
        first_row=items["first_row"].tolist(),
        last_write=items["last_write"].tolist(),
        last_response=items["last_response"].tolist(),
        visible=int(ends["visible"].max()),
        core_rows=ends["rows"][:, CORE].tolist(),
        isa_rows=ends["rows"][:, ISA].tolist(),
    )


def _noise(cycles: int) -> int:
    """The random numbers of ``hw/endpoint/shuffle.py`` after so many cycles."""
    noise = SHUFFLE_SEED
    for _ in range(cycles % SHUFFLE_PERIOD):
        noise = (noise >> 1) ^ (SHUFFLE_TAPS if noise & 1 else 0)
    return noise
