"""``scin accuracy``: what quantization costs in the switch, in two shots and around a ring."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np
from rich import box
from rich.table import Table as RichTable

from models.accuracy.accuracy import (
    BLOCKS,
    FORMATS,
    INTEGERS,
    QUANTIZED_ALGORITHMS,
    RANKS,
    Embedding,
    Sqnr,
    Study,
    embeddings_of,
    model_tensors,
    normal_tensors,
    sqnr_of,
    studies,
    synthetic_tensors,
)
from models.accuracy.sentences import SENTENCES
from models.accuracy.transformer import Encoder
from scin.collectives.requests import refuse_repetition
from scin.commands.options import (
    Command,
    json_option,
    parse_list,
    plot_option,
    refuse_options,
    seed_option,
)
from scin.commands.process import exit_status
from scin.errors import InputError, MissingToolError
from scin.report.files import takes_stdout
from scin.report.output import recorded
from scin.report.plot import plot_accuracy
from scin.report.progress import Stages
from scin.report.record import Result
from scin.report.terminal import Console, check_stdout

MODEL = "model"
RANDOM_DATA = ("synthetic", "normal")
DATA = (MODEL, *RANDOM_DATA)


@dataclass(frozen=True)
class Task:
    """What is asked for: every kind of data, summed over every number of ranks, in every way of
    quantizing it."""

    data: list[str]
    ranks: list[int]
    studies: list[Study]
    seed: int
    encoder: Encoder | None
    """None where the model is not among the data."""


@click.command(cls=Command)
@click.option("--data", "data_names", default=",".join(DATA), show_default=True, help="Tensors.")
@click.option("--ranks", default=",".join(map(str, RANKS)), show_default=True, help="Numbers.")
@click.option("--formats", default=",".join(FORMATS), show_default=True, help="Formats.")
@click.option(
    "--blocks", default=",".join(map(str, BLOCKS)), show_default=True, help="Of int8 and int4."
)
@plot_option("SQNR over ranks and over blocks")
@json_option
@seed_option("of synthetic and normal data")
@click.option("--quiet", is_flag=True, help="No table, no progress.")
def accuracy(**options: Any) -> None:
    """SQNR of quantized All-Reduces in the switch, in two shots and around a ring, and what
    they do to a real model.

    Data: the partial sums of a sentence encoder (``model``; `make setup-example` installs its
    weights), heavy-tailed activations with outlier channels (``synthetic``), and normally
    distributed ones (``normal``).
    """
    with exit_status():
        _accuracy(**options)


def _accuracy(
    data_names: str,
    ranks: str,
    formats: str,
    blocks: str,
    plot: str | None,
    json_path: str | None,
    seed: int,
    quiet: bool,
) -> None:
    task = _task(data_names, ranks, formats, blocks, seed, plotted=plot is not None)
    error = takes_stdout(json_path, plot)
    if not (quiet or error):
        check_stdout()
    found: list[Sqnr | Embedding] = []
    with recorded(json_path, "accuracy", None) as records:
        for item in _quantize(task, quiet=quiet):
            found.append(item)
            records.append(_record(item, seed))
        sqnr = [item for item in found if isinstance(item, Sqnr)]
        embeddings = [item for item in found if isinstance(item, Embedding)]
        if not quiet:
            console = Console(stderr=error)
            for name in task.data:
                console.table(_sqnr_table(name, [item for item in sqnr if item.data == name]))
            if embeddings:
                console.table(_embedding_table(embeddings))
        if plot is not None:
            plot_accuracy(plot, sqnr)


def _task(
    data_names: str, ranks: str, formats: str, blocks: str, seed: int, *, plotted: bool
) -> Task:
    """The task, once all that the user wrote of it is checked."""
    data = parse_list("data", data_names, DATA)
    format_list = parse_list("formats", formats, FORMATS)
    if not set(RANDOM_DATA) & set(data):
        refuse_options(f"only --data {','.join(RANDOM_DATA)} are drawn at random", "seed")
    if not set(INTEGERS) & set(format_list):
        refuse_options(f"only --formats {','.join(INTEGERS)} have blocks of any size", "blocks")
    rank_list = _numbers("ranks", ranks, 2, 72)
    block_list = _numbers("blocks", blocks, 32, 4096)
    for block in block_list:
        if block & (block - 1):
            raise InputError(f"blocks {block}: must be a power of two")
    if plotted and not set(INTEGERS) & set(format_list):
        raise InputError(f"--plot draws {' and '.join(INTEGERS)}: formats must name one")
    encoder = _load_encoder() if MODEL in data else None
    return Task(data, rank_list, studies(format_list, block_list), seed, encoder)


def _load_encoder() -> Encoder:
    try:
        return Encoder.load()
    except ImportError as missing:
        raise MissingToolError(str(missing)) from missing


def _quantize(task: Task, *, quiet: bool) -> Iterator[Sqnr | Embedding]:
    """All-Reduces of every kind of data, then the model with every All-Reduce of it quantized."""
    cases = list(itertools.product(task.data, task.ranks))
    total = len(task.studies) * (len(cases) + (task.encoder is not None))
    with Stages(quiet=quiet).running("quantizing", total) as advance:
        for name, count in cases:
            sets = _tensors(task, name, count)
            for study in task.studies:
                yield from sqnr_of(name, sets, count, study)
                advance(1)
        if task.encoder is not None:
            reference = task.encoder.embed(list(SENTENCES))
            for study in task.studies:
                yield from embeddings_of(task.encoder, reference, study)
                advance(1)


def _tensors(task: Task, name: str, ranks: int) -> list[list[np.ndarray]]:
    """What the ``ranks`` of some All-Reduces bring, of the kind of data that is called so."""
    if name == MODEL:
        assert task.encoder is not None
        return model_tensors(task.encoder, ranks)
    if name == "normal":
        return normal_tensors(ranks, task.seed)
    return synthetic_tensors(ranks, task.seed)


def _record(item: Sqnr | Embedding, seed: int) -> dict[str, Any]:
    """``seed``: of the data that are drawn at random."""
    own = asdict(item)
    drawn = isinstance(item, Sqnr) and item.data in RANDOM_DATA
    return Result(
        op="allreduce",
        algo=own.pop("algo"),
        backend="numerics",
        dtype="fp16",
        redop="sum",
        endpoints=own.pop("ranks"),
        seed=seed if drawn else None,
    ).as_dict(study="sqnr" if isinstance(item, Sqnr) else "embedding", **own)


def _numbers(name: str, text: str, low: int, high: int) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{name} {text!r}: must be numbers separated by commas") from error
    refuse_repetition(name, [str(number) for number in numbers])
    for number in numbers:
        if not low <= number <= high:
            raise InputError(f"{name} {number}: must be between {low} and {high}")
    return numbers


def _sqnr_table(name: str, items: list[Sqnr]) -> RichTable:
    table = RichTable(
        title=f"{name} data: SQNR of scin-inq in dB, and how far above two-shot-quantized and "
        "ring-quantized",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("format")
    table.add_column("block", justify="right")
    ranks = list(dict.fromkeys(item.ranks for item in items))
    for count in ranks:
        table.add_column(f"N = {count}", justify="right")
    values = {(i.format, i.block, i.ranks, i.algo): i.sqnr_db for i in items}
    for study, block in dict.fromkeys((item.format, item.block) for item in items):
        cells = []
        for count in ranks:
            own, *others = (values[study, block, count, algo] for algo in QUANTIZED_ALGORITHMS)
            margins = " ".join(_decibels(own, other) for other in others)
            cells.append(f"{_decibels(own)} {margins}")
        table.add_row(study, str(block), *cells)
    theory = {item.ranks: item.theory_margin_db for item in items}
    table.add_section()
    table.add_row("theory", "", *(f"+0.0 {theory[count]:+.1f}" for count in ranks))
    return table


def _decibels(value: float | None, below: float | None = None) -> str:
    """A ratio, or how far it is above ``below``; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.1f}" if below is None else f"{value - below:+.1f}"


def _embedding_table(items: list[Embedding]) -> RichTable:
    table = RichTable(
        title=f"sentence embeddings, N = {items[0].ranks}, against the unquantized model "
        f"({items[0].pairs} pairs)",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for column in ("format", "block", "algorithm", "cosine min", "cosine mean", "Spearman"):
        table.add_column(column, justify="left" if column == "algorithm" else "right")
    for item in items:
        table.add_row(
            item.format,
            str(item.block),
            item.algo,
            f"{item.cosine_min:.6f}",
            f"{item.cosine_mean:.6f}",
            f"{item.rank_correlation:.6f}",
        )
    return table
