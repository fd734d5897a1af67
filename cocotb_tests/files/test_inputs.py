"""Inputs of every command: what is wrong with them, and what is no file."""

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cocotb_tests.files.cases import (
    BAD_INPUT,
    COMMANDS,
    SPACE,
    assert_one_line,
)
from cocotb_tests.support.commands import TINY, commands_of
from scin.main import main


def configured(group=main, path=()):
    """Commands that take a file with a configuration, with their arguments."""
    for name, command in commands_of(group):
        if isinstance(command, click.Group):
            yield from configured(command, (*path, name))
        elif any(
            "FILE" in (item.metavar or "") for item in command.params if item.opts[0] == "--config"
        ):
            words = [word for word in COMMANDS.get((*path, name), ()) if word not in TINY]
            yield (*path, name, *words)


BOARDS = {"plan": (), "wiring": (), "build": (), "simulate": (), "run": ("--port", "all=unused")}
READ = {
    **{f"--config of {words[0]}": (*words, "--config", "FILE.toml") for words in configured()},
    **{f"partition of {name}": ("fpga", name, "FILE.toml", *more) for name, more in BOARDS.items()},
    "--model": ("llm", "--model", "FILE.toml"),
    "--profile": ("llm", "--profile", "FILE.csv"),
    "design space": ("explore", "FILE.toml", "--output", "x.csv"),
    "its configuration": ("explore", "space.toml", "--output", "x.csv"),
    "--input": ("run", "allgather", *TINY, "--input", "FILE[01].npy"),
    "--input of BF16": ("run", "allreduce", *TINY, "--dtype", "bf16", "--input", "FILE[01].npy"),
}
"""Commands that read a file of the user's."""

CONFIGURATION = ("[isa]\nclock_MHz = nan\n", "[isa]\nwaves = 3\n", "system = 3\n", "[")
MODEL = "layers = 2\nheads = 6\nkv_heads = 2\nffn = 64\nvocabulary = 9\n"
HEADER = "operator,shape,precision,seconds\n"
WRONG = {
    "--config": CONFIGURATION,
    "its": CONFIGURATION,
    "partition": ('config = "tiny"\nclock_MHz = nan\n', 'config = "tiny"\n', "boards = 3\n", "["),
    "--model": (f"{MODEL}hidden = nan\n", f"{MODEL}hidden = 7\n", f"{MODEL}hidden = 12\n", MODEL),
    "--profile": (HEADER, f"{HEADER}norm,2x64,fp16,nan\n", "operator\n"),
    "design": (SPACE.replace("1K", "3"), SPACE.replace("1K", "4Q"), SPACE.replace("ring", "x")),
    "--input": ("no array",),
}
"""By the first word of :data:`READ`, contents of which some value cannot be used."""


def inputs_of(name):
    """The command, and the files of the user's that it reads."""
    word = next((word for word in READ[name] if word.startswith("FILE")), "FILE.toml")
    return READ[name], list(dict.fromkeys(Path(word.replace("[01]", digit)) for digit in "01"))


@pytest.mark.parametrize("name", READ)
def test_what_is_wrong_with_an_input_names_it(name, beside_input):
    """Once, whether a value is wrong or the file is not there; without a number of an error."""
    given, files = inputs_of(name)

    def refused(word):
        result = CliRunner().invoke(main, given)
        assert result.exit_code == BAD_INPUT, result.output
        assert_one_line(result)
        assert result.stderr.count(str(word)) == 1, result.stderr
        assert "Errno" not in result.stderr
        return result.stderr

    for text in WRONG[name.split()[0]]:
        for path in files:
            path.write_text(text)
        refused(files[0])
    for path in files:
        path.unlink()
    refused(files[0] if len(files) == 1 else "FILE[01].npy")
    for path in files:
        path.symlink_to("nowhere")
    told = refused(files[0])
    # What a name without a file may have meant is said instead.
    assert name == "--model" or "no such file or directory" in told


def test_what_is_set_is_not_what_a_file_says(beside_input):
    """Nor what a design space varies."""
    Path("FILE.toml").write_text("[isa]\nwaves = 4\n")
    Path("space.toml").write_text(f'{Path("space.toml").read_text()}[fields]\n"isa.waves" = [3]\n')
    for given, told in (
        (("compare", "--config", "FILE.toml", "--set", "isa.waves=3"), ""),
        (READ["its configuration"], "space.toml: "),
    ):
        result = CliRunner().invoke(main, given)
        assert result.exit_code == BAD_INPUT, result.output
        assert_one_line(result)
        assert result.stderr == f"scin: {told}isa.waves = 3: must be a power of two\n"


def test_every_input_is_tried():
    """Each parameter that says it is read from a file."""
    words = ("FILE.toml", "FILE.csv", "GLOB", "PARTITION")

    def search(group, path):
        for name, command in commands_of(group):
            if isinstance(command, click.Group):
                search(command, (*path, name))
                continue
            for item in command.params:
                if any(word in f"{item.metavar} {getattr(item, 'help', '')}" for word in words):
                    option = item.opts[0] if isinstance(item, click.Option) else "FILE.toml"
                    tried = [
                        given for given in READ.values() if given[: len(path) + 1] == (*path, name)
                    ]
                    assert any(option in given for given in tried), (path, name, option)

    search(main, ())


@pytest.mark.parametrize("name", READ)
def test_inputs_that_never_end_or_begin(name, beside_input, tmp_path):
    """A device, a pipe without a writer, a folder, and what is too large to be meant."""
    given, files = inputs_of(name)

    def large(path):
        with path.open("wb") as file:
            file.truncate((1 << 40) + 1)

    for make, message in (
        (lambda path: path.symlink_to("/dev/zero"), "must be a regular file"),
        (os.mkfifo, "must be a regular file"),
        (os.mkdir, "must be a regular file"),
        (large, "takes 1099511627777 B: must be at most "),
    ):
        for path in files:
            make(path)
        result = CliRunner().invoke(main, given)
        assert result.exit_code == BAD_INPUT, result.output
        assert_one_line(result, files[0], message)
        for path in files:
            path.rmdir() if path.is_dir() else path.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["space.toml"]


def test_profile_that_is_no_table(tmp_path):
    profile = tmp_path / "profile.csv"
    profile.write_text("operator,shape,precision,seconds\n" + "x" * 200_000)
    result = CliRunner().invoke(main, ["llm", "--profile", str(profile)])
    assert result.exit_code == BAD_INPUT, result.output
    assert_one_line(result, f"profile {profile}: field larger than field limit")


def test_platforms_are_presets(tmp_path):
    (tmp_path / "x.toml").write_text("[")
    result = CliRunner().invoke(main, ["dma", "p2p", "--platform", str(tmp_path / "x")])
    assert result.exit_code == BAD_INPUT, result.output
    assert_one_line(result, "must be one of fpga4, mi300x")
