"""``scin llm``: what the in-switch accelerator is worth to an inference server."""

from __future__ import annotations

from pathlib import Path

import click

from hw.spec.config import Config
from models.llm.accelerator import Profile, ProfileError, Roofline
from models.llm.inference import StepTime, Workload, step_time
from models.llm.operators import PRECISIONS
from models.llm.shape import LARGEST, ShapeError, load_shape
from models.prediction import SCIN, SCIN_INQ, known_algorithms
from scin.commands.compare import parse_algorithms, parse_parameters, software_text, with_plain
from scin.commands.options import Command, common, parse_list, plot_option, refuse_repetition
from scin.errors import InputError
from scin.flow.compilation import compile_simulator
from scin.report.files import takes_stdout
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
@click.option("--parameter", "texts", multiple=True, metavar="NAME=VALUE", help="Of baselines.")
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

    Operators take what an H200 roofline says, or a measured --profile; All-Reduces what the
    simulator says. Prefill by default quantizes in the network, decode does not. Accelerators must
    divide a model's heads; where they are more than its KV heads, those are replicated.
    """
    workload = Workload(prefill_batch, prompt, decode_batch, context)
    for name in ("prefill_batch", "prompt", "decode_batch", "context"):
        value, option = getattr(workload, name), name.replace("_", "-")
        if not 1 <= value <= LARGEST:
            raise InputError(f"{option} {value}: must be between 1 and {LARGEST}")
    precisions = parse_list("precision", precision, PRECISIONS)
    refuse_repetition("model", models.split(","))
    baselines = parse_algorithms(against)
    for option, name in (("prefill-algo", prefill_algo), ("decode-algo", decode_algo)):
        if name not in known_algorithms():
            raise InputError(f"{option} {name!r}: must be one of {', '.join(known_algorithms())}")
    shown = with_plain([*dict.fromkeys((REFERENCE, *baselines, prefill_algo, decode_algo))])
    parameters = parse_parameters(texts, shown)
    try:
        chosen = [load_shape(name) for name in models.split(",")]
        for model in chosen:
            model.shard(config.system.endpoints)
        accelerator = Profile.load(Path(profile)) if profile else Roofline()
    except (ShapeError, ProfileError) as error:
        raise InputError(str(error)) from error
    table = TextTable(COLUMNS, quiet=quiet, error=takes_stdout(json_path, plot))
    compile_simulator(Stages(quiet=quiet), (prefill_algo, decode_algo, *baselines))
    table.head(
        f"tensor parallel over {config.system.endpoints} accelerators, {config.name}; prefill "
        f"{prefill_batch} x {prompt} tokens, decode {decode_batch} with {context} cached; "
        f"{software_text(parameters)}"
    )
    bars: list[Bar] = []
    with recorded(json_path, "llm", config) as records:
        for model in chosen:
            for name in precisions:
                for phase, step, ours in (
                    ("prefill", workload.prefill, prefill_algo),
                    ("decode", workload.decode, decode_algo),
                ):
                    times: dict[str, StepTime] = {}
                    chosen_algorithms = dict.fromkeys((REFERENCE, *baselines, ours))
                    for algorithm in with_plain(list(chosen_algorithms)):
                        try:
                            times[algorithm] = step_time(
                                config, model, step, name, algorithm, accelerator, parameters
                            )
                        except ProfileError as error:
                            raise InputError(str(error)) from error
                    for algorithm, time in times.items():
                        gain = times[REFERENCE].total / time.total
                        layers = model.layers / 1e6
                        table.row(
                            [
                                model.name,
                                name,
                                phase,
                                str(time.allreduce.size),
                                algorithm,
                                f"{time.compute / layers:.2f}",
                                f"{time.communication / layers:.2f}",
                                f"{time.share:.1%}",
                                f"{time.total * 1e3:.3f}",
                                f"{gain:.2f}",
                            ]
                        )
                        records.append(
                            result_of(config, time.allreduce).as_dict(
                                model=model.name,
                                tp=config.system.endpoints,
                                batch=step.sequences,
                                prefill=step.prefill,
                                precision=name,
                                ttft_s=time.total if step.prefill else None,
                                tpot_s=None if step.prefill else time.total,
                                comm_share_prefill=time.share if step.prefill else None,
                                comm_share_decode=None if step.prefill else time.share,
                                compute_s=time.compute,
                                communication_s=time.communication,
                                speedup_vs_ring=gain,
                            )
                        )
                        label = f"{model.name}, {name} {phase}, {algorithm}"
                        bars.append(Bar(label, time.compute / layers, time.communication / layers))
        if plot is not None:
            plot_bars(plot, f"{config.name}: time per layer", "time (us)", bars)
