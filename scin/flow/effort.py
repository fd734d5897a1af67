"""How much compiling a simulator is worth, by what it is for."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from itertools import pairwise

from scin.errors import InputError

VARIABLE = "SCIN_SIMULATOR"
"""Environment variable that names the effort of every simulator a process builds."""


class Effort(StrEnum):
    """Each has a library of its own in the cache."""

    QUICK = "quick"
    """Soon ready, for whatever simulates little: tests, waveforms, coverage."""
    FAST = "fast"
    """Runs twice as fast as a quick one. Commands build it unless told otherwise."""
    TRAINED = "trained"
    """Compiled twice: once to count in :mod:`scin.collectives.training` what runs often, once to
    use that."""


def effort_asked(environment: Mapping[str, str] = os.environ) -> Effort | None:
    """What ``SCIN_SIMULATOR`` names; None if it is not set."""
    name = environment.get(VARIABLE)
    if not name:
        return None
    try:
        return Effort(name)
    except ValueError:
        choices = ", ".join(Effort)
        raise InputError(f"{VARIABLE}={name}: must be one of {choices}") from None


def optimisation(effort: Effort) -> tuple[str, ...]:
    """Flags for the C++ compiler, for code that runs in every cycle."""
    if effort == Effort.QUICK:
        return ("-O1",)
    # Most of the time goes into fetching code that runs once per cycle: -O3 makes more of it.
    return ("-O2", *processor_flags())


@cache
def processor_flags() -> tuple[str, ...]:
    """What ``-march=native`` stands for on this processor, spelled out.

    A library's key in the cache contains them. So a machine with another processor that shares
    the cache never loads instructions that it does not have.
    """
    command = ["g++", "-march=native", "-###", "-E", "-x", "c++", os.devnull]
    result = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace"
    )
    lines = [line for line in result.stderr.splitlines() if "cc1plus" in line]
    if result.returncode or not lines:
        return ()  # a compiler that does not know its own processor
    words = shlex.split(lines[0])
    flags = [word for word in words if word.startswith("-m") and "=native" not in word]
    for before, word in pairwise(words):
        if before == "--param":
            flags += ["--param", word]
    return tuple(flags)
