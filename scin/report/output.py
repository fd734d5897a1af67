"""Records written as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from hw.spec.config import Config
from models.dma.platform import Platform
from scin.errors import InputError
from scin.report.files import STDOUT, write_file
from scin.report.record import as_json, document


@contextmanager
def recorded(
    path: str | None, command: str, config: Config | Platform | None
) -> Iterator[list[dict[str, Any]]]:
    """Records to be, written as JSON when the block ends, and also when it fails: what was
    computed by then is not lost. So a command adds each record as soon as it is computed, and
    shows, draws and writes everything else within the block."""
    records: list[dict[str, Any]] = []
    try:
        yield records
    except BaseException:
        try:
            if records:
                _write(path, command, config, records)
        except InputError as error:
            click.echo(f"scin: {error}", err=True)
        raise
    _write(path, command, config, records)


def _write(
    path: str | None, command: str, config: Config | Platform | None, records: list[dict[str, Any]]
) -> None:
    """Nothing without a path; ``config`` as in :func:`scin.report.record.document`."""
    if path is None:
        return
    text = as_json(document(command, config, records))
    if path == STDOUT:
        click.echo(text, nl=False)
    else:
        write_file(path, text.encode())
