"""The process around a command: signals, pipes, encodings, narrow terminals."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from models.cache import REPOSITORY

START = "from scin.main import main; main()"
INTERRUPTED, TERMINATED, HUNG_UP, NO_READER = 130, 143, 129, 141

LONG = """
import scin.commands.emit
from scin.flow.programs import run_program

def emit(component, name):
    print("started", flush=True)
    run_program(["sh", "-c", "sleep 98765 & sleep 98765"])

scin.flow.emit.verilog_of = emit
"""
"""Has `scin emit` wait for a program that starts another."""


def environment(tmp_path, **changes):
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "SCIN_CACHE": str(tmp_path)} | changes


def scin(tmp_path, *arguments, **changes):
    command = [sys.executable, "-c", START, *map(str, arguments)]
    return subprocess.run(command, env=environment(tmp_path, **changes), capture_output=True)


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGINT, INTERRUPTED, "interrupted"),
        (signal.SIGTERM, TERMINATED, "terminated"),
        (signal.SIGHUP, HUNG_UP, "terminated"),
    ],
)
def test_signals(tmp_path, number, status, word):
    """What was started ends, what was begun is cleaned up, and there is one line of it."""
    cache, output = tmp_path / "cache", tmp_path / "out"
    # Hardware that nothing else emits: a kept copy would be used in place of the emitter.
    unusual = ["--config", "tiny", "--set", "link.latency_cycles=777"]
    given = ["emit", *unusual, "--output", str(output), "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-c", LONG + START, *given],
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests that run in the background ignore this signal, and so would their children.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert process.stdout.readline() == "started\n"
    wait_for(lambda: len(sleeping(process.pid)) == 2)
    children = sleeping(process.pid)
    process.send_signal(number)
    output_text, complaints = process.communicate(timeout=20)
    assert process.returncode == status, complaints
    assert (output_text, complaints) == ("", f"scin: {word}\n")
    wait_for(lambda: not any(os.path.exists(f"/proc/{child}") for child in children))
    assert not output.exists()
    kept = [path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert not kept


def sleeping(parent):
    """Processes that sleep, among those below a process."""
    found, waiting = [], [str(parent)]
    while waiting:
        pid = waiting.pop()
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                waiting += file.read().split()
            with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                found += [pid] * (file.read() == "sleep\n")
        except FileNotFoundError:
            continue
    return found


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_reader_that_goes(tmp_path):
    """No complaint, and the records until then are written."""
    target = tmp_path / "x.json"
    given = ["compare", "--algo", "ring,nvls", "--json", str(target)]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", START, *given],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    complaints = process.stderr.read()
    assert process.wait() == NO_READER
    assert complaints == b""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_encodings(tmp_path, encoding):
    """Signs that an encoding lacks have others that stand for them."""
    result = scin(tmp_path, "fpga", "plan", "star5", PYTHONIOENCODING=encoding)
    assert result.returncode == 0, result.stderr
    assert "endpoint_3" in result.stdout.decode(encoding)
    code = (
        "import scin.report.terminal as t; t.write_any_sign(); print('a \\u2192 b \\u2264 \\u65e5')"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path, PYTHONIOENCODING=encoding),
        capture_output=True,
    )
    assert shown.stdout == b"a -> b <= ?\n", shown.stderr


def test_no_cell_is_cut(tmp_path):
    """Through a pipe and on a narrow terminal every cell is whole."""
    wide = scin(tmp_path, "fpga", "plan", "xcvu13p5", COLUMNS="200")
    narrow = scin(tmp_path, "fpga", "plan", "xcvu13p5", COLUMNS="40")
    assert wide.returncode == narrow.returncode == 0, narrow.stderr
    assert narrow.stdout == wide.stdout
    text = narrow.stdout.decode()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert re.search(r"switch link 3 .* node3 link 0", text)


BRACKETS = "[/x] [red]y"
SHOWN_WITH_BRACKETS = {
    "a line": "TextTable([], quiet=False, error=False).line(text)",
    "a cell": "table = RichTable('title'); table.add_row(text); Console().table(table)",
    "a stage": "with Stages(quiet=False).running(text): pass",
    "a status": "s = Spinner(quiet=False); s.watch(clocked, text); s(); s.stop()",
}


@pytest.mark.parametrize("kind", SHOWN_WITH_BRACKETS)
def test_brackets_are_text(tmp_path, kind):
    """Where a file's name has brackets, a terminal shows them."""
    code = f"""
from types import SimpleNamespace
from rich.table import Table as RichTable
from scin.report.progress import Stages
from scin.report.table import Spinner, TextTable
from scin.report.terminal import Console
text, clocked = {BRACKETS!r}, SimpleNamespace(cycle=1)
{SHOWN_WITH_BRACKETS[kind]}
"""
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path, FORCE_COLOR="1", TERM="xterm"),
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert BRACKETS in re.sub("\x1b[^A-Za-z]*[A-Za-z]", "", shown.stdout + shown.stderr)


def test_stdout_that_is_closed(tmp_path):
    """A command that has nothing to print writes its records."""
    target = tmp_path / "x.json"
    result = redirected(tmp_path, f"compare --algo ring --max 1K --quiet --json {target} >&-")
    assert result.returncode == 0, result.stderr
    assert json.loads(target.read_text())["records"]


@pytest.mark.parametrize(
    "command",
    [
        "compare --algo ring --max 1K --json {folder}/x.json",
        "compare --algo ring --max 1K --quiet --json -",
        "accuracy --data synthetic --plot /dev/stdout",
        "emit --config tiny --output {folder}",
        "fpga build single --board all",
        "run allreduce --show-config",
        "doctor",
    ],
)
def test_closed_stdout_loses_nothing(tmp_path, command):
    """What would be printed there is refused, and nothing is run or written for it."""
    folder = tmp_path / "out"
    folder.mkdir()
    result = redirected(tmp_path, f"{command.format(folder=folder)} >&-")
    assert result.returncode == 2, result.stderr
    assert result.stderr == b"scin: stdout: is closed, and the output would be lost\n"
    assert not list(folder.iterdir())


def test_stderr_that_is_closed(tmp_path):
    """What is meant for it does not go to stdout instead."""
    code = "import sys; from scin.report.terminal import replace_closed_streams as replace; "
    code += "replace(); print(1, file=sys.stderr)"
    result = redirected(tmp_path, "2>&-", code)
    assert (result.returncode, result.stdout) == (0, b"")


def redirected(tmp_path, arguments, code=START):
    """The command as a shell runs it."""
    command = f'exec "$0" -c "{code}" {arguments}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable], env=environment(tmp_path), capture_output=True
    )


def test_stdout_on_a_full_disk(tmp_path):
    result = redirected(tmp_path, "compare --algo ring --max 1K >/dev/full")
    assert result.returncode == 2
    assert result.stderr == b"scin: no space left on device\n"
