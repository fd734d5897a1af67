"""hw/switch/crossbar.py: every packet reaches its destinations once, in order, whole."""

import random

import cocotb
import pytest

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
from hw.switch.crossbar import Crossbar

PORTS = 4
PACKETS = 60
CONFIG = load("tiny", {"system.endpoints": PORTS})
REGISTERED = load("tiny", {"system.endpoints": PORTS, "fabric.registered": True})


@pytest.mark.parametrize("pause_out", PROFILES)
@pytest.mark.parametrize(
    ("config", "multicast"),
    [(CONFIG, 0.0), (CONFIG, 0.3), (CONFIG, 1.0), (REGISTERED, 0.3)],
    ids=["unicast", "mixed", "multicast", "registered"],
)
def test_crossbar(config, multicast, pause_out):
    simulate(
        Crossbar(config, multicast=True),
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
