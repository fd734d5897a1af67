"""``scin accuracy``: what quantization costs in the switch, in two shots and around a ring."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from typing import Any

import click
from rich import box
from rich.progress import Progress
from rich.table import Table as RichTable

from models.accuracy.accuracy import (
    BLOCKS,
    FORMATS,
    INTEGERS,
    QUANTIZED_ALGORITHMS,
    RANKS,
    Embedding,
    Sqnr,
    embeddings_of,
    model_tensors,
    normal_tensors,
    sqnr_of,
    studies,
    synthetic_tensors,
)
from models.accuracy.sentences import SENTENCES
from models.accuracy.transformer import Encoder
from scin.commands.options import (
    Command,
    json_option,
    parse_list,
    plot_option,
    refuse_options,
    refuse_repetition,
    seed_option,
)
from scin.commands.process import exit_status
from scin.errors import InputError, MissingToolError
from scin.report.files import takes_stdout
from scin.report.output import write_json
from scin.report.plot import plot_accuracy
from scin.report.record import Result
from scin.report.terminal import Console, check_stdout

RANDOM_DATA = ("synthetic", "normal")
DATA = ("model", *RANDOM_DATA)


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
    names = parse_list("data", data_names, DATA)
    parse_list("formats", formats, FORMATS)
    if not set(RANDOM_DATA) & set(names):
        refuse_options(f"only --data {','.join(RANDOM_DATA)} are drawn at random", "seed")
    rank_list = _numbers("ranks", ranks, 2, 72)
    block_list = _numbers("blocks", blocks, 32, 4096)
    for block in block_list:
        if block & (block - 1):
            raise InputError(f"blocks {block}: must be a power of two")
    if plot is not None and not set(INTEGERS) & set(formats.split(",")):
        raise InputError(f"--plot draws {' and '.join(INTEGERS)}: formats must name one")
    encoder = None
    if "model" in names:
        try:
            encoder = Encoder.load()
        except ImportError as missing:
            raise MissingToolError(str(missing)) from missing

    error = takes_stdout(json_path, plot)
    if not (quiet or error):
        check_stdout()
    console = Console(stderr=error)
    sqnr: list[Sqnr] = []
    embeddings: list[Embedding] = []
    cases = list(itertools.product(names, rank_list))
    studied = studies(formats.split(","), block_list)
    total = len(cases) * len(studied) + (len(studied) if encoder is not None else 0)
    with Progress(console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task("quantizing", total=total)
        for name, count in cases:
            if name == "model" and encoder is not None:
                sets = model_tensors(encoder, count)
            elif name == "normal":
                sets = normal_tensors(count, seed)
            else:
                sets = synthetic_tensors(count, seed)
            for study in studied:
                sqnr += sqnr_of(name, sets, count, study)
                progress.advance(task)
        if encoder is not None:
            reference = encoder.embed(list(SENTENCES))
            for study in studied:
                embeddings += embeddings_of(encoder, reference, study)
                progress.advance(task)
    if not quiet:
        for name in names:
            console.table(_sqnr_table(name, [item for item in sqnr if item.data == name]))
        if embeddings:
            console.table(_embedding_table(embeddings))
    if plot is not None:
        plot_accuracy(plot, sqnr)
    records = [_record("sqnr", item, seed if item.data in RANDOM_DATA else None) for item in sqnr]
    records += [_record("embedding", item, None) for item in embeddings]
    write_json(json_path, "accuracy", None, records)


def _record(study: str, item: Sqnr | Embedding, seed: int | None) -> dict[str, Any]:
    own = asdict(item)
    return Result(
        op="allreduce",
        algo=own.pop("algo"),
        backend="numerics",
        dtype="fp16",
        redop="sum",
        endpoints=own.pop("ranks"),
        seed=seed,
    ).as_dict(study=study, **own)


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
