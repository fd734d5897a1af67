"""The seam of property tests: light stand-ins for whatever takes long.

:func:`light_stages` replaces builds of simulators, emission of Verilog, bitstreams, the pool of
processes, the cycle-by-cycle simulation and the numerics of large tensors, all at once. What runs
on RTL then ends as it does where the compiler fails; everything else goes on to its records.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from models.accuracy.accuracy import Embedding, Sqnr
from scin.commands import explore
from scin.errors import BuildError


def _fails(*_: Any, **__: Any) -> Any:
    raise BuildError("no compiler here")


def _cycles(config: Any, length: int, *_: Any) -> int:
    """Of an All-Reduce in the simulator: latencies, and a flit every other cycle."""
    return 4 * config.link.latency_cycles + 2 * length // config.fabric.flit_bytes + 100


class _Outcome:
    unsynchronised = 30_000


def _pool(points: list, scheduler: str | None, workers: int | None) -> Iterator[tuple]:
    yield points, explore.compute(points)


def _sqnr(data: str, sets: Any, ranks: int, study: Any) -> Iterator[Sqnr]:
    for algo, value in (
        ("scin-inq", 40.0),
        ("two-shot-quantized", 40.0),
        ("ring-quantized", 36.0),
    ):
        yield Sqnr(data, ranks, study.format, study.bits, study.block, algo, value, 3.5)


def _embeddings(encoder: Any, reference: Any, study: Any) -> Iterator[Embedding]:
    known = {"ranks": 8, "format": study.format, "bits": study.bits, "block": study.block}
    yield Embedding(
        **known,
        algo="scin-inq",
        cosine_min=0.99,
        cosine_mean=0.999,
        rank_correlation=0.99,
        pairs=10,
    )


@contextmanager
def light_stages(folder: Path) -> Iterator[None]:
    """``folder``: where what has no other place is written."""
    replaced: dict[str, Any] = {
        "scin.host.simulator.simulator_library": _fails,
        "scin.commands.build.simulator_library": _fails,
        "fpga.simulation.build": _fails,
        "fpga.build.build_design": _fails,
        "fpga.vivado._files": lambda partition, item, report: {"top.v": "module top; endmodule\n"},
        "scin.flow.emit.verilog_of": lambda part, name: f"module {name};\nendmodule\n",
        "scin.flow.emit.part": lambda config, top: top,
        # What is emitted here is nothing that a user's cache may keep.
        "scin.flow.emit.cached": lambda *parts: folder.joinpath("kept", *parts),
        "scin.commands.emit.REPOSITORY": folder,
        "scin.commands.explore._run": _pool,
        "models.simulator.collective._simulated": _cycles,
        "scin.commands.study.simulate": lambda *_: _Outcome(),
        "scin.commands.accuracy.sqnr_of": _sqnr,
        "scin.commands.accuracy.synthetic_tensors": lambda *_: [],
        "scin.commands.accuracy.model_tensors": lambda *_: [],
        "scin.commands.accuracy.embeddings_of": _embeddings,
        "scin.commands.accuracy.Encoder": mock.MagicMock(),
    }
    with ExitStack() as stack:
        for name, stand_in in replaced.items():
            stack.enter_context(mock.patch(name, stand_in))
        yield
