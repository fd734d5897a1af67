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
from models.cache import cached
from scin.cache import alone, digest, place
from scin.files import OutputFolder, check_folder, make_folder, takes_stdout, write_file
from scin.netlist import verilog_of
from scin.options import Command, InputError, common, write_json
from scin.progress import Report, Stages, stage
from scin.report.record import Result
from scin.terminal import check_stdout
from scin.toolchain import REPOSITORY
from scin.verilate import hardware_key

TOPS = ("system", "switch", "endpoint")


@click.command(cls=Command)
@click.option("--top", default="switch", show_default=True, help=f"One of {', '.join(TOPS)}.")
@click.option(
    "--output", type=OutputFolder(), metavar="DIR", help="Make it there.  [default: rtl/generated]"
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
    folder = Path(output) if output else REPOSITORY / "rtl" / "generated"
    name = f"{config.name}_{top}"
    check_folder("output", folder, [f"{name}.v", f"{name}.json"])
    text = _verilog(config, top, name, Stages(quiet=quiet))
    make_folder(folder)
    figures: dict[str, Any] = {
        "top": name,
        "file": f"{name}.v",
        "lines": len(text.splitlines()),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "amaranth": version("amaranth"),
    }
    manifest = figures | {"config": config.as_dict()}
    write_file(folder / f"{name}.v", text.encode())
    write_file(folder / f"{name}.json", (json.dumps(manifest, indent=2) + "\n").encode())
    if prints:
        click.echo(f"{folder / manifest['file']}: {manifest['lines']} lines")
    write_json(json_path, "emit", config, [Result(status="OK").as_dict(**figures)])


def _verilog(config: Config, top: str, name: str, report: Report) -> str:
    """Emitted unless an up-to-date copy is kept."""
    component = part(config, top)
    key = digest(hardware_key(config).encode(), top.encode(), name.encode())
    target = cached("verilog", f"{key}.v")
    with alone(target):
        if not target.is_file():
            with stage(report, f"emitting Verilog of {name}"):
                place(target, verilog_of(component, name).encode())
    return target.read_text(encoding="utf-8")


def part(config: Config, top: str) -> Any:
    """One of ``TOPS``."""
    if top == "system":
        from hw.top import System

        return System(config)
    if top == "switch":
        from hw.switch.switch import Switch

        return Switch(config)
    if top == "endpoint":
        from hw.endpoint.endpoint import Endpoint

        return Endpoint(config, identity=0)
    raise InputError(f"top {top!r}: must be one of {', '.join(TOPS)}")
