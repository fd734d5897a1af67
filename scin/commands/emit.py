"""``scin emit``: Verilog of a configuration, with a manifest."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from hw.spec.buildable import check_buildable
from hw.spec.config import Config
from models.cache import REPOSITORY, in_checkout
from scin.commands.options import Command, common
from scin.flow.emit import TOPS, emitted, identifier
from scin.report.files import OutputFolder, check_folder, make_folder, takes_stdout, write_file
from scin.report.output import recorded
from scin.report.progress import Stages
from scin.report.record import Result
from scin.report.terminal import check_stdout


@click.command(cls=Command)
@click.option("--top", default="switch", show_default=True, help=f"One of {', '.join(TOPS)}.")
@click.option(
    "--output",
    type=OutputFolder(),
    metavar="DIR",
    help="Write into this folder.  [default: rtl/generated]",
)
@common()
def emit(
    *,
    config: Config,
    top: str,
    output: str | None,
    json_path: str | None,
    quiet: bool,
) -> None:
    """Write <config>_<top>.v and its manifest."""
    check_buildable(config)
    prints = not (quiet or takes_stdout(json_path))
    if prints:
        check_stdout()
    # What is beside an installed package belongs to others.
    default = (REPOSITORY if in_checkout() else Path()) / "rtl" / "generated"
    folder = Path(output) if output else default
    name = identifier(f"{config.name}_{top}")
    check_folder("output", folder, [f"{name}.v", f"{name}.json"])
    text = emitted(config, top, name, Stages(quiet=quiet))
    make_folder(folder)
    figures: dict[str, Any] = {
        "top": name,
        "file": f"{name}.v",
        "lines": len(text.splitlines()),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "amaranth": version("amaranth"),
    }
    manifest = figures | {"config": config.as_dict()}
    with recorded(json_path, "emit", config) as records:
        write_file(folder / f"{name}.v", text.encode())
        write_file(folder / f"{name}.json", (json.dumps(manifest, indent=2) + "\n").encode())
        # What cannot be written is not emitted: there is no record of it before.
        records.append(Result(status="OK").as_dict(**figures))
        if prints:
            click.echo(f"{folder / manifest['file']}: {manifest['lines']} lines")
