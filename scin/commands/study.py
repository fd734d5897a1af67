"""``scin study``: one question to the simulator, a table and a plot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import click

from hw.spec.config import Config, from_dict
from hw.spec.formats import block_formats
from hw.spec.formats.data_type import DataType
from hw.spec.registers import FEATURE_BITS
from models.baselines.parameters import Parameters
from models.prediction import SCIN, SCIN_INQ, predict
from models.simulator.collective import plane_bytes
from models.simulator.simulation import simulate
from models.simulator.work import Instruction, Traffic
from models.wire import busiest_link_bytes
from scin.commands.options import Command, common, plot_option, set_fields
from scin.errors import InputError
from scin.flow.compilation import compile_simulator
from scin.report.files import takes_stdout
from scin.report.output import recorded
from scin.report.plot import Line, Panel, plot_panels
from scin.report.predicted import ELEMENT_BYTES, result_of
from scin.report.progress import Stages
from scin.report.record import CollectiveResult, Result, shown
from scin.report.table import Column, TextTable
from scin.report.units import size_text

NANOSECONDS = (100, 200, 400, 800)
"""What the study of latencies asks for; each point is at the whole cycles that were simulated."""

SMALL, MEDIUM, LARGE = 4 << 10, 256 << 10, 16 << 20
SIZES = tuple(1 << exponent for exponent in range(10, 27, 2))
BASELINES = ("ring", "nvls", "twoshot")
TRAFFIC_START = 20_000
TRAFFIC_SIZE = 1 << 20


@dataclass(frozen=True)
class Point:
    """Of a line of the plot, at ``x``."""

    line: str
    x: float
    result: Result

    @property
    def seconds(self) -> float:
        assert self.result.time_s is not None
        return self.result.time_s

    @property
    def microseconds(self) -> float:
        return self.seconds * 1e6

    @property
    def gigabytes_per_second(self) -> float:
        assert self.result.algbw_GBps is not None
        return self.result.algbw_GBps


@dataclass(frozen=True)
class Study:
    """``value``: what is drawn over ``x``; ``relative``: to the first line at the same x;
    ``varies``: the fields that the study sets itself."""

    doc: str
    x_label: str
    y_label: str
    points: Callable[[Config], Iterator[Point]]
    value: Callable[[Point], float]
    varies: tuple[str, ...] = ()
    relative: bool = False
    log_x: bool = True
    sizes: bool = False
    """``x`` is in bytes."""
    log_y: bool = False


def with_fields(config: Config, section: str, **fields: Any) -> Config:
    """A changed configuration, checked as any other. What a study does to vary a field."""
    tree = config.as_dict()
    name = tree.pop("name")
    tree[section] |= fields
    return from_dict(tree, name=name)


def predicted(
    config: Config, algorithm: str, size: int, wire: DataType = DataType.INT8
) -> CollectiveResult:
    """One All-Reduce; ``wire``: what scin-inq quantizes to."""
    return result_of(config, predict(config, algorithm, size, Parameters(), wire))


def _ablation(config: Config) -> Iterator[Point]:
    off = dict.fromkeys(FEATURE_BITS, False)
    sets = {"all off": off}
    sets |= {f"only {name.replace('_', ' ')}": off | {name: True} for name in FEATURE_BITS}
    on = dict.fromkeys(FEATURE_BITS, True)
    sets |= {f"all but {name.replace('_', ' ')}": on | {name: False} for name in FEATURE_BITS}
    sets |= {"all on": on}
    for name, features in sets.items():
        changed = with_fields(config, "isa", **features)
        for size in SIZES:
            yield Point(name, size, predicted(changed, SCIN, size))


def _buffer(config: Config) -> Iterator[Point]:
    """Table size as waves times bytes per wave."""
    for wave_bytes in (1024, 4096, 16384):
        for waves in (2, 4, 8, 16, 32):
            per_controller = waves // config.isa.wave_controllers
            if per_controller < 1:
                continue
            changed = with_fields(config, "isa", waves=waves, wave_bytes=wave_bytes)
            yield Point(f"{size_text(wave_bytes)} waves", waves, predicted(changed, SCIN, LARGE))


def _latency(config: Config) -> Iterator[Point]:
    per_ns = config.isa.clock_MHz / 1000
    low = {item.name: item.metadata["low"] for item in fields(config.link)}["latency_cycles"]
    latencies = dict.fromkeys(max(low, round(each * per_ns)) for each in NANOSECONDS)
    for algorithm in (SCIN, *BASELINES):
        for cycles in latencies:
            changed = with_fields(config, "link", latency_cycles=cycles)
            yield Point(algorithm, cycles / per_ns, predicted(changed, algorithm, SMALL))


def _accelerators(config: Config) -> Iterator[Point]:
    for algorithm in (SCIN, *BASELINES):
        for count in (2, 4, 8, 16, 32, 72):
            changed = with_fields(config, "system", endpoints=count)
            yield Point(algorithm, count, predicted(changed, algorithm, MEDIUM))


def _inq(config: Config) -> Iterator[Point]:
    for size in SIZES:
        yield Point("fp16", size, predicted(config, SCIN, size))
    for entry in block_formats(config):
        for size in SIZES:
            result = predicted(config, SCIN_INQ, size, entry.code)
            yield Point(entry.code.name.lower(), size, result)


def _interference(config: Config) -> Iterator[Point]:
    """Endpoints that write to the next one as fast as they can, and a collective beside them."""
    endpoints = config.system.endpoints
    cycle = 1 / (config.isa.clock_MHz * 1e6)
    length = plane_bytes(config, TRAFFIC_SIZE)
    limit = config.fabric.max_payload_bytes
    for packet in dict.fromkeys((limit, max(config.fabric.flit_bytes, limit // 4))):
        for count in range(0, endpoints + 1, max(1, endpoints // 4)):
            traffic = [Traffic(i, (i + 1) % endpoints, packet) for i in range(count)]
            item = Instruction(length, synchronised=False, start=TRAFFIC_START)
            cycles = simulate(config, [item], traffic).unsynchronised
            result = CollectiveResult(
                op="allreduce",
                algo=SCIN,
                backend="sim",
                dtype="fp16",
                redop="sum",
                endpoints=endpoints,
                size_bytes=TRAFFIC_SIZE,
                cycles=cycles,
                time_s=cycles * cycle,
                wire_bytes=busiest_link_bytes("allreduce", SCIN, endpoints, TRAFFIC_SIZE),
                link_GBps=config.link.gigabytes_per_second * config.system.switches,
                status="OK",
                sync_included=False,
                count=TRAFFIC_SIZE // ELEMENT_BYTES,
                wire_format="fp16",
            )
            yield Point(f"beside packets of {size_text(packet)}", count, result)


BANDWIDTH = "algorithm bandwidth (GB/s)"
TIME = "time (us)"

STUDIES = {
    "ablation": Study(
        "each improvement alone, all but each, and all together, over size",
        "size",
        "speed-up over all off",
        _ablation,
        lambda point: point.seconds,
        varies=tuple(f"isa.{name}" for name in FEATURE_BITS),
        relative=True,
        sizes=True,
    ),
    "buffer": Study(
        "waves and bytes per wave of a table, at 16 MiB",
        "waves per table",
        BANDWIDTH,
        _buffer,
        lambda point: point.gigabytes_per_second,
        varies=("isa.waves", "isa.wave_bytes"),
    ),
    "latency": Study(
        "link latency, at 4 KiB",
        "link latency, one way (ns)",
        TIME,
        _latency,
        lambda point: point.microseconds,
        varies=("link.latency_cycles",),
        log_y=True,
    ),
    "accelerators": Study(
        "number of accelerators, at 256 KiB",
        "accelerators",
        TIME,
        _accelerators,
        lambda point: point.microseconds,
        varies=("system.endpoints",),
        log_y=True,
    ),
    "inq": Study(
        "wire formats of in-network quantization, over size",
        "size",
        BANDWIDTH,
        _inq,
        lambda point: point.gigabytes_per_second,
        sizes=True,
    ),
    "interference": Study(
        "endpoints that also send ordinary traffic, 1 MiB",
        "endpoints with ordinary traffic",
        BANDWIDTH,
        _interference,
        lambda point: point.gigabytes_per_second,
        log_x=False,
    ),
}

COLUMNS: tuple[Column, ...] = (
    ("line", "", 32),
    ("x", "", 13),
    ("size", "(B)", 10),
    ("time", "(us)", 11),
    ("algbw", "(GB/s)", 9),
    ("vs first", "(x)", 9),
)


@click.command(cls=Command)
@click.argument("name", metavar="STUDY")
@plot_option("it")
@common(default="dgx8")
def study(
    *,
    config: Config,
    name: str,
    plot: str | None,
    json_path: str | None,
    quiet: bool,
) -> None:
    """Ask the simulator: ablation, buffer, latency, accelerators, inq, or interference.

    ``vs first`` compares with the first line at the same x.
    """
    if name not in STUDIES:
        raise InputError(f"study {name!r}: must be one of {', '.join(STUDIES)}")
    chosen = STUDIES[name]
    for field in set_fields():
        if field in chosen.varies:
            raise InputError(f"set {field}: study {name} varies it")
    table = TextTable(COLUMNS, quiet=quiet, error=takes_stdout(json_path, plot))
    compile_simulator(Stages(quiet=quiet))
    table.head(f"{chosen.doc}; {config.name}; x: {chosen.x_label}")
    reference: dict[float, float] = {}
    lines: dict[str, list[tuple[float, float]]] = {}
    with recorded(json_path, f"study {name}", config) as records:
        for point in chosen.points(config):
            first = reference.setdefault(point.x, point.seconds)
            gain = first / point.seconds
            value = gain if chosen.relative else chosen.value(point)
            lines.setdefault(point.line, []).append((point.x, value))
            records.append(point.result.as_dict(line=point.line, x=point.x, vs_first=gain))
            table.row(
                [
                    point.line,
                    size_text(point.x) if chosen.sizes else f"{point.x:g}",
                    shown(point.result.size_bytes),
                    f"{point.microseconds:.3f}",
                    f"{point.gigabytes_per_second:.2f}",
                    f"{gain:.3f}",
                ]
            )
        if plot is not None:
            drawn = [Line(label, points) for label, points in lines.items()]
            panel = Panel(
                chosen.x_label,
                chosen.y_label,
                drawn,
                chosen.log_x,
                chosen.log_y,
                sizes=chosen.sizes,
            )
            plot_panels(plot, f"{chosen.doc}; {config.name}", [panel])
