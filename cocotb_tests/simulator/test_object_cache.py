"""scin/flow/object_cache.py: the runtime is compiled once, whatever differs is compiled again."""

import subprocess
import sys

import pytest

from models.cache import REPOSITORY
from scin.flow.object_cache import VERSION_HEADER

COMPILER = """#!/bin/sh
# Stands in for one: called with an option, -o, an object and a source.
echo run >> runs
[ -s "$4" ] && cp "$4" "$3"
"""


@pytest.fixture
def compile_(tmp_path):
    """Compiles a text with an option; tells status, object, and how often it was done so far."""
    compiler = tmp_path / "compiler"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    cache = [sys.executable, "-SE", REPOSITORY / "scin/flow/object_cache.py", tmp_path / "kept"]

    def run(option, text, *, of_runtime=True):
        folder = tmp_path / ("runtime" if of_runtime else "design")
        folder.mkdir(exist_ok=True)
        if of_runtime:
            (folder / VERSION_HEADER).write_text("version 1")
        (folder / "source.cpp").write_text(text)
        made = tmp_path / "out.o"
        made.unlink(missing_ok=True)
        command = [*cache, compiler, option, "-o", "out.o", folder / "source.cpp"]
        status = subprocess.run(command, cwd=tmp_path).returncode
        runs = len((tmp_path / "runs").read_text().splitlines())
        return status, made.read_text() if made.is_file() else None, runs

    return run


def test_the_same_is_compiled_once(compile_):
    assert compile_("-O1", "text") == (0, "text", 1)
    assert compile_("-O1", "text") == (0, "text", 1)


def test_what_differs_is_compiled(compile_):
    assert compile_("-O1", "text") == (0, "text", 1)
    assert compile_("-O2", "text") == (0, "text", 2)
    assert compile_("-O1", "other") == (0, "other", 3)


def test_designs_are_always_compiled(compile_):
    """Their headers differ where their sources need not."""
    assert compile_("-O1", "text", of_runtime=False) == (0, "text", 1)
    assert compile_("-O1", "text", of_runtime=False) == (0, "text", 2)


def test_a_failure_is_told_and_not_kept(compile_):
    assert compile_("-O1", "") == (1, None, 1)
    assert compile_("-O1", "") == (1, None, 2)
