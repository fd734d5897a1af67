"""A checkout of somebody else: commands of a user without a home, who may write nothing in it."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from cocotb_tests.support.records import checked_records
from models.cache import CHECKOUT_FOLDER, REPOSITORY
from scin.main import main

START = [sys.executable, "-c", "from scin.main import main; main()"]
STRANGER = 54321
"""A user without a name, and so without a home."""

COMPARE = ("compare", "--max", "4K", "--quiet", "--json", "-")
CLOSED_FORMS = (*COMPARE, "--algo", "ring,nvls")
"""Those need no compiled simulator."""


def entered_by_all(path):
    return all(folder.stat().st_mode & 0o001 for folder in path.parents)


def as_stranger():
    needed = [Path(sys.executable), Path(sys.executable).resolve(), REPOSITORY]
    # An interpreter in a folder that only its owner enters would not be found: reads are allowed.
    reads = "" if all(map(entered_by_all, needed)) else ",+dac_read_search"
    user = ["setpriv", "--reuid", str(STRANGER), "--regid", str(STRANGER), "--clear-groups"]
    return [*user, f"--inh-caps=-all{reads}", f"--ambient-caps=-all{reads}"]


def read_only(folder):
    """Goes on where ``folder`` is read-only, in a mount namespace of its own."""
    bind = 'mount --bind "$0" "$0" && ' if folder != "/" else ""
    return ["sh", "-c", f'{bind}mount -o remount,bind,ro "$0" && exec "$@"', str(folder)]


def on_read_only():
    """As root, whom nothing else would keep from writing."""
    home = pwd.getpwuid(os.getuid()).pw_dir
    folders = dict.fromkeys(["/", str(REPOSITORY), home])
    return ["unshare", "--mount", *(word for folder in folders for word in read_only(folder))]


def without_home(command, **variables):
    variables |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, env=variables, cwd="/", capture_output=True, text=True)


def possible(before):
    """``before``, with which commands start; where this system refuses it, the test is skipped."""
    if os.getuid():
        pytest.skip("only root becomes another user, and mounts")
    if not shutil.which(before[0]):
        pytest.skip(f"there is no {before[0]}")
    if (found := without_home([*before, "true"])).returncode:
        pytest.skip(f"this system does not allow it: {found.stderr.strip()}")
    return before


@pytest.fixture(params=[as_stranger, on_read_only])
def scin(request):
    """Runs a command where nothing can be kept."""
    before = possible(request.param())
    CHECKOUT_FOLDER.mkdir(exist_ok=True)
    return lambda *arguments: without_home([*before, *START, *arguments])


def ours(*arguments):
    """What the owner of the checkout is told."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_nothing_can_be_kept(scin):
    """Or the tests that follow would show nothing; it is said, with what helps."""
    found = scin("doctor")
    missing = [line for line in found.stdout.splitlines() if line.startswith("MISSING")]
    assert [line.split()[1] for line in missing] == ["cache"], found.stdout
    assert f"{CHECKOUT_FOLDER} (not writable)" in missing[0]
    assert "set SCIN_CACHE to one that you can write" in missing[0]
    assert found.stderr == ""


def test_plan(scin):
    result = scin("fpga", "plan", "star5")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == ours("fpga", "plan", "star5")


def test_closed_forms(scin):
    result = scin(*CLOSED_FORMS)
    assert (result.returncode, result.stderr) == (0, "")
    assert records(result) == checked_records(ours(*CLOSED_FORMS))


@pytest.mark.slow
def test_simulator(scin):
    """It is compiled for this one command."""
    result = scin(*COMPARE)
    assert (result.returncode, result.stderr) == (0, "")
    assert records(result) == checked_records(ours(*COMPARE))


def records(result):
    found = checked_records(result.stdout)
    assert found
    return found


def test_what_needs_a_cache(scin):
    """A simulator that nobody has built: one line says what helps."""
    result = scin("build", "--config", "tiny", "--set", "link.latency_cycles=777")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("scin: no folder for built simulators: ")
    assert result.stderr.endswith("set SCIN_CACHE to one that you can write\n")
    assert result.stderr.count("\n") == 1


@pytest.fixture
def folder():
    """The stranger's own."""
    before = possible(as_stranger())
    with tempfile.TemporaryDirectory(prefix="stranger-") as name:
        os.chown(name, STRANGER, STRANGER)
        yield before, Path(name)


def test_named_cache(folder):
    """Serves in place of the checkout's, for whatever else keeps something, too."""
    before, own = folder
    command = [*before, *START, *CLOSED_FORMS, "--plot", str(own / "x.svg")]
    result = without_home(command, SCIN_CACHE=str(own / "cache"))
    assert (result.returncode, result.stderr) == (0, "")
    assert (own / "x.svg").stat().st_uid == STRANGER
    assert (own / "cache" / "tools" / "mplconfigdir").is_dir()
    found = without_home([*before, *START, "doctor"], SCIN_CACHE=str(own / "cache"))
    assert (found.returncode, found.stderr) == (0, "")
    assert "MISSING" not in found.stdout
