"""Commands whose long stages are replaced, and places that nothing can be written to."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cocotb_tests.files.cases import (
    COMMANDS,
    SPACE,
    built,
    measurement,
    quickly,
    run_here,
    soaked,
)
from hw.spec.status import Status
from scin.main import main
from scin.validation.rtl import Observation


@pytest.fixture
def quick(monkeypatch, tmp_path_factory):
    """Stages that take long, replaced by what they would leave."""

    class Boards:
        def __init__(self, *given, **named):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

        def wait_links(self):
            pass

        def links(self):
            return []

    class Machine:
        cycle = 0

        def __init__(self, config, *, wave=None, **rest):
            if wave is not None:
                wave.write_bytes(b"$end\n#0\n")

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

    zeros = [np.zeros(256, np.uint8)] * 2
    observed = Observation(100, 0, [], [], None, Status.OK)
    monkeypatch.setattr("scin.commands.run.Simulator", Machine)
    monkeypatch.setattr("scin.commands.run.Driver", lambda *given, **named: None)
    monkeypatch.setattr("scin.commands.run.CollectiveRunner", lambda *given, **named: None)
    monkeypatch.setattr(
        "scin.commands.run.run_tensors", lambda *given, **named: (measurement(), zeros)
    )
    monkeypatch.setattr("scin.host.wave.fst_headers_present", lambda: False)
    monkeypatch.setattr("scin.commands.study.predict", quickly)
    monkeypatch.setattr("scin.commands.sweep.predict", quickly)
    monkeypatch.setattr("scin.commands.soak.run_soak", soaked)
    monkeypatch.setattr("scin.commands.validate.Simulator", Machine)
    monkeypatch.setattr("scin.commands.validate.observe", lambda *given, **named: observed)
    monkeypatch.setattr("scin.commands.validate.predict", lambda *given: 100)
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("scin.flow.emit.cached", lambda *parts: cache / parts[-1])
    monkeypatch.setattr("scin.flow.emit.verilog_of", lambda *given: "module x; endmodule\n")
    monkeypatch.setattr("scin.commands.explore._run", run_here)
    monkeypatch.setattr("fpga.vivado._files", lambda *given: {"a.tcl": "x"})
    monkeypatch.setattr("fpga.build.build_design", built)
    monkeypatch.setattr("fpga.host.BoardSystem", Boards)
    monkeypatch.setattr("scin.commands.fpga._all_reduce", lambda *given: measurement())


@pytest.fixture
def run(quick, tmp_path):
    """Runs the command of an output, which is to go to ``target``."""

    def start(output, target):
        space = tmp_path / "space.toml"
        space.write_text(SPACE)
        given = [str(space) if word == "SPACE" else word for word in COMMANDS[output.command]]
        if output.command == ("explore",) and output.option != "--output":
            given += ["--output", str(tmp_path / "points.csv")]
        if output.command == ("fpga", "build") and output.option == "--json":
            given = ["star5"]
        return CliRunner().invoke(main, [*output.command, *given, output.option, str(target)])

    return start


@pytest.fixture
def device(tmp_path):
    """Makes what /dev/null and /dev/full are, in a folder where they may be broken."""

    def make(minor):
        path = tmp_path / f"device{minor}"
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            path.open("wb").close()
        except PermissionError:
            pytest.skip("only root makes devices")
        return path

    return make


@pytest.fixture
def nowhere(tmp_path):
    """A folder in which nothing can be written, not even by root."""
    folder = tmp_path / "nowhere"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("root cannot mount here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def beside_input(tmp_path, monkeypatch):
    """In the folder of the files that are read, a description that names another."""
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(SPACE.replace('"tiny"', '"FILE.toml"'))
