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

from fpga.host import BoardError, BoardPort
from scin.main import main

TIMEOUT = 0.3
FAILED, BAD_INPUT = 1, 2


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
    for url in ("/dev/absent", str(plain), "socket://127.0.0.1:1", "nowhere://x"):
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
    ],
)
def test_bad_ports(arguments, message):
    result = fpga_run(*arguments)
    assert result.exit_code == BAD_INPUT
    assert result.output == f"scin: {message}\n"


@pytest.mark.parametrize("partition", ["star5", "pair2", "single", "xcvu13p5"])
@pytest.mark.parametrize("command", ["plan", "wiring"])
def test_every_partition(command, partition):
    result = CliRunner().invoke(main, ["fpga", command, partition])
    assert result.exit_code == 0, result.output
    if command == "wiring":
        cables = {"star5": 4, "pair2": 2, "single": 0, "xcvu13p5": 4}[partition]
        assert result.output.count("Cable ") == cables
        assert result.output.strip()
