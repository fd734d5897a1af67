"""What coverage says of a simulation is what the simulation did."""

import cocotb
from cocotb.triggers import RisingEdge

from cocotb_tests.coverage.bins import CROSSES, Cross
from cocotb_tests.coverage.events import Instructions, command_event, share, size_of
from cocotb_tests.coverage.points import collect, collected
from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import start_clock
from hw.spec.config import load
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import Instruction, Opcode
from hw.spec.status import Status
from hw.stream.arbiter import RoundRobin
from scin.flow.coverage import VARIABLE, counted_once
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place

CONFIG = load("tiny")


@cocotb.test()
async def only_the_first_asks(dut):
    await start_clock(dut)
    for requests, advance in ((1, 0), (0, 0), (1, 0), (0, 0)):
        dut.requests.value, dut.advance.value = requests, advance
        await RisingEdge(dut.clk)


def test_what_was_not_done_is_missing(tmp_path, monkeypatch):
    """Only the first of two asks, and its turn never ends: told by branch, and by bit."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    simulate(RoundRobin(2), module=__name__, case="only_the_first_asks", seed=1)
    collect(tmp_path)
    assert not list(tmp_path.glob("*.dat"))
    found = collected(tmp_path)
    toggles = {
        (point.wire.name, point.bit, point.edge): hit for point, hit in found.toggles.items()
    }
    assert all(point.wire.file == "hw/stream/arbiter.py" for point in found.toggles)
    assert toggles["requests", 0, "0->1"]
    assert toggles["grant", 0, "1->0"]
    assert not toggles["requests", 1, "0->1"]
    assert not toggles["grant", 1, "0->1"]
    ends_turn = [hit for point, hit in found.branches.items() if _is_turn(point)]
    assert ends_turn == [False]


def _is_turn(branch):
    """The turn goes on: the only thing assigned if there is a request and the grant is used."""
    (condition, *_) = branch.conditions or ("",)
    return branch.target == "later" and condition.startswith("hw/stream/arbiter.py:")


def test_parts_are_counted_once():
    """Of two ports the first; no expressions; no wire that is another file's."""
    text = []
    for module in ("top", "top.port_0", "top.port_1"):
        text += ['(* src = "hw/a.py:1" *)', f"module \\{module} (a, b);"]
        text += ['(* src = "hw/a.py:2" *)', "input a;", "wire a;", "wire \\$1 ;"]
        text += ['(* src = "hw/b.py:3" *)', "wire b;", "endmodule"]
    off = [
        line.split("-lines ")[1] for line in counted_once("\n".join(text), "m.v").splitlines()[2:]
    ]
    assert off == ["6", "8", "15", "17", "19-27"]


def test_words_for_an_instruction():
    assert [share(mask, 4) for mask in (0, 2, 3, 15)] == ["none", "one", "some", "all"]
    assert [size_of(n, CONFIG) for n in (2, CONFIG.fabric.flit_bytes)] == [
        "less than a row",
        "a row",
    ]


def test_scales_belong_to_the_instruction_before():
    pending = Instructions(CONFIG, {"stalls": "none"})
    quantized = Instruction(
        opcode=Opcode.COLLECTIVE, quantize=1, data_type=DataType.INT8, identifier=3
    )
    pending.submitted(quantized, 0)
    pending.submitted(Instruction(opcode=Opcode.SCALES), 0)
    pending.submitted(Instruction(opcode=Opcode.SCALES, identifier=4), 0)
    event = pending.ended(0, 3, Status.OK)
    assert (event["format"], event["kind"], event["stalls"]) == ("INT8", "quantized", "none")
    assert pending.ended(0, 4, Status.MISSING_SCALES)["opcode"] == "SCALES"
    assert pending.ended(0, 3, Status.OK) is None


def test_words_for_a_command():
    def reach(source, destination):
        command = dma.copy(Place(source, 0), Place(destination, 0), 8)
        return command_event(command, 1, CONFIG, {}, Status.OK)["reach"]

    assert [reach(1, 1), reach(1, 0), reach(0, 1), reach(0, 0)] == [
        "local",
        "push",
        "pull",
        "between others",
    ]


def test_bins():
    cross = Cross({"a": ("x", "y"), "b": ("x", "y")}, {"of": "it"}, lambda c: c["a"] == c["b"])
    assert cross.bins() == [("x", "y"), ("y", "x")]
    seen = [{"of": "it", "a": "x", "b": "y"}, {"of": "other", "a": "y", "b": "x"}]
    assert cross.reached([*seen, {"of": "it", "a": "x", "b": "x"}]) == {("x", "y")}
    assert len({cross.name + str(cross.only) for cross in CROSSES}) == len(CROSSES)
