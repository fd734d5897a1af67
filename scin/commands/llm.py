"""``scin llm``: what the in-switch accelerator is worth to an inference server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from hw.spec.config import Config
from hw.spec.input_file import naming
from models.baselines.parameters import Parameters
from models.llm.accelerator import Profile, ProfileError, Roofline
from models.llm.inference import StepTime, Workload, step_time
from models.llm.operators import PRECISIONS, Step
from models.llm.shape import LARGEST, ModelShape, ShapeError, load_shape
from models.prediction import SCIN, SCIN_INQ, known_algorithms
from scin.collectives.requests import check_one_of, refuse_repetition
from scin.commands.compare import parse_algorithms, parse_parameters, software_text, with_plain
from scin.commands.options import Command, common, parse_list, plot_option
from scin.errors import InputError
from scin.flow.compilation import compile_simulator
from scin.report.files import refuse_written, takes_stdout
from scin.report.output import recorded
from scin.report.plot import Bar, plot_bars
from scin.report.predicted import result_of
from scin.report.progress import Stages
from scin.report.table import Column, TextTable

REFERENCE = "ring"
COLUMNS: tuple[Column, ...] = (
    ("model", "", 12),
    ("precision", "", 10),
    ("phase", "", 8),
    ("message", "(B)", 10),
    ("algorithm", "", 10),
    ("compute", "(us/layer)", 11),
    ("All-Reduce", "(us/layer)", 11),
    ("share", "", 8),
    ("TTFT/TPOT", "(ms)", 10),
    (f"vs {REFERENCE}", "(x)", 8),
)


@dataclass(frozen=True)
class Phase:
    """A phase of inference, and the algorithms that are compared in it."""

    name: str
    step: Step
    algorithms: list[str]


@dataclass(frozen=True)
class Task:
    """What is asked for: every model in every precision, through every phase."""

    config: Config
    shapes: list[ModelShape]
    precisions: list[str]
    phases: list[Phase]
    accelerator: Roofline | Profile
    profile: str | None
    """The file that the accelerator's times are from."""
    parameters: Parameters


@dataclass(frozen=True)
class Timing:
    """A phase of a model, with its All-Reduces by one algorithm."""

    shape: ModelShape
    precision: str
    phase: Phase
    time: StepTime
    gain: float
    """Over the same with :data:`REFERENCE`."""

    @property
    def algorithm(self) -> str:
        return self.time.allreduce.algorithm

    @property
    def compute_us(self) -> float:
        """Per layer."""
        return self._per_layer_us(self.time.compute)

    @property
    def communication_us(self) -> float:
        """Per layer."""
        return self._per_layer_us(self.time.communication)

    def _per_layer_us(self, seconds: float) -> float:
        return seconds / (self.shape.layers / 1e6)


@click.command(cls=Command)
@click.option(
    "--model",
    "models",
    default=",".join(("llama2-7b", "llama2-13b", "llama2-70b")),
    show_default=True,
    help="Presets or .toml files; comma-separated.",
)
@click.option("--precision", default="fp16,fp8", show_default=True, help="fp16, fp8.")
@click.option("--prefill-batch", default=1, show_default=True, help="Sequences in prefill.")
@click.option("--prompt", default=2048, show_default=True, help="Tokens of each.")
@click.option("--decode-batch", default=64, show_default=True, help="Sequences in decode.")
@click.option("--context", default=2048, show_default=True, help="Tokens cached of each.")
@click.option("--prefill-algo", default=SCIN_INQ, show_default=True, help="In prefill.")
@click.option("--decode-algo", default=SCIN, show_default=True, help="In decode.")
@click.option("--against", default="ring,nvls", show_default=True, help="Baselines.")
@click.option("--profile", metavar="FILE.csv", help="Measured operators, not the roofline.")
@click.option(
    "--parameter",
    "texts",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change an assumption about the baselines; repeatable.",
)
@plot_option("time per layer")
@common(default="dgx8")
def llm(
    *,
    config: Config,
    models: str,
    precision: str,
    prefill_batch: int,
    prompt: int,
    decode_batch: int,
    context: int,
    prefill_algo: str,
    decode_algo: str,
    against: str,
    profile: str | None,
    texts: tuple[str, ...],
    plot: str | None,
    json_path: str | None,
    quiet: bool,
) -> None:
    """Prefill and decode of a language model, tensor-parallel over all accelerators.

    The time of an operator comes from an H200 roofline or a measured --profile, that of an
    All-Reduce from the simulator. Prefill by default quantizes in the network, decode does not.
    The number of accelerators must divide a model's heads; where it is larger than that of its KV
    heads, those are replicated.
    """
    workload = Workload(prefill_batch, prompt, decode_batch, context)
    _check_workload(workload)
    precisions = parse_list("precision", precision, PRECISIONS)
    refuse_repetition("model", models.split(","))
    baselines = parse_algorithms(against)
    check_one_of("prefill-algo", prefill_algo, known_algorithms())
    check_one_of("decode-algo", decode_algo, known_algorithms())
    parameters = parse_parameters(texts, _compared(*baselines, prefill_algo, decode_algo))
    try:
        shapes = _load_shapes(models, config.system.endpoints)
        accelerator = _accelerator(profile)
    except (ShapeError, ProfileError) as error:
        raise InputError(str(error)) from error
    phases = [
        Phase("prefill", workload.prefill, _compared(*baselines, prefill_algo)),
        Phase("decode", workload.decode, _compared(*baselines, decode_algo)),
    ]
    task = Task(config, shapes, precisions, phases, accelerator, profile, parameters)
    table = TextTable(COLUMNS, quiet=quiet, error=takes_stdout(json_path, plot))
    compile_simulator(Stages(quiet=quiet), (prefill_algo, decode_algo, *baselines))
    table.head(
        f"tensor parallel over {config.system.endpoints} accelerators, {config.name}; prefill "
        f"{prefill_batch} x {prompt} tokens, decode {decode_batch} with {context} cached; "
        f"{software_text(parameters)}"
    )
    bars: list[Bar] = []
    with recorded(json_path, "llm", config) as records:
        for item in _timings(task):
            records.append(_record(config, item))
            table.row(_cells(item))
            label = f"{item.shape.name}, {item.precision} {item.phase.name}, {item.algorithm}"
            bars.append(Bar(label, item.compute_us, item.communication_us))
        if plot is not None:
            plot_bars(plot, f"{config.name}: time per layer", "time (us)", bars)


def _check_workload(workload: Workload) -> None:
    for name, value in asdict(workload).items():
        if not 1 <= value <= LARGEST:
            option = name.replace("_", "-")
            raise InputError(f"{option} {value}: must be between 1 and {LARGEST}")


def _compared(*algorithms: str) -> list[str]:
    """The reference and ``algorithms``, each once, and what tells their gains apart."""
    return with_plain(list(dict.fromkeys((REFERENCE, *algorithms))))


def _accelerator(profile: str | None) -> Profile | Roofline:
    if profile is None:
        return Roofline()
    refuse_written("profile", profile)
    return Profile.load(Path(profile))


def _load_shapes(names: str, accelerators: int) -> list[ModelShape]:
    """Models that can be split over so many accelerators; raises :class:`ShapeError`."""
    shapes = []
    for name in names.split(","):
        if name.endswith(".toml"):
            refuse_written("model", name)
        with naming(name):
            shapes.append(load_shape(name))
            shapes[-1].shard(accelerators)
    return shapes


def _timings(task: Task) -> Iterator[Timing]:
    """Every model in every precision and phase, by every algorithm."""
    for shape, precision, phase in itertools.product(task.shapes, task.precisions, task.phases):
        reference = _step_time(task, shape, precision, phase, REFERENCE)
        for name in phase.algorithms:
            time = reference
            if name != REFERENCE:
                time = _step_time(task, shape, precision, phase, name)
            yield Timing(shape, precision, phase, time, reference.total / time.total)


def _step_time(
    task: Task, shape: ModelShape, precision: str, phase: Phase, algorithm: str
) -> StepTime:
    try:
        return step_time(
            task.config,
            shape,
            phase.step,
            precision,
            algorithm,
            task.accelerator,
            task.parameters,
        )
    except ProfileError as error:
        raise InputError(f"profile {task.profile}: {error}") from error


def _cells(item: Timing) -> list[str]:
    return [
        item.shape.name,
        item.precision,
        item.phase.name,
        str(item.time.allreduce.size),
        item.algorithm,
        f"{item.compute_us:.2f}",
        f"{item.communication_us:.2f}",
        f"{item.time.share:.1%}",
        f"{item.time.total * 1e3:.3f}",
        f"{item.gain:.2f}",
    ]


def _record(config: Config, item: Timing) -> dict[str, Any]:
    time, step = item.time, item.phase.step
    return result_of(config, time.allreduce).as_dict(
        model=item.shape.name,
        tp=config.system.endpoints,
        batch=step.sequences,
        prefill=step.prefill,
        precision=item.precision,
        ttft_s=time.total if step.prefill else None,
        tpot_s=None if step.prefill else time.total,
        comm_share_prefill=time.share if step.prefill else None,
        comm_share_decode=None if step.prefill else time.share,
        compute_s=time.compute,
        communication_s=time.communication,
        speedup_vs_ring=item.gain,
    )
