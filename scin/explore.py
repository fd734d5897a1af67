"""``scin explore``: a design space, on all cores or on a Dask cluster."""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import pyarrow
import pyarrow.csv
import pyarrow.parquet
from rich.console import Console
from rich.progress import Progress

from hw.spec.config import Config, ConfigError, load
from models.baselines.parameters import Parameters
from models.prediction import ALGORITHMS, predict
from models.simulator.compiled import SOURCES
from models.simulator.timing import Timing
from scin.options import InputError, exit_status, parse_size, write_atomically

KEYS = {"config", "sizes", "algorithms", "fields"}
FORMATS = (".parquet", ".csv")
BATCH = 16
"""Points a worker computes at a time: enough to outweigh the way there and back."""


@dataclass(frozen=True)
class Space:
    """Every combination of ``fields`` (``section.field`` to values), sizes and algorithms."""

    config: str
    sizes: tuple[int, ...]
    algorithms: tuple[str, ...]
    fields: dict[str, tuple[Any, ...]]

    def points(self) -> Iterator[dict[str, Any]]:
        names = list(self.fields)
        for values in itertools.product(*self.fields.values()):
            for size, algorithm in itertools.product(self.sizes, self.algorithms):
                yield {
                    "config": self.config,
                    **dict(zip(names, values, strict=True)),
                    "size_bytes": size,
                    "algorithm": algorithm,
                }


def read_space(path: Path) -> Space:
    """Read and check the whole description before anything runs."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    if not {"config", "sizes", "algorithms"} <= set(tree) <= KEYS:
        wrong = ", ".join(sorted(set(tree) ^ (KEYS - {"fields"}))) or "nothing"
        raise InputError(f"{path}: config, sizes, algorithms and perhaps fields, but: {wrong}")
    for name in ("sizes", "algorithms"):
        if not isinstance(tree[name], list) or not tree[name]:
            raise InputError(f"{path}: {name}: must be a list")
    for algorithm in tree["algorithms"]:
        if algorithm not in ALGORITHMS:
            raise InputError(f"{path}: algorithm {algorithm!r}: one of {', '.join(ALGORITHMS)}")
    fields = {}
    for name, values in tree.get("fields", {}).items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{path}: fields.{name!r}: must be a list of values")
        fields[name] = tuple(values)
    sizes = tuple(parse_size(str(size)) for size in tree["sizes"])
    if min(sizes) < 1:
        raise InputError(f"{path}: size {min(sizes)}: must be at least 1")
    space = Space(str(tree["config"]), sizes, tuple(tree["algorithms"]), fields)
    for values in itertools.product(*fields.values()):
        try:
            Timing.of(load(space.config, dict(zip(fields, values, strict=True))))
        except ConfigError as error:
            raise InputError(f"{path}: {error}") from error
    return space


def key_of(point: dict[str, Any]) -> str:
    """Changes with anything that decides the result."""
    text = json.dumps([version("scin"), SOURCES, point], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def compute(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a worker does."""
    results = []
    for point in points:
        overrides = {name: value for name, value in point.items() if "." in name}
        config: Config = load(point["config"], overrides)
        item = predict(config, point["algorithm"], point["size_bytes"], Parameters())
        results.append(
            point
            | {
                "time_s": item.seconds,
                "algbw_GBps": item.algbw / 1e9,
                "busbw_GBps": item.busbw / 1e9,
            }
        )
    return results


class Journal:
    """Results so far, beside the output, so that an interrupted exploration goes on."""

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(f".{output.name}.journal")

    def read(self) -> dict[str, dict[str, Any]]:
        """What is known. A last line that the interruption has cut is cut off."""
        if not self.path.is_file():
            return {}
        whole, _, rest = self.path.read_text(encoding="utf-8").rpartition("\n")
        if rest:
            write_atomically(self.path, f"{whole}\n".encode() if whole else b"")
        entries = [json.loads(line) for line in whole.splitlines()]
        return {entry["key"]: entry["result"] for entry in entries}

    def append(self, points: list[dict[str, Any]], results: list[dict[str, Any]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            for point, result in zip(points, results, strict=True):
                file.write(json.dumps({"key": key_of(point), "result": result}) + "\n")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


@click.command()
@click.argument("description", metavar="FILE.toml", type=click.Path(path_type=Path))
@click.option("--output", required=True, metavar="FILE.parquet|csv", help="One row per point.")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Of a running Dask cluster.")
@click.option("--workers", type=int, help="Local processes; default: one per core.")
@click.option("--quiet", is_flag=True, help="No progress.")
def explore(
    *, description: Path, output: str, scheduler: str | None, workers: int | None, quiet: bool
) -> None:
    """Predict every combination that FILE.toml describes.

    Interrupted, it goes on where it stopped when started again with the same output. See
    docs/simulator.md for the description and an example.
    """
    with exit_status():
        target = Path(output)
        if target.suffix not in FORMATS:
            raise InputError(f"output {output}: must end in {' or '.join(FORMATS)}")
        if not target.absolute().parent.is_dir():
            raise InputError(f"output {output}: its folder does not exist")
        if workers is not None and workers < 1:
            raise InputError(f"workers {workers}: must be at least 1")
        space = read_space(description)
        points = list(space.points())
        journal = Journal(target)
        known = journal.read()
        missing = [point for point in points if key_of(point) not in known]
        console = Console(stderr=True)
        with Progress(console=console, disable=quiet) as progress:
            task = progress.add_task("points", total=len(points))
            progress.update(task, completed=len(points) - len(missing))
            if missing:
                for batch, results in _run(missing, scheduler, workers):
                    journal.append(batch, results)
                    progress.advance(task, len(batch))
        known = journal.read()
        _write(target, [known[key_of(point)] for point in points])
        journal.remove()


def _run(
    points: list[dict[str, Any]], scheduler: str | None, workers: int | None
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Batches as they are done, in any order."""
    from dask.distributed import Client, LocalCluster, as_completed

    batches = [points[first : first + BATCH] for first in range(0, len(points), BATCH)]
    try:
        if scheduler is not None:
            client = Client(scheduler, timeout=10)
            cluster = None
        else:
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
            client = Client(cluster)
    except (OSError, ValueError) as error:
        raise InputError(f"scheduler {scheduler}: {error}") from error
    try:
        futures = {client.submit(compute, batch, pure=False): batch for batch in batches}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _write(target: Path, rows: list[dict[str, Any]]) -> None:
    table = pyarrow.Table.from_pylist(rows)
    buffer = BytesIO()
    if target.suffix == ".parquet":
        pyarrow.parquet.write_table(table, buffer)
    else:
        pyarrow.csv.write_csv(table, buffer)
    write_atomically(target, buffer.getvalue())
