"""No option does nothing: its value reaches what a command asks for, or it is refused."""

import json
import re
from contextlib import ExitStack
from unittest import mock

import click
import numpy as np
import pytest

from cocotb_tests.support.commands import commands_of, scin
from cocotb_tests.support.stages import light_stages
from models.llm.accelerator import Roofline
from scin.commands.study import STUDIES
from scin.errors import BuildError
from scin.main import main
from scin.report.dma_measurement import DmaMeasurement
from scin.report.files import OutputFile, OutputFolder
from scin.report.measurement import Measurement

MODES = {
    "run": (
        "allreduce",
        "allreduce --dtype int8",
        "allreduce --fault ber=1e-6",
        "allreduce --size 128 --set endpoint.shuffle_slots=1",
        "allreduce --input rank*.npy",
        "allreduce --input rank*.npy --fault ber=1e-6",
        "broadcast",
        "broadcast --input rank*.npy",
    ),
    "sweep": (
        "allreduce --max 16K",
        "allreduce --max 16K --algo scin-inq",
        "allreduce --max 16K --algo dma-ring",
        "allreduce --max 16K --algo ring",
        "allreduce --max 16K --backend sim",
        "allreduce --max 16K --backend sim --algo scin-inq",
        "broadcast --max 16K",
    ),
    "dma": (
        "p2p --max 16K",
        "allgather --max 16K --prelaunch off",
        "p2p --max 16K --backend model",
        "p2p --max 16K --platform mi300x",
        "kvfetch",
    ),
    "compare": ("", "--algo ring,nvls", "--algo scin-inq"),
    "study": tuple(STUDIES),
    "llm": ("", "--prefill-algo ring --decode-algo ring --against ring", "--profile measured.csv"),
    "explain": ("allreduce", "allreduce --backend rtl"),
    "explore": (
        "space.toml --output x.csv",
        "space.toml --output x.csv --scheduler tcp://localhost:1",
    ),
    "validate": ("",),
    "soak": ("", "--fault ber=1e-6"),
    "accuracy": (
        "--data model",
        "--data synthetic",
        "--data normal",
        "--data normal --formats int8,nvfp4",
        "--data normal --formats nvfp4",
        "--data normal --formats mxfp8,nvfp4-up",
    ),
    "emit": ("",),
    "build": ("",),
    "doctor": ("",),
    "fpga plan": ("star5",),
    "fpga wiring": ("star5",),
    "fpga build": ("star5", "xcvu13p5 --vivado project"),
    "fpga simulate": ("star5",),
    "fpga run": (
        "single --port all=x",
        "single --simulate",
        "single --port all=x --status",
        "single --simulate --status",
    ),
}
"""Ways to run each command, in some of which some option has nothing to change."""

VALUES = {
    **{"--config": ("ecp5", "tiny"), "--set": ("link.latency_cycles=40",), "--seed": ("7",)},
    **{"--size": ("1K",), "--min": ("8K",), "--max": ("8K",), "--factor": ("3",)},
    **{"--dtype": ("bf16",), "--redop": ("max",), "--inq-format": ("mxfp8",)},
    **{"--input": ("rank?.npy",), "--fault": ("drop=1e-6",), "--backend": ("sim", "rtl", "model")},
    **{"--algo": ("scin", "twoshot"), "--parameter": ("software_us=3",), "--variant": ("b2b",)},
    **{"--prelaunch": ("on",), "--platform": ("mi300x", "fpga4"), "--host-command": ("9",)},
    **{"--host-access": ("9",), "--block": ("4K",), "--model": ("llama2-7b",)},
    **{"--precision": ("fp8",), "--prefill-batch": ("2",), "--decode-batch": ("2",)},
    **{"--prompt": ("9",), "--context": ("9",), "--prefill-algo": ("nvls",)},
    **{"--decode-algo": ("nvls",), "--against": ("tree",), "--profile": ("other.csv",)},
    **{"--workers": ("2",), "--scheduler": ("tcp://localhost:2",), "--cycles": ("9",)},
    **{"--data": ("normal", "synthetic"), "--ranks": ("3",), "--formats": ("int4",)},
    **{"--blocks": ("1024",), "--top": ("system",), "--board": ("node0",), "--port": ("all=y",)},
    **{"--baud": ("9600",)},
}
"""Of each option, values of which one is neither its default nor what a mode says."""

UNSEEN = {
    "--quiet": "changes only what is printed",
    "--show-config": "prints the configuration and stops",
}
"""Options that change neither records nor what is built, and what they do instead."""


class Asked:
    """Stages that take long, in their place: what each is asked for."""

    def __init__(self):
        self.requests = []

    def stage(self, name, answer=lambda: None):
        def noted(*given, **named):
            self.requests.append(told([name, given, sorted(named.items())]))
            return answer()

        return noted

    def runner(self, name, answer):
        return lambda: mock.Mock(run=self.stage(f"{name}.run", answer))

    def boards(self):
        made = mock.MagicMock()
        system = made.__enter__.return_value
        system.wait_links = self.stage("wait_links")
        system.links.return_value = []
        return made

    def stages(self):
        """Of RTL, of boards and of large tensors."""
        commands = "scin.commands"
        quantized = ("sqnr_of", "embeddings_of")
        tensors = ("synthetic_tensors", "normal_tensors", "model_tensors")
        answers = {
            **{f"{commands}.{name}.Simulator": mock.MagicMock for name in ("run", "sweep", "dma")},
            **{f"{commands}.{name}.Driver": mock.Mock for name in ("run", "sweep", "dma")},
            **{f"{commands}.{name}.CollectiveRunner": mock.Mock for name in ("run", "sweep")},
            **{f"{commands}.{name}.run_tensors": collective_run for name in ("run", "sweep")},
            f"{commands}.run.measured_steps": list,
            f"{commands}.sweep.DmaRunner": mock.Mock,
            f"{commands}.sweep.RingRunner": self.runner("RingRunner", lambda: collective_run()[0]),
            f"{commands}.dma.DmaRunner": self.runner("DmaRunner", dma_run),
            f"{commands}.study.simulate": lambda: mock.Mock(unsynchronised=1000),
            f"{commands}.llm.Profile.load": Roofline,
            f"{commands}.explain._on_rtl": no_hardware,
            f"{commands}.soak.run_soak": no_hardware,
            f"{commands}.build.simulator_library": str,
            f"{commands}.validate.compare": list,
            f"{commands}.emit.emitted": str,
            f"{commands}.explore._run": no_hardware,
            "fpga.build.build_design": no_hardware,
            "fpga.vivado.write_project": list,
            "fpga.simulation.SimulatedBoards": mock.MagicMock,
            "fpga.host.BoardSystem": self.boards,
            f"{commands}.fpga._all_reduce": no_hardware,
            **{f"{commands}.accuracy.{name}": list for name in (*quantized, *tensors)},
        }
        return {name: self.stage(name, answer) for name, answer in answers.items()}


def told(value):
    """The same text for the same request: without addresses, and with every element."""
    if isinstance(value, np.ndarray):
        return value.tobytes().hex()
    if isinstance(value, list | tuple):
        return str([told(item) for item in value])
    if isinstance(value, mock.Mock) or callable(value):
        return type(value).__name__
    return re.sub(r" at 0x[^>]*", "", repr(value))


def no_hardware():
    raise BuildError("no hardware here")


def collective_run():
    measured = Measurement(
        **{"op": "allreduce", "algo": "scin", "endpoints": 2, "size_bytes": 2, "count": 1},
        **{"sync_included": True, "wire_format": "fp16"},
    )
    return measured, []


def dma_run():
    return DmaMeasurement(
        **{"op": "p2p", "size_bytes": 1, "variant": "pcpy", "prelaunch": False},
        **{"platform": "fpga4", "phases": None},
    )


@pytest.fixture
def outcome(tmp_path, monkeypatch):
    """Runs a command with nothing that takes long: its exit status, what it records or prints,
    and what it asks for."""
    monkeypatch.chdir(tmp_path)
    for index in range(4):
        np.save(f"rank{index}.npy", np.arange(64, dtype=np.float16))
    (tmp_path / "space.toml").write_text('config = "tiny"\nsizes = [64]\nalgorithms = ["ring"]\n')

    def run(*arguments):
        asked = Asked()
        with ExitStack() as stack:
            stack.enter_context(light_stages(tmp_path))
            for name, stage in asked.stages().items():
                stack.enter_context(mock.patch(name, stage))
            result = scin(*arguments)
        assert isinstance(result.exception, SystemExit | None), result.exception
        found = result.stdout
        if found.startswith('{\n  "command"'):
            # The rest of the document repeats what is given, and so does the seed.
            found = [record | {"seed": None} for record in json.loads(found)["records"]]
        return result.exit_code, found, sorted(asked.requests)

    return run


def leaf(name):
    command = main
    for word in name.split():
        command = command.get_command(click.Context(command), word)
    return command


def leaves(group=main, path=""):
    for name, command in commands_of(group):
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")
        else:
            yield f"{path}{name}"


def test_modes_are_of_every_command():
    assert set(leaves()) == set(MODES)


@pytest.mark.parametrize("name", MODES)
def test_no_option_does_nothing(name, outcome):
    """In every mode, each changes the records or what is built or asked for, or is refused; and
    there is a mode in which it is taken."""
    options = [
        item
        for item in leaf(name).params
        if isinstance(item, click.Option)
        and item.opts[0] not in UNSEEN
        # What they write is in the tests of files.
        and not isinstance(item.type, OutputFile | OutputFolder)
    ]
    json_option = any(item.opts[0] == "--json" for item in leaf(name).params)
    taken, idle = set(), []
    for mode in MODES[name]:
        words = [*name.split(), *mode.split()]
        if json_option and not {"--vivado", "--status"} & set(words):
            words += ["--json", "-"]
        plain = outcome(*words)
        assert plain[0] != 2
        assert outcome(*words) == plain, "it is not the same twice"
        for item in options:
            if item.opts[0] in words:
                taken.add(item.opts[0])
                if not item.multiple:
                    continue
            given = [()] if item.is_flag else [(value,) for value in VALUES[item.opts[0]]]
            changed = [outcome(*words, item.opts[0], *value) for value in given]
            if all(found == plain for found in changed):
                idle.append((mode, item.opts[0]))
            if any(found[0] != 2 for found in changed):
                taken.add(item.opts[0])
    assert not idle
    # A hidden option is there to be refused with a reason.
    assert taken == {item.opts[0] for item in options if not item.hidden}
