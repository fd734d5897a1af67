"""The host tool and serial ports that misbehave: every one is a line and exit status 1, soon."""

import os
import pty
import threading
import time
import tty
from contextlib import suppress

import pytest
import serial
from click.testing import CliRunner

from cocotb_tests.support.records import checked_records
from fpga.build import BuildReport, Utilisation
from fpga.design import designs
from fpga.host import BoardError, BoardPort, LinkReport
from fpga.partition import load_partition
from hw.phy.training import TrainingState
from scin.main import main

TIMEOUT = 0.3
FAILED, BAD_INPUT = 1, 2
NETWORK_PORT = "socket://HOST:PORT, PORT between 1 and 65535"
NO_COLLECTIVE = "does nothing here: --status runs no collective"


@pytest.fixture
def terminal():
    """Both ends of a line: what a board would hold, and the name of the port."""
    board, port = pty.openpty()
    tty.setraw(port)
    name = os.ttyname(port)
    os.close(port)
    yield board, name
    with suppress(OSError):
        os.close(board)


def opened(name):
    return BoardPort("switch", name, baud=115200, timeout=TIMEOUT)


def test_silent_port(terminal):
    _, name = terminal
    start = time.monotonic()
    with pytest.raises(BoardError, match=f"switch: no answer on {name}"):
        opened(name).resynchronise()
    assert time.monotonic() - start < 10 * TIMEOUT


def test_port_that_talks_by_itself(terminal):
    """As a console does that prints its log."""
    board, name = terminal
    stop = threading.Event()

    def talk():
        while not stop.is_set():
            try:
                os.write(board, b"[  1.0] eth0: link is up\r\n")
            except OSError:
                return
            time.sleep(TIMEOUT / 50)

    speaker = threading.Thread(target=talk)
    speaker.start()
    start = time.monotonic()
    try:
        with pytest.raises(BoardError, match="no answer on"):
            opened(name).resynchronise()
        assert time.monotonic() - start < 10 * TIMEOUT
    finally:
        stop.set()
        speaker.join()


def test_unplugged_port(terminal):
    board, name = terminal
    port = opened(name)
    os.close(board)
    with pytest.raises(BoardError, match=f"switch: {name}: "):
        port.read(0)


def test_port_that_takes_nothing(terminal):
    """What is written does not leave: flow control holds it."""
    _, name = terminal
    port = opened(name)
    start = time.monotonic()
    with pytest.raises(BoardError, match=f"switch: {name}: "):
        port._send(bytes(1 << 20))
    assert time.monotonic() - start < 10 * TIMEOUT


def test_port_of_another_program(terminal):
    _, name = terminal
    with serial.Serial(name, exclusive=True), pytest.raises(BoardError, match="cannot open"):
        opened(name)


def fpga_run(*arguments):
    return CliRunner().invoke(main, ["fpga", "run", "single", *arguments])


def test_exit_status(monkeypatch, tmp_path):
    import fpga.host

    monkeypatch.setattr(
        fpga.host.BoardSystem.__init__, "__kwdefaults__", {"baud": None, "timeout": TIMEOUT}
    )
    plain = tmp_path / "file"
    plain.touch()
    handlers = ("nowhere://x", "hwgrep://[", "loop://?logging=x", "alt://x?class=x", "spy://?x=y")
    for url in ("/dev/absent", str(plain), "socket://127.0.0.1:1", "", *handlers):
        result = fpga_run("--port", f"all={url}")
        assert result.exit_code == FAILED, result.output
        assert len(result.output.splitlines()) == 1, result.output
        assert "all: cannot open " + url in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "port: must be given for each board, and is not for all"),
        (("--port", "x=y"), "port 'x=y': must be BOARD=PORT, BOARD one of all"),
        (("--port", "all=a", "--port", "all=b"), "port 'all=b': all has a already"),
        (("--port", "all=a", "--simulate"), "port all=a: --simulate has ports of its own"),
        (("--port", "all=a", "--baud", "-1"), "baud -1: must be between 9600 and 12000000"),
        *(
            (("--port", f"all={url}"), f"port 'all={url}': must be {NETWORK_PORT}")
            for url in (
                "socket://127.0.0.1:99999",
                "socket://127.0.0.1:0",
                "socket://127.0.0.1",
                "socket://:1234",
                "socket://host:x",
                "socket://[::1",
            )
        ),
        (("--port", "all=rfc2217://x"), "port 'all=rfc2217://x': must be rfc2217://HOST:PORT, "
         "PORT between 1 and 65535"),
        (("--simulate", "--baud", "115200"), "--baud: does nothing here: --simulate sets the "
         "speed of its ports"),
        (("--port", "all=a", "--size", "3"), "size 3: must be a positive multiple of 2 B, the "
         "element size"),
        (("--port", "all=a", "--size", "1T"), None),
        (("--simulate", "--size", "x"), "size 'x': must be bytes, such as 512, 4K, 4KiB or 16M"),
        (("--simulate", "--dtype", "int7"), None),
        (("--port", "all=a", "--dtype", "nvfp4"), None),
        (("--port", "all=a", "--status", "--json", "-"), f"--json: {NO_COLLECTIVE}"),
        (("--port", "all=a", "--status", "--size", "4K"), f"--size: {NO_COLLECTIVE}"),
        (("--simulate", "--status", "--dtype", "bf16"), f"--dtype: {NO_COLLECTIVE}"),
        (("--port", "all=a", "--status", "--seed", "2"), "--seed: does nothing here: --status "
         "draws nothing at random"),
    ],
)  # fmt: skip
def test_bad_arguments(arguments, message, monkeypatch):
    """Refused before any port is opened, and before anything is simulated. ``message``: None for
    those whose words are tested elsewhere."""
    monkeypatch.setattr("fpga.host.BoardSystem", None)
    monkeypatch.setattr("fpga.simulation.SimulatedBoards", None)
    result = fpga_run(*arguments)
    assert result.exit_code == BAD_INPUT, result.output
    assert len(result.output.splitlines()) == 1
    if message is not None:
        assert result.output == f"scin: {message}\n"


class BoardsWithLinks:
    """Stands for a system of boards whose links are as it says."""

    up: tuple[bool, ...] = ()

    def __init__(self, *given, **named):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def links(self):
        return [
            LinkReport("all", index, up, TrainingState(0), True, 0, 0, (1,))
            for index, up in enumerate(self.up)
        ]


@pytest.mark.parametrize(("up", "status"), [((True, True), 0), ((True, False), FAILED), ((), 0)])
def test_status_of_links(up, status, monkeypatch):
    monkeypatch.setattr("fpga.host.BoardSystem", BoardsWithLinks)
    monkeypatch.setattr(BoardsWithLinks, "up", up)
    result = fpga_run("--port", "all=a", "--status")
    assert result.exit_code == status
    assert len(result.output.splitlines()) == len(up)


def fpga_build(monkeypatch, *arguments):
    """Runs the command with a stand-in for synthesis; which designs were built, and the result."""
    built = []

    def report(partition, design, progress, stop):
        built.append(design.name)
        used = Utilisation(1, 2, 3, 4)
        figures = (80.0, 81.0, 12.0, "a", "b", used)
        return BuildReport(design.name, "x", "y", design.users, *figures, "0" * 64, "x.bit")

    monkeypatch.setattr("fpga.build.build_design", report)
    return built, CliRunner().invoke(main, ["fpga", "build", *arguments])


def test_build_keeps_stdout_for_json(monkeypatch):
    """The table and the paths go to stderr."""
    _, result = fpga_build(monkeypatch, "single", "--json", "-")
    assert result.exit_code == 0, result.output
    assert len(checked_records(result.stdout)) == 1
    assert "longest path" in result.stderr
    assert "LUT" in result.stderr
    _, plain = fpga_build(monkeypatch, "single")
    assert "x.bit" in plain.stdout


def test_build_by_board_or_design(monkeypatch):
    for partition in ("single", "pair2", "star5"):
        loaded = load_partition(partition)
        for design in designs(loaded):
            for name in (design.name, *design.users):
                built, result = fpga_build(monkeypatch, partition, "--board", name)
                assert result.exit_code == 0, result.output
                assert built == [design.name]
    _, result = fpga_build(monkeypatch, "single", "--board", "x")
    assert result.exit_code == BAD_INPUT
    assert result.output == (
        "scin: board 'x': must be among the boards all or the designs ulx3s_switch_endpoints2 of "
        "single\n"
    )


@pytest.mark.parametrize("option", [("--board", "switch"), ("--json", "-")])
def test_vivado_projects_take_no_other_option(option, monkeypatch, tmp_path):
    folder = tmp_path / "out"
    _, result = fpga_build(monkeypatch, "xcvu13p5", "--vivado", str(folder), *option)
    assert result.exit_code == BAD_INPUT
    assert result.output == (
        f"scin: {option[0]}: does nothing here: --vivado writes projects of all boards\n"
    )
    assert not folder.exists()


@pytest.mark.parametrize("partition", ["star5", "pair2", "single", "xcvu13p5"])
@pytest.mark.parametrize("command", ["plan", "wiring"])
def test_every_partition(command, partition):
    result = CliRunner().invoke(main, ["fpga", command, partition])
    assert result.exit_code == 0, result.output
    if command == "wiring":
        cables = {"star5": 4, "pair2": 2, "single": 0, "xcvu13p5": 4}[partition]
        assert result.output.count("Cable ") == cables
        assert result.output.strip()
