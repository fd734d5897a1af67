"""hw/switch/crossbar.py, route.py, refuser.py: every packet reaches its destinations once, in
order, whole; the switch answers for those that cannot be reached."""

import random

import cocotb
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import (
    PROFILES,
    FlitCodec,
    Sink,
    Source,
    start_clock,
    wait_until,
)
from hw.spec.config import MAX_ENDPOINTS, load
from hw.spec.packet import Header, MessageClass, Operation, flit_layout
from hw.stream.connect import connect_stream
from hw.switch.crossbar import PATIENCE, Crossbar
from hw.switch.path import share_path
from hw.switch.refuser import Refuser
from hw.switch.route import ANSWER_CLASS
from models.switch.route import route

PORTS = 4
PACKETS = 30
CONFIG = load("tiny", {"system.endpoints": PORTS})
REGISTERED = load("tiny", {"system.endpoints": PORTS, "fabric.registered": True})


class RequestsAndAnswers(wiring.Component):
    """The crossbar of a class of requests, and that of their answers, as the switch wires them.

    Ports: ``i``, ``o`` of the requests, ``responses_i``, ``responses_o``; ``alive`` and
    ``misrouted`` of the former.
    """

    def __init__(self, config, message_class: MessageClass):
        self._config = config
        self._class = message_class
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "i": In(flits).array(PORTS),
                "o": Out(flits).array(PORTS),
                "responses_i": In(flits).array(PORTS),
                "responses_o": Out(flits).array(PORTS),
                "alive": In(PORTS),
                "misrouted": Out(PORTS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.requests = requests = Crossbar(config, message_class=self._class)
        m.submodules.responses = responses = Crossbar(
            config, message_class=ANSWER_CLASS[self._class]
        )
        if config.fabric.registered:
            share_path(m, config, [requests, responses])
        m.d.comb += [requests.alive.eq(self.alive), self.misrouted.eq(requests.misrouted)]
        for i in range(PORTS):
            m.submodules[f"refuser_{i}"] = refuser = Refuser(
                config, message_class=self._class, port=i
            )
            connect_stream(m, requests.refusal[i], refuser.i)
            connect_stream(m, refuser.o, responses.answer[i])
            connect_stream(m, self.i[i], requests.i[i])
            connect_stream(m, requests.o[i], self.o[i])
            connect_stream(m, self.responses_i[i], responses.i[i])
            connect_stream(m, responses.o[i], self.responses_o[i])
        return m


WRITES = RequestsAndAnswers(CONFIG, MessageClass.WRITE_REQUEST)
READS = RequestsAndAnswers(CONFIG, MessageClass.READ_REQUEST)
REGISTERED_WRITES = RequestsAndAnswers(REGISTERED, MessageClass.WRITE_REQUEST)


@pytest.mark.parametrize("pause_out", PROFILES)
@pytest.mark.parametrize(
    ("component", "multicast"),
    [(READS, 0.1), (WRITES, 0.3), (WRITES, 1.0), (REGISTERED_WRITES, 0.3)],
    ids=["reads", "mixed", "multicast", "registered"],
)
def test_crossbar(component, multicast, pause_out):
    simulate(
        component,
        module=__name__,
        case="check_delivery",
        seed=int(10 * multicast) + 1,
        pause_out=pause_out,
        multicast=multicast,
        reads=component is READS,
    )


def request(rng, port, number, multicast):
    """Header of a request: to itself, to any endpoint, to ones that are absent, to none."""
    return Header(
        source=rng.randrange(MAX_ENDPOINTS),
        tag=number << 4 | port,
        operation=rng.choice(list(Operation)),
        acknowledge=rng.randrange(2),
        multicast=multicast,
        destination=(
            rng.choice([rng.getrandbits(MAX_ENDPOINTS), rng.getrandbits(PORTS)])
            if multicast
            else rng.choice([*range(PORTS), *range(PORTS), PORTS, rng.getrandbits(MAX_ENDPOINTS)])
        ),
    )


@cocotb.test()
async def check_delivery(dut):
    """Requests as the golden model routes them, and its refusals, among responses of others."""
    given = parameters_of_test()
    rng = random.Random(cocotb.RANDOM_SEED)
    codec = FlitCodec(CONFIG)
    kind = MessageClass.READ_REQUEST if given["reads"] else MessageClass.WRITE_REQUEST
    names = ("i", "responses_i"), ("o", "responses_o")
    sources, others = (
        [Source(dut, f"{name}__{i}", rng.choice(PROFILES), rng) for i in range(PORTS)]
        for name in names[0]
    )
    sinks, answers = (
        [Sink(dut, f"{name}__{i}", given["pause_out"], rng) for i in range(PORTS)]
        for name in names[1]
    )
    dead = rng.randrange(PORTS)
    alive = {*range(PORTS)} - {dead}
    dut.alive.value = sum(1 << port for port in alive)
    await start_clock(dut)
    # At reset no endpoint is dead.
    await RisingEdge(dut.clk)
    expected = {(i, o): [] for i in range(PORTS) for o in range(PORTS)}
    refused, others_sent = [[] for _ in range(PORTS)], [0] * PORTS
    misrouted = 0
    for i, source in enumerate(sources):
        for number in range(PACKETS):
            header = request(rng, i, number, rng.random() < given["multicast"])
            payload = rng.randbytes(16 * rng.randrange(0, 9))
            source.queue.extend(codec.flits(header, payload))
            routing = route(kind, header, port=i, alive=alive)
            misrouted += routing.missing > 0
            refused[i] += routing.refusals
            for o in routing.targets:
                expected[i, o].append((header.tag, payload))
            target = rng.randrange(PORTS)
            others[i].queue.extend(codec.flits(Header(destination=target), payload))
            others_sent[target] += 1
    counted = 0

    async def count():
        nonlocal counted
        while True:
            await RisingEdge(dut.clk)
            counted += int(dut.misrouted.value).bit_count()

    cocotb.start_soon(count())

    def delivered():
        wanted = sum(map(len, expected.values()))
        wanted_answers = sum(map(len, refused)) + PACKETS * PORTS
        return (
            all(source.idle for source in (*sources, *others))
            and sum(_heads(codec, sink) for sink in sinks) >= wanted
            and sum(_heads(codec, sink) for sink in answers) >= wanted_answers
        )

    await wait_until(dut, delivered, "every packet", 20_000)
    for _ in range(500):
        await RisingEdge(dut.clk)
    assert counted == misrouted > 0
    assert sum(map(len, refused)) > 0
    for o, sink in enumerate(sinks):
        packets = codec.packets(sink.received)
        for i in range(PORTS):
            found = [(h.tag, payload) for h, payload in packets if h.source == i]
            assert found == expected[i, o], f"input {i} to output {o}"
    for i, sink in enumerate(answers):
        packets = codec.packets(sink.received)
        own = [header for header, _ in packets if header.status]
        assert own == refused[i]
        assert len(packets) - len(own) == others_sent[i]


def _heads(codec, sink):
    """Packets begun at an output, counted cheaply: bit `first` of each flit."""
    first = codec.layout["first"].offset
    return sum(word >> first & 1 for word in sink.received)


@pytest.mark.parametrize("component", [WRITES, REGISTERED_WRITES], ids=["direct", "registered"])
def test_an_unread_refusal_blocks_only_its_input(component):
    """Answers to input 0 are not taken: its requests wait, all others are delivered or refused."""
    simulate(component, module=__name__, case="check_blocked", seed=1)


@cocotb.test()
async def check_blocked(dut):
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    sources = [Source(dut, f"i__{i}", "none", rng) for i in range(PORTS)]
    others = [Source(dut, f"responses_i__{i}", "none", rng) for i in range(PORTS)]
    sinks = [Sink(dut, f"o__{i}", "none", rng) for i in range(PORTS)]
    answers = [None] + [Sink(dut, f"responses_o__{i}", "none", rng) for i in range(1, PORTS)]
    dut.responses_o__0__ready.value = 0
    dut.alive.value = (1 << PORTS) - 1
    await start_clock(dut)
    absent = Header(destination=PORTS, acknowledge=1)
    for i, source in enumerate(sources):
        for _ in range(PACKETS):
            source.queue.extend(codec.flits(absent, bytes(16)))
            source.queue.extend(codec.flits(Header(destination=(i + 1) % PORTS), bytes(16)))
        others[i].queue.extend(codec.flits(Header(destination=1 + i % (PORTS - 1))) * PACKETS)

    def delivered():
        return all(source.idle for source in sources[1:] + others) and all(
            _heads(codec, answers[i]) >= PACKETS for i in range(1, PORTS)
        )

    await wait_until(dut, delivered, "everything that does not come from input 0", 5000)
    for _ in range(100):
        await RisingEdge(dut.clk)
    assert not sources[0].idle
    assert [_heads(codec, sink) for sink in sinks[2:] + sinks[:1]] == [PACKETS] * (PORTS - 1)
    dut.responses_o__0__ready.value = 1
    await wait_until(dut, lambda: sources[0].idle, "the requests that waited", 5000)


@pytest.mark.parametrize("component", [WRITES, REGISTERED_WRITES], ids=["direct", "registered"])
@pytest.mark.parametrize("case", ["check_next_in_turn", "check_patience"])
def test_when_multicast_packets_begin(component, case):
    registered = component is REGISTERED_WRITES
    simulate(component, module=__name__, case=case, seed=1, registered=registered)


async def _idle_crossbar(dut):
    """Sources, and for each output the cycles at which a flit left it, none being stalled."""
    rng = random.Random(cocotb.RANDOM_SEED)
    sources = [Source(dut, f"i__{i}", "none", rng) for i in range(PORTS)]
    sinks = [Sink(dut, f"o__{i}", "none", rng) for i in range(PORTS)]
    dut.alive.value = (1 << PORTS) - 1
    left = [[] for _ in range(PORTS)]

    async def watch():
        cycle = 0
        while True:
            await RisingEdge(dut.clk)
            cycle += 1
            for o, sink in enumerate(sinks):
                if sink.stream.moves():
                    left[o].append(cycle)

    await start_clock(dut)
    cocotb.start_soon(watch())
    for _ in range(5):
        await RisingEdge(dut.clk)
    return sources, sinks, left


@cocotb.test()
async def check_next_in_turn(dut):
    """A multicast packet whose outputs are taken follows at once when they are free, after any
    number of cycles: what it waits for is its outputs alone, if no other multicast passes."""
    codec, registered = FlitCodec(CONFIG), parameters_of_test()["registered"]
    sources, _, left = await _idle_crossbar(dut)
    for rows in range(1, 9):
        already = len(left[2])
        sources[1].queue.extend(codec.flits(Header(destination=2), bytes(16 * rows)))
        await RisingEdge(dut.clk)
        sources[0].queue.extend(codec.flits(Header(multicast=1, destination=0b0100), bytes(16)))
        await wait_until(dut, lambda n=already + rows + 3: len(left[2]) == n, "both packets", 200)
        last, following = left[2][already + rows : already + rows + 2]
        # With a path to share a flit moves every third cycle, and a grant shows a cycle late.
        assert following - last <= (5 if registered else 1), f"{rows} rows before"


@cocotb.test()
async def check_patience(dut):
    """While a multicast packet is held up on its way, the next one begins after ``PATIENCE``
    cycles, however long the first has been there."""
    codec, registered = FlitCodec(CONFIG), parameters_of_test()["registered"]
    sources, sinks, left = await _idle_crossbar(dut)
    sinks[1].stop()
    sources[0].queue.extend(codec.flits(Header(multicast=1, destination=0b0110), bytes(128)))
    for _ in range(4 * PATIENCE):
        await RisingEdge(dut.clk)
    sources[3].queue.extend(codec.flits(Header(multicast=1, destination=0b0001), bytes(16)))
    waited = 0
    while not left[0]:
        await RisingEdge(dut.clk)
        waited += 1
        assert waited < 4 * PATIENCE
    assert PATIENCE < waited <= PATIENCE + (8 if registered else 5)
    assert not sources[0].idle
    sinks[1].go_on()
    await wait_until(dut, lambda: len(left[1]) == len(left[2]) == 9, "the first packet", 200)
