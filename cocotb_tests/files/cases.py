"""The outputs of every command, and what is run in place of stages that take long."""

from dataclasses import dataclass, replace

import click

from cocotb_tests.support.commands import TINY, commands_of
from fpga.build import BuildReport, Utilisation
from models.prediction import predict
from scin.main import main
from scin.report.files import OutputFile, OutputFolder
from scin.report.measurement import Measurement
from scin.soak.run import SoakResult

BAD_INPUT = 2

COMMANDS = {
    ("run",): ("allreduce", *TINY, "--size", "256"),
    ("sweep",): ("allreduce", *TINY, "--backend", "sim", "--min", "256", "--max", "256"),
    ("dma",): ("p2p", "--platform", "mi300x", "--max", "1K"),
    ("compare",): ("--algo", "ring,nvls", "--max", "1K"),
    ("study",): ("buffer",),
    ("llm",): ("--prefill-algo", "ring", "--decode-algo", "ring", "--precision", "fp16"),
    ("explain",): ("allreduce", "--size", "256"),
    ("explore",): ("SPACE",),
    ("validate",): ("--config", "tiny", "--quick"),
    ("soak",): (*TINY, "--cycles", "1000"),
    ("accuracy",): ("--data", "synthetic", "--ranks", "2", "--blocks", "32"),
    ("emit",): TINY,
    ("fpga", "plan"): ("star5",),
    ("fpga", "build"): ("xcvu13p5",),
    ("fpga", "run"): ("single", "--port", "all=unused"),
}
"""Arguments with which a command ends soon."""

SPACE = """
config = "tiny"
sizes = ["1K"]
algorithms = ["ring"]
"""


@dataclass(frozen=True)
class Output:
    """An option that names what a command writes."""

    command: tuple[str, ...]
    option: str
    kind: OutputFile | OutputFolder

    def __str__(self):
        return " ".join([*self.command, self.option])


def outputs(group=main, path=()):
    for name, command in commands_of(group):
        if isinstance(command, click.Group):
            yield from outputs(command, (*path, name))
            continue
        for parameter in command.params:
            if isinstance(parameter.type, OutputFile | OutputFolder):
                yield Output((*path, name), parameter.opts[0], parameter.type)


OUTPUTS = list(outputs())
FILES = [item for item in OUTPUTS if isinstance(item.kind, OutputFile)]
FOLDERS = [item for item in OUTPUTS if isinstance(item.kind, OutputFolder)]


def quickly(config, algorithm, *rest, **named):
    """In place of a simulation: a closed form."""
    return replace(predict(config, "ring", *rest, **named), algorithm=algorithm)


def measurement():
    return Measurement(
        **{"op": "allreduce", "algo": "scin", "backend": "rtl", "dtype": "fp16", "redop": "sum"},
        **{"endpoints": 2, "size_bytes": 512, "count": 256, "wire_format": "fp16"},
        **{"cycles": 100, "time_s": 1e-6, "wrong": 0, "status": "OK", "sync_included": True},
    )


def soaked(*given, **named):
    counted = ("rounds", "moved_bytes", "corrected", "replays", "damaged", "rejects", "drops")
    return SoakResult(
        **{"op": "soak", "cycles": 1000, "wrong": 0, "lost": 0, "duplicated": 0, "status": "OK"},
        **dict.fromkeys(counted, 1),
        **{"statuses": {}, "throughput_kept": 1.0, "faults": {}, "happened": {}},
    )


def built(partition, design, progress, stop):
    used = Utilisation(1, 2, 3, 4)
    figures = (80.0, 81.0, 12.0, "a", "b", used)
    return BuildReport(design.name, "x", "y", design.users, *figures, "0" * 64, "x.bit")


def run_here(points, scheduler, workers):
    from scin.commands.explore import compute

    for point in points:
        yield [point], compute([point])


def named(folder, output, name="out"):
    """A file whose name ends as it should."""
    endings = output.kind.endings
    return folder / f"{name}{endings[-1] if endings else '.json'}"


def assert_one_line(result, *words):
    """The command ends with one line on stderr that has these words in it."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("scin: ")]
    assert len(lines) == 1, result.stderr
    assert lines[0] == result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    for word in words:
        assert str(word) in lines[0]


def never(*given, **named):
    raise AssertionError("the command has started")
