"""``scin explore``: a design space, on all cores or on a Dask cluster."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
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

from hw.spec.config import Config, from_dict
from hw.spec.input_file import naming, read_input
from models.baselines.parameters import Parameters
from models.cache import REPOSITORY
from models.prediction import known_algorithms, predict
from models.simulator.timing import Timing
from scin.collectives.requests import check_half_elements, refuse_repetition
from scin.commands.options import (
    Command,
    Whole,
    json_option,
    load_config,
    parse_size,
    refuse_options,
)
from scin.commands.process import exit_status
from scin.errors import InputError
from scin.flow.cache import digest
from scin.flow.compilation import compile_simulator
from scin.report.files import OutputFile, claim_file, place_of, reason, refuse_written, write_file
from scin.report.output import recorded
from scin.report.predicted import result_of
from scin.report.progress import Stages

SOURCE_FOLDERS = (REPOSITORY / "hw", REPOSITORY / "models", REPOSITORY / "scin" / "report")
SOURCE_ENDINGS = (".py", ".csv", ".toml")
KEYS = {"config", "sizes", "algorithms", "fields"}
FORMATS = (".parquet", ".csv")
BATCH = 16
"""Points a worker computes at a time: enough to outweigh the way there and back."""


@dataclass(frozen=True)
class Point:
    """``row``: its columns of the table; ``tree``: the whole configuration, so that a worker
    needs no file of it."""

    row: dict[str, Any]
    tree: dict[str, Any]

    @property
    def key(self) -> str:
        """Changes with anything that decides the result."""
        text = json.dumps([version("scin"), sources(), self.row, self.tree], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@functools.cache
def sources() -> str:
    """Changes with everything that predicts."""
    files = [
        path
        for folder in SOURCE_FOLDERS
        for path in sorted(folder.rglob("*"))
        if path.suffix in SOURCE_ENDINGS
    ]
    return digest(*(path.read_bytes() for path in files))


@dataclass(frozen=True)
class Space:
    """Every combination of ``fields`` (``section.field`` to values), sizes and algorithms."""

    config: str
    sizes: tuple[int, ...]
    algorithms: tuple[str, ...]
    fields: dict[str, tuple[Any, ...]]

    def configurations(self) -> Iterator[tuple[dict[str, Any], Config]]:
        """Changed fields, and the configuration with them; raises ConfigError."""
        for values in itertools.product(*self.fields.values()):
            changes = dict(zip(self.fields, values, strict=True))
            yield changes, load_config(self.config, changes)

    def points(self) -> Iterator[Point]:
        for changes, config in self.configurations():
            tree = config.as_dict()
            for size, algorithm in itertools.product(self.sizes, self.algorithms):
                row = {"config": self.config, **changes}
                yield Point(row | {"size_bytes": size, "algo": algorithm}, tree)


def read_space(path: Path) -> Space:
    """Read and check the whole description before anything runs."""
    with naming(path):
        return _space(_read_tree(path))


def _space(tree: dict[str, Any]) -> Space:
    """Raises ValueError for a value that cannot be used, or a configuration with it."""
    for algorithm in tree["algorithms"]:
        if algorithm not in known_algorithms():
            raise InputError(f"algorithm {algorithm!r}: one of {', '.join(known_algorithms())}")
    fields = _fields(tree.get("fields", {}))
    sizes = tuple(parse_size(str(size)) for size in tree["sizes"])
    for size in sizes:
        check_half_elements(size)
    refuse_repetition("size", [str(size) for size in sizes])
    refuse_repetition("algorithm", tree["algorithms"])
    space = Space(str(tree["config"]), sizes, tuple(tree["algorithms"]), fields)
    for _, config in space.configurations():
        Timing.of(config)
    return space


def _read_tree(path: Path) -> dict[str, Any]:
    """The description as it is written, with all that must be in it and nothing else."""
    try:
        tree = tomllib.loads(read_input(path))
    except (ValueError, RecursionError) as error:
        raise InputError(str(error)) from error
    if not {"config", "sizes", "algorithms"} <= set(tree) <= KEYS:
        wrong = ", ".join(sorted(set(tree) ^ (KEYS - {"fields"}))) or "nothing"
        raise InputError(f"config, sizes, algorithms and perhaps fields, but: {wrong}")
    for name in ("sizes", "algorithms"):
        if not isinstance(tree[name], list) or not tree[name]:
            raise InputError(f"{name}: must be a list")
    return tree


def _fields(table: Any) -> dict[str, tuple[Any, ...]]:
    """Each field with its values, none of which is there twice."""
    if not isinstance(table, dict):
        raise InputError(f"fields = {table!r}: must be a table of lists")
    fields = {}
    for name, values in table.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"fields.{name!r}: must be a list of values")
        refuse_repetition(f"fields.{name!r}: value", values)
        fields[name] = tuple(values)
    return fields


def compute(points: list[Point]) -> list[dict[str, Any]]:
    """What a worker does."""
    results = []
    for point in points:
        tree = {name: values for name, values in point.tree.items() if name != "name"}
        config = from_dict(tree, name=point.tree["name"])
        row = point.row
        item = predict(config, row["algo"], row["size_bytes"], Parameters())
        results.append(row | result_of(config, item).as_dict())
    return results


def as_record(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the output as a record: varied fields together, under ``set``."""
    varied = {name: value for name, value in row.items() if "." in name}
    record = {name: value for name, value in row.items() if "." not in name}
    return record | {"set": varied}


class Journal:
    """Results so far, beside the output, so that an interrupted exploration goes on. A device or
    a pipe has none."""

    def __init__(self, output: Path) -> None:
        place = place_of(output)
        self.path = place.path.with_name(f".{place.path.name}.journal")
        if place.ordinary:
            claim_file("output", self.path)
        else:
            self.path = Path(os.devnull)

    def read(self) -> dict[str, dict[str, Any]]:
        """What is known. A last line that the interruption has cut is cut off."""
        if not self.path.is_file():
            return {}
        whole, _, rest = self.path.read_text(encoding="utf-8").rpartition("\n")
        if rest:
            write_file(self.path, f"{whole}\n".encode() if whole else b"")
        try:
            entries = [json.loads(line) for line in whole.splitlines()]
            return {entry["key"]: entry["result"] for entry in entries}
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{self.path}: is no journal of an exploration: remove it to start anew"
            ) from error

    def append(self, entries: dict[str, dict[str, Any]]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                for key, result in entries.items():
                    file.write(json.dumps({"key": key, "result": result}) + "\n")
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {reason(error)}") from error

    def remove(self) -> None:
        if self.path.is_file():
            self.path.unlink()


@click.command(cls=Command)
@click.argument("description", metavar="FILE.toml", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=OutputFile(*FORMATS),
    required=True,
    metavar="FILE.parquet|csv",
    help="One row per point.",
)
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Of a running Dask cluster.")
@click.option("--workers", type=Whole(1, 1024), help="Local processes; default: one per core.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress.")
def explore(
    *,
    description: Path,
    output: str,
    scheduler: str | None,
    workers: int | None,
    json_path: str | None,
    quiet: bool,
) -> None:
    """Predict every combination that FILE.toml describes.

    Interrupted, it goes on where it stopped when started again with the same output. See
    docs/simulator.md for the description and an example.
    """
    with exit_status():
        target = Path(output)
        if scheduler is not None:
            refuse_options("a cluster has its own", "workers")
        refuse_written("description", description)
        space = read_space(description)
        points = list(space.points())
        # A value that no file can hold is found before anything is computed.
        encoded(target, [point.row for point in points])
        journal = Journal(target)
        known = journal.read()
        missing = [point for point in points if point.key not in known]
        stages = Stages(quiet=quiet)
        if missing:
            # Workers of this machine then find it done.
            compile_simulator(stages, space.algorithms)
        with recorded(json_path, "explore", None) as records:
            try:
                with stages.running("computing points", len(points)) as advance:
                    advance(len(points) - len(missing))
                    for entries in _compute(missing, scheduler, workers):
                        known |= entries
                        journal.append(entries)
                        advance(len(entries))
            finally:
                # Batches come in any order, records are in that of the points.
                rows = [known[point.key] for point in points if point.key in known]
                records += map(as_record, rows)
            write_file(target, encoded(target, rows))
        journal.remove()


def _compute(
    missing: list[Point], scheduler: str | None, workers: int | None
) -> Iterator[dict[str, dict[str, Any]]]:
    """Results by the keys of their points, a batch at a time."""
    if not missing:
        return
    for batch, results in _run(missing, scheduler, workers):
        yield {point.key: result for point, result in zip(batch, results, strict=True)}


def _run(
    points: list[Point], scheduler: str | None, workers: int | None
) -> Iterator[tuple[list[Point], list[dict[str, Any]]]]:
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
    except (OSError, ValueError, TypeError) as error:
        # A TypeError is how dask says that an address of tls:// needs certificates.
        raise InputError(f"scheduler {scheduler}: {error}") from error
    try:
        futures = {client.submit(compute, batch, pure=False): batch for batch in batches}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def encoded(target: Path, rows: list[dict[str, Any]]) -> bytes:
    """The rows as the file ``target`` holds them."""
    parquet = target.suffix.lower() == ".parquet"
    buffer = BytesIO()
    try:
        if parquet:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
        else:
            cells = [{name: as_cell(value) for name, value in row.items()} for row in rows]
            pyarrow.csv.write_csv(pyarrow.Table.from_pylist(cells), buffer)
    except pyarrow.ArrowException as error:
        raise InputError(f"output {target}: cannot hold the values: {error}") from error
    return buffer.getvalue()


def as_cell(value: Any) -> Any:
    """CSV has no lists: they are written as JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value
