"""Simulators that stay open from one collective to the next."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable

import numpy as np

from hw.spec.config import Config
from models.cache import lend_to_tools
from scin.collectives.runner import CollectiveRunner
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.report.measurement import Measurement
from scin.report.progress import Stages

Ran = tuple[Measurement, list[np.ndarray]]
"""What is measured of a collective, and per endpoint the bytes of the result."""

Collective = Callable[[CollectiveRunner], Ran]

LIMIT = 4
"""Simulators that are open at a time. Each holds the memories of its endpoints."""


class WarmSimulators:
    """Of the configurations that were used last, each with its runner.

    Threads take turns: while one of them runs a collective, the others wait.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._open: dict[Config, tuple[Simulator, CollectiveRunner]] = {}
        """The one used last is last."""
        self._turn = threading.Lock()

    def run(self, config: Config, collective: Collective) -> Ran:
        """``collective`` on a simulator that is open, or a new one. If it raises, fails or comes
        out wrong, that simulator is closed: it may be in the middle of something."""
        with self._turn:
            simulator, runner = (
                self._open.pop(config) if config in self._open else self._start(config)
            )
            sound = False
            try:
                measurement, outputs = collective(runner)
                sound = not measurement.failed and not measurement.wrong
            finally:
                if sound:
                    self._open[config] = (simulator, runner)
                else:
                    simulator.close()
            return measurement, outputs

    def _start(self, config: Config) -> tuple[Simulator, CollectiveRunner]:
        while len(self._open) >= self._limit:
            self._close(next(iter(self._open)))
        # As the command line does, before it builds anything.
        lend_to_tools()
        simulator = Simulator(config, report=Stages(quiet=False))
        try:
            runner = CollectiveRunner(config, simulator, Driver(simulator, config))
        except BaseException:
            simulator.close()
            raise
        return simulator, runner

    def _close(self, config: Config) -> None:
        simulator, _ = self._open.pop(config)
        simulator.close()

    def close(self) -> None:
        """Close all; the next collective opens a new one."""
        with self._turn:
            for config in list(self._open):
                self._close(config)


SIMULATORS = WarmSimulators()
"""Of this process; closed when it ends."""

atexit.register(SIMULATORS.close)
