"""Bitstreams: a board with nothing but its host access every time, all boards in the long set."""

import hashlib
import json
import shutil
import threading
from pathlib import Path

import pytest
from amaranth import Module
from amaranth.hdl import Elaboratable
from click.testing import CliRunner

from cocotb_tests.support.records import checked_records
from fpga.boards import load_board
from fpga.build import (
    ROUTING_PATIENCE,
    PlacementError,
    as_records,
    build,
    build_design,
    gives_up,
)
from fpga.design import SEEDS, Design
from fpga.ecp5.top import connect_clocks, connect_transceiver
from fpga.ecp5.transceiver import TransceiverBlock
from fpga.partition import from_dict, load_partition
from fpga.tools import run_tool
from hw.board.contents import Contents
from hw.phy.serdes import SerdesPhy
from hw.stream.connect import connect_stream
from scin.main import main


def silent(design, what):
    del design, what


def check(report):
    """In time, within the device, and an image that its tool reads back."""
    image = Path(report.bitstream)
    assert report.reached_MHz >= report.clock_MHz
    assert hashlib.sha256(image.read_bytes()).hexdigest() == report.sha256
    run_tool(
        "yowasp-ecpunpack", "--input", image.name, "--textcfg", "back.config", folder=image.parent
    )
    assert (image.parent / "back.config").stat().st_size > 0


def test_bring_up_board():
    """The same top without switch and endpoints: what a host needs to find a board."""
    partition = load_partition("star5")
    contents = Contents(partition.config, switch=False, endpoints=0)
    design = Design("ulx3s_bring_up", load_board("ulx3s"), contents, users=("board",))
    report = build_design(partition, design, silent, threading.Event())
    check(report)
    assert 0 < report.utilisation.lut < 2000


class EchoTop(Elaboratable):
    """Both channels of a transceiver block; whatever flit comes in goes out again."""

    def __init__(self, board, config, clock_hz):
        self._board = board
        self._config = config
        self._clock_hz = clock_hz

    def elaborate(self, platform):
        m = Module()
        connect_clocks(m, platform, self._board, self._clock_hz)
        channels = self._board.device.channels[:2]
        m.submodules.block = block = TransceiverBlock(channels, clock_hz=self._clock_hz)
        for index in range(len(channels)):
            phy = SerdesPhy(self._config)
            connect_transceiver(m, platform, phy, block, index, self._clock_hz)
            m.submodules[f"phy_{index}"] = phy
            connect_stream(m, phy.o, phy.i)
        return m


class Echo(Design):
    def top(self, partition, *, baud=None, spread=False):
        del baud, spread
        return EchoTop(self.board, partition.config, partition.clock_hz)


def test_serial_links():
    """The transceivers are placed and routed, in time; they were not tried on a board."""
    partition = load_partition("star5")
    contents = Contents(partition.config, switch=False, endpoints=0)
    design = Echo("ecpix5_echo", load_board("ecpix5"), contents, users=("board",))
    report = build_design(partition, design, silent, threading.Event())
    check(report)
    text = Path(report.bitstream).with_suffix(".config").read_text()
    assert "DCU" in text


def test_a_router_that_gets_nowhere_is_stopped():
    """As nextpnr logs its iterations; what matters is how long ago the best one was."""

    def log(counts):
        return "\n".join(f"Info: iter={n} overused={c}" for n, c in enumerate(counts, 1))

    falling = list(range(500, 0, -1))
    assert not gives_up("")
    assert not gives_up(log(falling))
    assert not gives_up(log([*falling, *[1] * (ROUTING_PATIENCE - 1)]))
    assert gives_up(log([*falling, *[1] * ROUTING_PATIENCE]))
    assert gives_up(log([900, 20, *range(21, 21 + ROUTING_PATIENCE)]))


def test_every_placement_is_tried_once(monkeypatch, tmp_path):
    """Whether one cannot be routed or is too slow: then the next; what failed is remembered."""
    tried = []

    def fail(plan, design, target, progress, stop):
        tried.append(target)
        raise PlacementError(f"placement {len(tried)}")

    monkeypatch.setattr("fpga.build.cached", lambda *parts: tmp_path / parts[-1])
    monkeypatch.setattr("fpga.build._run", fail)
    partition = load_partition("star5")
    contents = Contents(partition.config, switch=False, endpoints=0)
    design = Design("ecpix5_nothing", load_board("ecpix5"), contents, users=("board",))
    for _ in range(2):
        with pytest.raises(PlacementError, match=f"^placement {len(SEEDS)}$"):
            build_design(partition, design, silent, threading.Event())
    assert len(set(tried)) == len(tried) == len(SEEDS)


@pytest.mark.slow
def test_endpoint_board(tmp_path):
    """As the command builds it, with its report."""
    path = tmp_path / "report.json"
    command = ["fpga", "build", "star5", "--board", "node0", "--quiet", "--json", str(path)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    (record,) = checked_records(path.read_text())
    (report,) = build(load_partition("star5"), progress=silent, only="node0")
    assert record == json.loads(json.dumps(as_records([report])))[0]
    check(report)


@pytest.mark.slow
def test_a_missed_clock_is_a_failure():
    """Far beyond what the part can do: no bitstream, and a message that says how far."""
    tree = {
        "config": "tiny",
        "clock_MHz": 100,
        "set": {"system.endpoints": 2, "isa.block_formats": [], "isa.waves": 2}
        | {"isa.wave_controllers": 1, "isa.cycles_per_row": 4, "endpoint.memory_bytes": 8192},
        "boards": {"all": {"board": "ulx3s", "instances": ["switch", "endpoint_0", "endpoint_1"]}},
    }
    with pytest.raises(PlacementError, match=r"timing not met, .* \(FAIL at 100.00 MHz\)"):
        build(from_dict(tree), progress=silent)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["star5", "pair2", "single"])
def test_all_boards(name):
    for report in build(load_partition(name), progress=silent):
        check(report)


@pytest.mark.slow
def test_the_same_again(tmp_path):
    """A second build, from nothing, gives the same bits."""
    (first,) = build(load_partition("star5"), progress=silent, only="node0")
    kept = tmp_path / "first"
    shutil.move(Path(first.bitstream).parent, kept)
    (second,) = build(load_partition("star5"), progress=silent, only="node0")
    assert second.sha256 == first.sha256


def test_bad_input(tmp_path):
    result = CliRunner().invoke(main, ["fpga", "build", "star5", "--board", "x"])
    assert result.exit_code == 2
    assert "board 'x': must be among the boards switch, node0, node1" in result.output
    result = CliRunner().invoke(main, ["fpga", "build", "xcvu13p5"])
    assert result.exit_code == 2
    assert "give --vivado DIR" in result.output
