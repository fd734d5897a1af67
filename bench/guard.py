"""Has simulation become slower? Cycles per second of one small system, as a share of what a fixed
program does on this processor, beside the share recorded in ``guard.json``.

The fixed program is made like a Verilated one: much straight-line code over little data. Both are
measured in processor time and in turn, so that neither the machine nor its other users decide.
Exit status 1 if less than LEAST of the recorded share is left; ``--record`` records anew.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hw.spec.config import load
from hw.spec.formats.data_type import DataType
from scin.collectives.training import saturate
from scin.flow.effort import Effort
from scin.flow.verilate import simulator_library
from scin.host.simulator import Simulator

RECORD = Path(__file__).with_suffix(".json")
LOADS = {"idle": None, "fp16": DataType.FP16, "int8": DataType.INT8}
CYCLES = 10_000
PAIRS = 7
LEAST = 0.65
"""Of the recorded share. On one machine the share was seen between 0.86 and 1.02 of it."""

STATEMENTS = 10_000
WORDS = 4096
PASSES = 10_000


def fixed_program() -> str:
    """C++ of a function ``work(passes)``, a pass being STATEMENTS small steps in a row."""
    rng = random.Random(1)
    steps = []
    for _ in range(STATEMENTS):
        a, b, c, d = (rng.randrange(WORDS) for _ in range(4))
        if rng.random() < 0.2:
            steps.append(f"  if (x[{a}] & {1 << rng.randrange(32)}u) x[{b}] = x[{c}] + {d}u;")
        else:
            sign = rng.choice("^+&|")
            steps.append(f"  x[{a}] = (x[{b}] >> {rng.randrange(1, 31)}) {sign} x[{c}];")
    return "\n".join(
        [
            "#include <cstdint>",
            f"static uint32_t x[{WORDS}];",
            'extern "C" uint32_t work(int passes) {',
            f"  for (int i = 0; i < {WORDS}; ++i) x[i] = 2654435761u * (i + 1);",
            "  for (int i = 0; i < passes; ++i) {",
            *steps,
            "  }",
            "  return x[0];",
            "}",
        ]
    )


def rate(work: Callable[[int], object], amount: int) -> float:
    """Per second of processor time."""
    start = time.process_time()
    work(amount)
    return amount / (time.process_time() - start)


def shares(passes: Callable[[int], object]) -> dict[str, float]:
    """Of each load, the median of cycles per pass of the fixed program in the same time."""
    config = load("tiny")
    library = simulator_library(config, effort=Effort.FAST)
    found = {}
    for name, data_type in LOADS.items():
        with Simulator(config, library=library) as simulator:
            saturate(simulator, data_type, PAIRS * CYCLES)
            pairs = [(rate(simulator.step, CYCLES), rate(passes, PASSES)) for _ in range(PAIRS)]
        found[name] = statistics.median(cycles / fixed for cycles, fixed in pairs)
        print(
            f"{name:5} {statistics.median(pair[0] for pair in pairs):9,.0f} cycles/s, "
            f"{found[name]:.3f} of the fixed program's passes"
        )
    return found


def compiled(folder: Path) -> Callable[[int], object]:
    source, library = folder / "fixed.cpp", folder / "fixed.so"
    source.write_text(fixed_program())
    subprocess.run(["g++", "-O0", "-shared", "-fPIC", "-o", library, source], check=True)
    return ctypes.CDLL(str(library)).work


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--record", action="store_true", help="make today's the recorded shares")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = shares(compiled(Path(folder)))
    if options.record:
        RECORD.write_text(json.dumps(found, indent=2) + "\n")
        return 0
    recorded = json.loads(RECORD.read_text())
    slow = [name for name in LOADS if found[name] < LEAST * recorded[name]]
    for name in LOADS:
        print(f"{name:5} {found[name] / recorded[name]:.2f} of what is recorded")
    if slow:
        print(f"simulation has become slower: {', '.join(slow)}", file=sys.stderr)
    return bool(slow)


if __name__ == "__main__":
    sys.exit(main())
