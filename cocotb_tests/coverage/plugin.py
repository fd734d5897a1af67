"""pytest plugin of ``make coverage``: every test leaves its counters and its events.

Only loaded there; tests themselves know nothing of it.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
from pathlib import Path
from typing import Any

from cocotb_tests.coverage.events import Event, Instructions, command_event, environment
from cocotb_tests.coverage.points import collect
from hw.spec.config import Config
from hw.spec.status import Status
from scin.flow import coverage
from scin.host.dma_engine import EngineDriver
from scin.host.driver import Driver
from scin.host.simulator import Simulator

EVENTS = "events.json"


def counted(config: Config) -> bool:
    """Whether a system gets counters: the smallest, and those built as on boards. Others are made
    of the same parts, of which coverage counts the first of each kind: they run without
    counters, much faster, and are observed only."""
    return config.system.endpoints == 2 or config.fabric.registered


seen: set[tuple[tuple[str, str], ...]] = set()


def keep(event: Event | None) -> None:
    if event:
        seen.add(tuple(sorted(event.items())))


def pytest_configure(config: Any) -> None:
    # A folder for each process: none waits for another.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    folder = Path(os.environ[coverage.VARIABLE])
    if folder.name != worker:
        folder /= worker
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[coverage.VARIABLE] = str(folder)
    count_some()
    observe()


def pytest_runtest_teardown() -> None:
    folder = coverage.coverage_folder()
    assert folder
    collect(folder)
    (folder / EVENTS).write_text(json.dumps([dict(event) for event in sorted(seen)]))


def events_in(folder: Path) -> list[Event]:
    return [event for path in folder.rglob(EVENTS) for event in json.loads(path.read_text())]


def after(owner: type, name: str, look: Any) -> None:
    """Call ``look(self, result, ...)`` after the method ``name`` of ``owner``."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def observed(self: Any, *arguments: Any, **options: Any) -> Any:
        result = method(self, *arguments, **options)
        look(self, result, *arguments, **options)
        return result

    setattr(owner, name, observed)


def count_some() -> None:
    """Give counters to some simulators only."""
    create = Simulator.__init__

    @functools.wraps(create)
    def created(self: Simulator, config: Config, **options: Any) -> None:
        folder = os.environ[coverage.VARIABLE]
        if not counted(config):
            os.environ[coverage.VARIABLE] = ""
        try:
            create(self, config, **options)
        finally:
            os.environ[coverage.VARIABLE] = folder

    Simulator.__init__ = created  # type: ignore[method-assign]


def observe() -> None:
    """Look at what drivers are told and answered."""

    def opened(
        simulator: Simulator,
        _: None,
        config: Any,
        *,
        jitter: int = 0,
        stall: int = 0,
        faults: Any = None,
        **options: Any,
    ) -> None:
        faults = faults or {}
        simulator.around = environment(config, jitter, stall, faults)  # type: ignore[attr-defined]
        for kind in faults:
            keep({"of": "disturbance", "disturbance": kind.name})
        for first, second in itertools.combinations(sorted(faults), 2):
            keep({"of": "disturbance", "disturbance": first.name, "and": second.name})

    def around(driver: Driver) -> Event:
        return getattr(driver.bus, "around", {})

    def submitted(driver: Driver, _: None, instruction: Any, controller: int = 0) -> None:
        if not hasattr(driver, "instructions"):
            driver.instructions = Instructions(driver.config, around(driver))  # type: ignore[attr-defined]
        driver.instructions.submitted(instruction, controller)

    def completed(driver: Driver, record: Any, controller: int | None = None) -> None:
        if hasattr(driver, "instructions"):
            keep(driver.instructions.ended(record.controller, record.identifier, record.status))

    def forgot(engine: EngineDriver, _: None) -> None:
        engine.given, engine.judged = [], 0  # type: ignore[attr-defined]

    def queued(engine: EngineDriver, _: None, commands: Any) -> None:
        engine.given.extend(commands)  # type: ignore[attr-defined]

    def queued_one(engine: EngineDriver, _: None, command: Any) -> None:
        queued(engine, None, [command])

    def waited(engine: EngineDriver, outcome: Any) -> None:
        given, driver = engine.given, engine.driver  # type: ignore[attr-defined]
        failed = len(given) if outcome.failed is None else outcome.failed
        for number in range(engine.judged, min(failed + 1, len(given))):  # type: ignore[attr-defined]
            status = outcome.status if number == failed else Status.OK
            keep(
                command_event(given[number], engine.endpoint, driver.config, around(driver), status)
            )
        if failed >= len(given) and outcome.status != Status.OK:
            keep({"of": "command", "status": outcome.status.name})
        engine.judged = len(given)  # type: ignore[attr-defined]

    after(Simulator, "__init__", opened)
    after(Driver, "submit", submitted)
    after(Driver, "wait_completion", completed)
    after(EngineDriver, "reset", forgot)
    after(EngineDriver, "queue", queued)
    after(EngineDriver, "submit_inline", queued_one)
    after(EngineDriver, "wait", waited)
