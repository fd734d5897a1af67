"""Any list of arguments, to any command: an exit status, a line that says why, whole files.

Values come from the commands' own parameters, so that a new option is drawn at once: the words of
its help, its default, what its metavar stands for, and what no user should write there.
"""

import dataclasses
import functools
import json
import os
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from cocotb_tests.support.commands import commands_of
from cocotb_tests.support.records import checked
from cocotb_tests.support.stages import light_stages
from hw.spec.config import Config, preset_names
from scin.main import main

FILES = {
    "space.toml": 'config = "tiny"\nsizes = ["1K", 4096]\nalgorithms = ["scin", "ring"]\n'
    '[fields]\n"isa.waves" = [4, 8]\n',
    "odd.toml": 'config = "tiny"\nsizes = [3]\nalgorithms = ["scin", "scin"]\n',
    "system.toml": "[system]\nendpoints = 2\n",
    "broken.toml": "[system\n",
    "profile.csv": "operator,shape,precision,seconds\nnorm,2x64,fp16,nan\n",
    "empty": "",
}
"""There before the command runs."""

HOSTILE = (
    *("", " ", "-", "--", "x", ",", "scin,scin", "=", ".", "..", "\u00e9\u4e2d", "%s", "${HOME}"),
    *("nan", "inf", "-inf", "-1", "0", "3", "1e309", "1_000", "0x10", "9" * 30, "9" * 5000, "1.5"),
)
NUMBERS = ("1", "2", "3", "4", "8", "64", "72", "1000", "1.0", "0.5", "1e-6", "true")
SIZES = ("2", "3", "64", "1K", "4KiB", "1000", "1M", "1G", "64G", "1T", "7")
PATHS = (
    *("out.json", "out.svg", "out.png", "out.csv", "out.parquet", "out.fst", "out", "sub/out.json"),
    *("/dev/null", "/nowhere/x.svg", "empty", *FILES),
)
PLACEHOLDERS = {
    "FILE": PATHS,
    "DIR": ("out", "sub/deep", "empty", "/nowhere/x", "."),
    "GLOB": ("*.npy", "/nowhere/*.npy", "["),
    "SIZE": SIZES,
    "BOARD": ("switch=/dev/null", "node0=x", "nobody=x", "switch"),
    "NAME": ("fence=none", "software_us=6", "scin_software_us=1", "every_us=nan", "fence"),
    "KIND": ("ber=1e-6", "ber=2", "drop=0.1", "cut=1", "ber", "stall=nan"),
    "tcp": ("tcp://127.0.0.1:1", "tcp://"),
}
"""What stands for what in a metavar."""

OPERATIONS = ("allreduce", "reduce", "broadcast", "allgather", "reducescatter", "alltoall", "p2p")
PARTITIONS = ("single", "star5", "pair2", "xcvu13p5")


def leaves(command, path=()):
    """Every command that has no commands of its own, with its names."""
    if isinstance(command, click.Group):
        for name, child in commands_of(command):
            yield from leaves(child, (*path, name))
    else:
        yield path, command


COMMANDS = list(leaves(main))


def words(text):
    return tuple(dict.fromkeys(re.findall(r"[a-z][a-z0-9_-]*\d*", text or "")))


def field_values():
    """``--set``: every field of the configuration with values in and out of its bounds."""
    for section in dataclasses.fields(Config):
        part = getattr(Config(), section.name)
        if not dataclasses.is_dataclass(part):
            continue
        for item in dataclasses.fields(part):
            for value in (getattr(part, item.name), 0, -1, 3, 8, "'x'", "nan", "1e400", "[]"):
                yield f"{section.name}.{item.name}={value}"


FIELDS = tuple(field_values())


@functools.cache
def values(command, parameter):
    """Valid, near-valid and hostile values of a parameter."""
    default = parameter.default if isinstance(parameter.default, str | int | float) else ""
    metavar = parameter.metavar or ""
    known = [str(default), *str(default).split(",")]
    if isinstance(parameter, click.Option):
        known += words(parameter.help)
    else:
        known += [*OPERATIONS, *PARTITIONS, *words(command.help)]
    for placeholder, found in PLACEHOLDERS.items():
        if placeholder in metavar:
            known += found
    if "SECTION" in metavar:
        known += FIELDS
    if parameter.name == "config_name":
        known += preset_names()
    if not metavar or isinstance(parameter.default, int | float):
        known += [*NUMBERS, *SIZES]
    one = st.sampled_from(sorted(set(known)))
    listed = st.lists(one, min_size=2, max_size=3).map(",".join)
    return st.one_of(one, one, one, one, listed, st.sampled_from(HOSTILE))


@st.composite
def argument_lists(draw):
    path, command = draw(st.sampled_from(COMMANDS))
    given_ = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            if draw(st.integers(0, 19)):
                given_.append(draw(values(command, parameter)))
            continue
        if draw(st.integers(0, 4)):
            continue
        for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
            given_.append(draw(st.sampled_from(parameter.opts)))
            if not parameter.is_flag:
                given_.append(draw(values(command, parameter)))
    # Most lists ask for records, so that the schema has something to say.
    if any(item.name == "json_path" for item in command.params) and draw(st.booleans()):
        given_ += ["--json", "-"]
    return [*path, *given_]


def check(arguments, folder):
    for name, text in FILES.items():
        (folder / name).write_text(text)
    before = {path.name for path in folder.iterdir()}
    here = os.getcwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(main, arguments)
    finally:
        os.chdir(here)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code in (0, 1, 2, 3), result.output
    assert "Traceback" not in result.output
    if result.exit_code:
        assert result.stderr.strip(), "it failed without a word"
    for path in folder.rglob("*"):
        hidden = path.name.startswith(".") and path.is_file()
        assert not hidden or path.name in arguments, f"{path.name} was left behind"
        if path.suffix == ".json" and path.name not in before and "manifest" not in path.name:
            document = json.loads(path.read_text())
            if "records" in document:
                checked(path.read_text())
    asks_for_text = {"--help", "-h", "--show-config", "--status", "--vivado"}
    wants_records = arguments[-2:] == ["--json", "-"] and not asks_for_text & set(arguments)
    if wants_records and result.exit_code == 0:
        checked(result.stdout)


def search(count, tmp_path_factory):
    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(argument_lists())
    def run(arguments):
        note(f"scin {' '.join(map(repr, arguments))}")
        folder = tmp_path_factory.mktemp("arguments")
        with light_stages(folder):
            check(arguments, Path(folder))

    run()


def test_any_arguments(tmp_path_factory):
    search(300, tmp_path_factory)


@pytest.mark.slow
def test_many_arguments(tmp_path_factory):
    search(5000, tmp_path_factory)


def test_every_option_is_drawn():
    """Each option of each command has values of its own to draw."""
    for path, command in COMMANDS:
        for parameter in command.params:
            if not getattr(parameter, "is_flag", False):
                assert values(command, parameter), (path, parameter.name)
    assert len(COMMANDS) > 15
