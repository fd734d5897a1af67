"""hw/switch/crossbar.py: every packet reaches its destinations once, in order, whole."""

import random

import cocotb
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import (
    PROFILES,
    FlitCodec,
    Sink,
    Source,
    start_clock,
    wait_until,
)
from hw.spec.config import load
from hw.spec.packet import flit_layout
from hw.stream.connect import connect_stream
from hw.switch.crossbar import Crossbar
from hw.switch.path import share_path

PORTS = 4
PACKETS = 60
CONFIG = load("tiny", {"system.endpoints": PORTS})
REGISTERED = load("tiny", {"system.endpoints": PORTS, "fabric.registered": True})


class CrossbarWithPath(wiring.Component):
    """What moves its flits beside it, where that is not the crossbar itself."""

    def __init__(self):
        flits = stream.Signature(flit_layout(REGISTERED))
        super().__init__(
            {
                "i": In(flits).array(PORTS),
                "o": Out(flits).array(PORTS),
                "misrouted": Out(PORTS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crossbar = crossbar = Crossbar(REGISTERED, multicast=True)
        share_path(m, REGISTERED, [crossbar])
        for outer, inner in zip(self.i, crossbar.i, strict=True):
            connect_stream(m, outer, inner)
        for inner, outer in zip(crossbar.o, self.o, strict=True):
            connect_stream(m, inner, outer)
        m.d.comb += self.misrouted.eq(crossbar.misrouted)
        return m


PLAIN = Crossbar(CONFIG, multicast=True)


@pytest.mark.parametrize("pause_out", PROFILES)
@pytest.mark.parametrize(
    ("component", "multicast"),
    [(PLAIN, 0.0), (PLAIN, 0.3), (PLAIN, 1.0), (CrossbarWithPath(), 0.3)],
    ids=["unicast", "mixed", "multicast", "registered"],
)
def test_crossbar(component, multicast, pause_out):
    simulate(
        component,
        module=__name__,
        case="check_delivery",
        seed=int(10 * multicast) + 1,
        pause_out=pause_out,
        multicast=multicast,
    )


@cocotb.test()
async def check_delivery(dut):
    """The reference: per (input, output) pair a list of packets."""
    given = parameters_of_test()
    rng = random.Random(cocotb.RANDOM_SEED)
    codec = FlitCodec(CONFIG)
    sources = [Source(dut, f"i__{i}", rng.choice(PROFILES), rng) for i in range(PORTS)]
    sinks = [Sink(dut, f"o__{i}", given["pause_out"], rng) for i in range(PORTS)]
    await start_clock(dut)
    expected = {(i, o): [] for i in range(PORTS) for o in range(PORTS)}
    misrouted = 0
    for i, source in enumerate(sources):
        for number in range(PACKETS):
            multicast = rng.random() < given["multicast"]
            mask = rng.randrange(1, 1 << PORTS)
            target = rng.randrange(PORTS + 1)
            header = {
                "source": i,
                "tag": number,
                "multicast": multicast,
                "destination": mask if multicast else target,
            }
            payload = rng.randbytes(16 * rng.randrange(0, 9))
            source.queue.extend(codec.flits(header, payload))
            targets = [o for o in range(PORTS) if (mask >> o & 1 if multicast else o == target)]
            misrouted += not targets
            for o in targets:
                expected[i, o].append((number, payload))
    total = sum(map(len, expected.values()))

    def delivered():
        return all(source.idle for source in sources) and (
            sum(_heads(codec, sink) for sink in sinks) >= total
        )

    await wait_until(dut, delivered, "every packet")
    for _ in range(500):
        await cocotb.triggers.RisingEdge(dut.clk)
    for o, sink in enumerate(sinks):
        packets = codec.packets(sink.received)
        for i in range(PORTS):
            found = [(h["tag"], payload) for h, payload in packets if h["source"] == i]
            assert found == expected[i, o], f"input {i} to output {o}"
    assert misrouted > 0 or given["multicast"] == 1.0


def _heads(codec, sink):
    """Packets begun at an output, counted cheaply: bit `first` of each flit."""
    first = codec.layout["first"].offset
    return sum(word >> first & 1 for word in sink.received)
