"""What takes long is told, with the time that it takes; what was emitted or built is not again.

Whatever takes long is replaced by something that moves a clock and does nothing else."""

import ast
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from click.testing import CliRunner

from fpga.netlist import switch_netlist
from fpga.partition import load_partition
from fpga.simulation import Surroundings, boards_verilog, simulator_program
from fpga.vivado import write_project
from hw.spec.config import load, replace_field
from models import cache
from models.accuracy.accuracy import Sqnr
from models.cache import REPOSITORY, cache_folder, candidates
from scin.errors import BuildError
from scin.flow.compilation import compile_simulator
from scin.flow.effort import Effort
from scin.flow.emit import emitted
from scin.flow.verilate import emitted_verilog, simulator_library
from scin.main import main
from scin.report.progress import Stages
from scin.report.table import Spinner

TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}


class Clock:
    """Moves only when it is told to."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in ("scin.report.progress", "scin.report.table", "scin.commands.fpga"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=clock))
    # The columns of a line ask the console.
    monkeypatch.setattr("rich.console.monotonic", clock)
    for name in TERMINAL:
        monkeypatch.delenv(name, raising=False)
    return clock


@pytest.fixture
def terminal(clock, monkeypatch):
    for name, value in TERMINAL.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache with nothing in it, wherever the tests run."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_checkout_folders", list)
    cache_folder.cache_clear()
    candidates.cache_clear()
    yield
    cache_folder.cache_clear()
    candidates.cache_clear()


def plain(text):
    """Without what moves the cursor and colours the signs."""
    return re.sub("\x1b[^A-Za-z]*[A-Za-z]", "", text)


class Heavy:
    """Takes three seconds of the clock, and counts how often."""

    def __init__(self, clock):
        self.clock = clock
        self.times = 0

    def emit(self, *given, **named):
        self.times += 1
        self.clock.now += 3
        return f"module x{self.times}; endmodule\n"

    def build(self, verilator, options, sources, target, **named):
        """As Verilator and a compiler leave their product."""
        target.write_text(self.emit())

    def synthesise(self, program, *arguments, folder):
        """As Yosys leaves its netlist."""
        (folder / "design.v").write_text(self.emit())

    def project(self, partition, item):
        return {f"{item.name}.v": self.emit()}


def light(result):
    """Takes no time."""
    return lambda *given, **named: result


VERILATOR = {
    "find_verilator": light(SimpleNamespace(version="Verilator 5")),
    "require_program": light(None),
}
PLAN = SimpleNamespace(files=dict.fromkeys(("butterstick_switch.il", "ecpix5_endpoints2.il"), ""))


@dataclass(frozen=True)
class Stage:
    """``run`` is given a number of what is to be emitted or built, where to report, and a folder;
    ``heavy``: methods of :class:`Heavy` by what they replace, and ``light``: other stand-ins;
    ``told``: what the user reads."""

    run: Callable
    heavy: dict[str, str]
    told: list[str]
    light: dict[str, object]

    def started(self, heavy, number, report, folder):
        with ExitStack() as stack:
            stand_ins = {name: getattr(heavy, method) for name, method in self.heavy.items()}
            for name, stand_in in (stand_ins | self.light).items():
                stack.enter_context(mock.patch(name, stand_in))
            self.run(number, report, folder)


def config_of(number):
    """A system as the others, but for the length of its links."""
    return replace_field(load("tiny"), "link.latency_cycles", 6 + number)


def partition_of(name, number):
    """A partition as the others, but for its clock."""
    partition = load_partition(name)
    return replace(partition, clock_hz=partition.clock_hz + number)


def library(trace, effort):
    return Stage(
        lambda number, report, folder: simulator_library(
            config_of(number), trace=trace, report=report, effort=effort
        ),
        {"scin.flow.verilate.build": "build", "scin.flow.verilate.verilog_of": "emit"},
        [
            "emitting Verilog of tiny",
            f"building the {'quick' if trace else effort} simulator of tiny with Verilator 5",
        ],
        {f"scin.flow.verilate.{name}": stand_in for name, stand_in in VERILATOR.items()},
    )


STAGES = {
    "Verilog of a part": Stage(
        lambda number, report, folder: emitted(config_of(number), "switch", "part", report),
        {"scin.flow.emit.verilog_of": "emit"},
        ["emitting Verilog of part"],
        {},
    ),
    "Verilog of the system": Stage(
        lambda number, report, folder: emitted_verilog(config_of(number), report),
        {"scin.flow.verilate.verilog_of": "emit"},
        ["emitting Verilog of tiny"],
        {},
    ),
    "a quick simulator": library("", Effort.QUICK),
    "a fast simulator": library("", Effort.FAST),
    "a trained simulator": library("", Effort.TRAINED),
    "a simulator with FST": library("fst", Effort.FAST),
    "a simulator with VCD": library("vcd", Effort.FAST),
    "Verilog of boards": Stage(
        lambda number, report, folder: boards_verilog(
            partition_of("pair2", number), Surroundings(), report
        ),
        {"fpga.simulation.run_tool": "synthesise"},
        ["emitting Verilog of butterstick_switch", "emitting Verilog of ecpix5_endpoints2"],
        {"fpga.design.Design.prepare": light(PLAN), "fpga.simulation._wrapper": light("")},
    ),
    "a simulation of boards": Stage(
        lambda number, report, folder: simulator_program(
            partition_of("pair2", number), Surroundings(number), report
        ),
        {"fpga.simulation.build": "build"},
        ["building the simulation of pair2 with Verilator 5"],
        {
            "fpga.simulation.boards_verilog": lambda partition, around, report: (str(around), {}),
            **{f"fpga.simulation.{name}": stand_in for name, stand_in in VERILATOR.items()},
        },
    ),
    "Vivado projects": Stage(
        lambda number, report, folder: write_project(
            partition_of("xcvu13p5", number), folder, report=report
        ),
        {"fpga.vivado._emitted": "project"},
        ["emitting the project of switch", "emitting the project of node0"],
        {},
    ),
    "a netlist": Stage(
        lambda number, report, folder: switch_netlist(config_of(number), report),
        {"fpga.netlist.run_tool": "synthesise"},
        ["synthesising the switch of tiny"],
        {
            "fpga.netlist.Switch": lambda config: str(config.link.latency_cycles),
            "fpga.netlist.rtlil_of": lambda component, name: component,
        },
    ),
}
every_stage = pytest.mark.parametrize("name", STAGES)


@every_stage
def test_stages_are_told_with_their_time(name, clock, own_cache, tmp_path, capsys):
    """In a line each, for whoever reads a log."""
    stage, heavy = STAGES[name], Heavy(clock)
    stage.started(heavy, 0, Stages(quiet=False), tmp_path)
    assert capsys.readouterr().err == "".join(f"{text}: 3.0 s\n" for text in stage.told)
    assert heavy.times == len(stage.told)


@every_stage
def test_stages_have_a_running_clock(name, clock, terminal, own_cache, tmp_path, capsys):
    """On a terminal, and at the end the same line as elsewhere."""
    stage = STAGES[name]
    stage.started(Heavy(clock), 0, Stages(quiet=False), tmp_path)
    shown = plain(capsys.readouterr().err)
    for text in stage.told:
        assert f"{text} 0:00:03 elapsed" in shown
        assert f"{text}: 3.0 s\n" in shown


@every_stage
def test_quiet_stages(name, clock, terminal, own_cache, tmp_path, capsys):
    STAGES[name].started(Heavy(clock), 0, Stages(quiet=True), tmp_path)
    assert capsys.readouterr() == ("", "")


@every_stage
def test_nothing_is_made_twice(name, clock, own_cache, tmp_path, capsys):
    """The second time it comes from the cache, and nothing is told; what differs is made."""
    stage, heavy = STAGES[name], Heavy(clock)
    report = Stages(quiet=False)
    stage.started(heavy, 0, report, tmp_path)
    capsys.readouterr()
    stage.started(heavy, 0, report, tmp_path)
    assert heavy.times == len(stage.told)
    assert capsys.readouterr().err == ""
    stage.started(heavy, 1, report, tmp_path)
    assert heavy.times == 2 * len(stage.told)


def test_sources_decide_what_is_kept(clock, own_cache, tmp_path, monkeypatch):
    """A changed description of a board, or of the hardware, is emitted anew."""
    stage, heavy = STAGES["Vivado projects"], Heavy(clock)
    read = Path.read_bytes
    for times, changed in enumerate(("", "fpga/xilinx/top.py", "hw/top.py"), 1):
        edited = REPOSITORY / changed
        monkeypatch.setattr(
            Path, "read_bytes", lambda path, edited=edited: read(path) + b"#" * (path == edited)
        )
        stage.started(heavy, 0, Stages(quiet=True), tmp_path)
        assert heavy.times == times * len(stage.told), changed


def test_compilation_is_told(clock, capsys, monkeypatch, tmp_path):
    """Unless it is known to have been done."""
    monkeypatch.setattr("scin.flow.compilation.simulate", Heavy(clock).emit)
    monkeypatch.setattr("scin.flow.compilation.CACHE", tmp_path)
    compile_simulator(Stages(quiet=False))
    assert capsys.readouterr().err == "compiling the simulator: 3.0 s\n"
    (tmp_path / "loop.nbi").touch()
    compile_simulator(Stages(quiet=False))
    assert capsys.readouterr().err == ""


def test_a_stage_that_fails(clock, capsys):
    """Its line ends, so that what went wrong stands in one of its own."""
    with pytest.raises(BuildError), Stages(quiet=False).running("a stage"):
        raise BuildError
    assert capsys.readouterr().err == "a stage: \n"


def test_bitstreams_are_told(clock):
    """What is done for each design, and after which time."""

    def build(partition, *, progress, **others):
        for what in ("synthesising", "placing", "placing", "done"):
            progress("a design", what)
            clock.now += 30
        return []

    with mock.patch("fpga.build.build", build):
        result = CliRunner().invoke(main, ["fpga", "build", "star5"])
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        "a design: synthesising after 0.0 s",
        "a design: placing after 30.0 s",
        "a design: done after 90.0 s",
    ]


def spinner(clock):
    """Two simulations, one after the other."""
    simulator = SimpleNamespace(cycle=0)
    line = Spinner(quiet=False)
    for label, seconds in (("first", 75), ("second", 5)):
        line.watch(simulator, label)
        clock.now += seconds
        simulator.cycle += 1000 * seconds
        line()
        line.stop()


def test_simulations_are_told(clock, terminal, capsys):
    """How far each is, how fast, and for how long it has run."""
    spinner(clock)
    shown = plain(capsys.readouterr().err)
    assert "first: 75,000 cycles, 1,000 cycles/s 0:01:15 elapsed" in shown
    assert "second: 5,000 cycles, 1,000 cycles/s 0:00:05 elapsed" in shown


def test_simulations_leave_nothing_in_a_log(clock, capsys):
    spinner(clock)
    assert capsys.readouterr() == ("", "")


class Collective:
    """Stands for whatever runs on a simulation: it takes 75 s, and fails."""

    clock: Clock

    def __init__(self, config, machine, driver, **options):
        self.driver = driver

    def run(self, *given, **named):
        self.clock.now += 75
        self.driver.progress()
        raise BuildError("it was enough")

    @staticmethod
    def observed(simulator, case, *, progress):
        Collective.clock.now += 75
        progress()
        raise BuildError("it was enough")


RTL = {
    "run allreduce --size 1K": "allreduce 1024 B",
    "sweep allreduce --min 4K --max 4K": "allreduce scin 4096 B",
    "dma allgather --min 4K --max 4K": "allgather pcpy 4 KiB",
    "explain allreduce --backend rtl --size 1K": "allreduce 1024 B",
    "validate --config tiny": "tiny fp16 64 B",
}


@pytest.mark.parametrize("command", RTL)
def test_commands_tell_their_simulations(command, clock, terminal, monkeypatch):
    """Every one that runs on RTL."""
    name = command.split()[0]
    machine = mock.MagicMock(cycle=0)
    machine.__enter__.return_value = machine
    monkeypatch.setattr(Collective, "clock", clock, raising=False)
    monkeypatch.setattr(f"scin.commands.{name}.Simulator", light(machine))
    if name == "validate":
        monkeypatch.setattr("scin.commands.validate.compile_simulator", light(None))
        monkeypatch.setattr("scin.commands.validate.observe", Collective.observed)
    else:
        runner = "DmaRunner" if name == "dma" else "CollectiveRunner"
        monkeypatch.setattr(f"scin.commands.{name}.{runner}", Collective)
    result = CliRunner().invoke(main, command.split())
    assert result.stderr.endswith("scin: it was enough\n"), result.output
    assert f"{RTL[command]}: 0 cycles, 0 cycles/s 0:01:15 elapsed" in plain(result.stderr)


def test_soak_is_told(clock, terminal, monkeypatch):
    """Each part of it, by how much of it is done."""

    def run(config, rates, *, cycles, seed, progress, report):
        with report.running("building"):
            clock.now += 10
        for what in ("under faults", "without faults"):
            for done in range(4):
                progress(what, done, 4)
                clock.now += 25
        raise BuildError("it was enough")

    monkeypatch.setattr("scin.commands.soak.run_soak", run)
    result = CliRunner().invoke(main, ["soak", "--config", "tiny"])
    shown = plain(result.stderr)
    assert re.search(r"building 0:00:10 elapsed", shown), shown
    assert re.search(r"without faults \S+ +75% 0:01:40 elapsed 0:00:25 left", shown), shown


def quantize(clock):
    """Two data sets in one format, each of which takes 75 s."""

    def sqnr(data, sets, ranks, study):
        clock.now += 75
        algorithms = ("scin-inq", "two-shot-quantized", "ring-quantized")
        return [Sqnr(data, ranks, "int8", 8, 64, name, 30.0, 3.5) for name in algorithms]

    patched = mock.patch.multiple(
        "scin.commands.accuracy",
        sqnr_of=sqnr,
        synthetic_tensors=light([]),
        normal_tensors=light([]),
    )
    with patched:
        command = "accuracy --data synthetic,normal --formats int8 --ranks 2 --blocks 64"
        return CliRunner().invoke(main, command.split())


def explore(clock, folder):
    """Two points, each of which takes 75 s."""

    def run(points, scheduler, workers):
        for point in points:
            clock.now += 75
            yield [point], [{"algo": "ring"}]

    (folder / "space.toml").write_text(
        'config = "tiny"\nsizes = ["1K", "2K"]\nalgorithms = ["ring"]\n'
    )
    given = ["explore", str(folder / "space.toml"), "--output", str(folder / "points.csv")]
    with mock.patch("scin.commands.explore._run", run):
        return CliRunner().invoke(main, given)


def test_quantizing_is_told(clock):
    assert quantize(clock).stderr == "quantizing: 150.0 s\n"


def test_quantizing_has_a_running_clock(clock, terminal):
    shown = plain(quantize(clock).stderr)
    assert re.search(r"quantizing \S+ +100% 0:02:30 elapsed 0:00:00 left", shown), shown


def test_exploration_is_told(clock, tmp_path):
    assert explore(clock, tmp_path).stderr == "computing points: 150.0 s\n"


def test_exploration_has_a_running_clock(clock, terminal, tmp_path):
    shown = plain(explore(clock, tmp_path).stderr)
    assert re.search(r"computing points \S+ +100% 0:02:30 elapsed 0:00:00 left", shown), shown


def test_every_line_of_progress_is_of_one_kind():
    """So that none lacks the time."""
    sources = [path for tree in ("scin", "fpga") for path in (REPOSITORY / tree).rglob("*.py")]
    using = set()
    for path in sources:
        for item in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in getattr(item, "names", ()) if hasattr(alias, "name")]
            modules = [*names, getattr(item, "module", None) or ""]
            if any(name.startswith(("rich.progress", "rich.status")) for name in modules):
                using.add(path.relative_to(REPOSITORY).as_posix())
    assert using == {"scin/report/progress.py"}
