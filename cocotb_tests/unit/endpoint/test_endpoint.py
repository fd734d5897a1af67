"""hw/endpoint against models/endpoint, with cocotbext-axi's memory at its AXI4 port."""

import itertools
import logging
import random
from dataclasses import replace

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiRam

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import (
    PROFILES,
    FlitCodec,
    Sink,
    Source,
    start_clock,
    wait_until,
)
from hw.endpoint.endpoint import Endpoint
from hw.spec.config import load
from hw.spec.packet import TO_ENDPOINT, TO_SWITCH, Channel, Header, MessageClass, Operation
from hw.spec.registers import ENDPOINT
from hw.spec.status import Status
from models.endpoint.endpoint import EndpointModel, Window

MEMORY = 1 << 16
WINDOWS = [Window(0, 32768, write=False), Window(16384, 32768)]
REQUESTS = 60
CONFIG = load("tiny", {"endpoint.memory_bytes": MEMORY})
STRAY = {
    Channel.CORE_READ_RESPONSE: MessageClass.READ_RESPONSE,
    Channel.CORE_WRITE_RESPONSE: MessageClass.WRITE_RESPONSE,
}

UNKNOWN = {
    (MessageClass.READ_REQUEST, Operation.READ): Operation.WRITE,
    (MessageClass.WRITE_REQUEST, Operation.WRITE): Operation.READ,
}
"""An operation that requests of a class have, and one that they may not have."""


@pytest.mark.parametrize("pause_out", PROFILES)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_endpoint(pause_out, seed):
    """Random reads, writes, flags from both queue sets; memory and answers as the model's."""
    simulate(
        Endpoint(CONFIG, identity=1),
        module=__name__,
        case="check_against_model",
        seed=seed,
        pause_out=pause_out,
    )


async def write_register(dut, name, value, index=0):
    dut.bus__address.value = ENDPOINT[name].address(index)
    dut.bus__write_data.value = value
    dut.bus__write.value = 1
    await RisingEdge(dut.clk)
    dut.bus__write.value = 0


async def open_windows(dut):
    for number, window in enumerate(WINDOWS):
        flags = window.read << 30 | window.write << 31
        for word, value in enumerate((window.base, 0, window.bytes, flags)):
            await write_register(dut, "WINDOW", value, 4 * number + word)


def pause_axi(ram, rng):
    for channel in (
        ram.write_if.aw_channel,
        ram.write_if.w_channel,
        ram.write_if.b_channel,
        ram.read_if.ar_channel,
        ram.read_if.r_channel,
    ):
        channel.set_pause_generator(itertools.cycle(rng.choices([0, 1], k=101)))


def random_request(rng, queue_set, tag):
    """The two sets keep to memory of their own, since their order is not defined."""
    half = 8192 * queue_set
    kind = rng.choice(["read", "write", "write", "notify"] if queue_set else ["read", "write"])
    base = rng.choice([0, 16384, 32768, 49152]) + half
    address = base + 16 * rng.randrange(0, 480)
    length = rng.randrange(1, 129)
    if rng.random() < 0.5:
        address += rng.randrange(1, 16)
    request = Header(inc=queue_set, source=3, tag=tag, address=address, length=length)
    if kind == "read":
        length = rng.choice([16, 128, 300, 1024, rng.randrange(1, 600)] * 4 + [0])
        operation = Operation.READ
        if rng.random() < 0.1:
            operation = rng.choice([Operation.WRITE, Operation.WRITE_NOTIFY])
        message_class = MessageClass.READ_REQUEST
        return replace(
            request, message_class=message_class, operation=operation, length=length
        ), b""
    request = replace(request, message_class=MessageClass.WRITE_REQUEST)
    if kind == "write":
        operation = rng.choice([Operation.WRITE] * 8 + [Operation.READ])
        request = replace(request, operation=operation, acknowledge=1)
        if rng.random() < 0.2:
            address &= ~7 if rng.random() < 0.8 else ~0
            request = replace(request, operation=Operation.ATOMIC_ADD, length=8, address=address)
            return request, rng.randbytes(8)
        return request, rng.randbytes(length)
    address = base + 8 * rng.randrange(0, 900)
    status = rng.choice([Status.OK, Status.TIMEOUT])
    notify = {"operation": Operation.WRITE_NOTIFY, "address": address, "length": 0}
    return replace(request, status=status, **notify), b""


@cocotb.test()
async def check_against_model(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    logging.getLogger("cocotb.dut").setLevel(logging.WARNING)
    codec, pause_out = FlitCodec(CONFIG), parameters_of_test()["pause_out"]
    dut.bus__write.value = 0
    dut.counts.value = dut.link_events.value = dut.peer_dead.value = 0
    into = {
        c: Source(dut, f"from_switch__{i}", rng.choice(PROFILES), rng)
        for i, c in enumerate(TO_ENDPOINT)
    }
    out = {c: Sink(dut, f"to_switch__{i}", pause_out, rng) for i, c in enumerate(TO_SWITCH)}
    await start_clock(dut)
    ram = AxiRam(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=MEMORY)
    pause_axi(ram, rng)
    model = EndpointModel(
        CONFIG, np.frombuffer(rng.randbytes(MEMORY), dtype=np.uint8).copy(), WINDOWS
    )
    ram.write(0, model.memory.tobytes())
    await open_windows(dut)
    # Answers that nothing waits for, whatever they hold: neither engine nor memory minds.
    for channel, kind in STRAY.items():
        for _ in range(REQUESTS):
            header = replace(codec.noise(rng), message_class=kind, inc=0)
            into[channel].queue.extend(codec.flits(header, rng.randbytes(16 * rng.randrange(3))))

    for queue_set in (0, 1):
        name = "ISA" if queue_set else "CORE"
        # Reads and writes of a set are not ordered either: all writes first.
        requests = [random_request(rng, queue_set, tag) for tag in range(REQUESTS)]
        for (kind, known), unknown in UNKNOWN.items():
            place = next(
                place
                for place, (request, _) in enumerate(requests)
                if (request.message_class, request.operation) == (kind, known)
            )
            request, payload = requests[place]
            requests[place] = (replace(request, operation=unknown), payload)
        requests.sort(key=lambda item: item[0].message_class == MessageClass.READ_REQUEST)
        expected = {"READ_RESPONSE": [], "WRITE_RESPONSE": []}
        for request, payload in requests:
            kind = "READ" if request.message_class == MessageClass.READ_REQUEST else "WRITE"
            expected[f"{kind}_RESPONSE"] += model.answer(request, payload)
        writes = [r for r in requests if r[0].message_class == MessageClass.WRITE_REQUEST]
        reads = [r for r in requests if r[0].message_class == MessageClass.READ_REQUEST]
        for kind, batch in (("WRITE", writes), ("READ", reads)):
            for request, payload in batch:
                placed = payload
                if request.operation != Operation.ATOMIC_ADD:
                    placed = bytes(request.address % 16 * bool(payload)) + payload
                into[Channel[f"{name}_{kind}_REQUEST"]].queue.extend(codec.flits(request, placed))
            answers = expected[f"{kind}_RESPONSE"]
            assert any(answer.header.status == Status.BAD_OPERATION for answer in answers)
            starts = {request.tag: request.address % 16 for request, _ in batch}
            sink = out[Channel[f"{name}_{kind}_RESPONSE"]]
            flits = sum(1 + payload_flits(answer.header, starts) for answer in answers)
            await wait_until(
                dut, lambda s=sink, n=flits: len(s.received) >= n, f"{name} {kind} answers"
            )
            for _ in range(400):
                await RisingEdge(dut.clk)
            compare(codec.packets(sink.received), answers, starts)
    assert all(into[channel].idle for channel in STRAY)
    found = np.frombuffer(ram.read(0, MEMORY), dtype=np.uint8)
    wrong = np.flatnonzero(found != model.memory)
    assert wrong.size == 0, (
        f"{wrong.size} bytes of memory wrong, first at {wrong[0]:#x}: "
        f"{found[wrong[0]]:#x}, must be {model.memory[wrong[0]]:#x}"
    )


def test_flag_waits_for_the_data():
    """Write responses of the memory come late: the flag is not even asked for before them."""
    simulate(Endpoint(CONFIG, identity=1), module=__name__, case="check_flag_order", seed=1)


@cocotb.test()
async def check_flag_order(dut):
    logging.getLogger("cocotb.dut").setLevel(logging.WARNING)
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    dut.bus__write.value = 0
    dut.counts.value = dut.link_events.value = dut.peer_dead.value = 0
    for index in range(len(TO_ENDPOINT)):
        getattr(dut, f"from_switch__{index}__valid").value = 0
    channel = TO_ENDPOINT.index(Channel.ISA_WRITE_REQUEST)
    source = Source(dut, f"from_switch__{channel}", "none", rng)
    for index in range(len(TO_SWITCH)):
        Sink(dut, f"to_switch__{index}", "none", rng)
    await start_clock(dut)
    ram = AxiRam(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=MEMORY)
    ram.write_if.b_channel.set_pause_generator(itertools.cycle([1] * 40 + [0]))
    await open_windows(dut)
    flag = 0x5000
    request = Header(inc=1, message_class=MessageClass.WRITE_REQUEST, source=3, tag=9)
    for number in range(4):
        place = {"address": 0x4000 + 128 * number, "length": 128}
        write = replace(request, operation=Operation.WRITE, acknowledge=1, **place)
        source.queue.extend(codec.flits(write, rng.randbytes(128)))
    notify = replace(request, operation=Operation.WRITE_NOTIFY, address=flag)
    source.queue.extend(codec.flits(notify))
    asked = answered = 0
    for _ in range(2000):
        await RisingEdge(dut.clk)
        answered += bool(dut.axi__bvalid.value) and bool(dut.axi__bready.value)
        if dut.axi__awvalid.value and dut.axi__awready.value:
            if int(dut.axi__awaddr.value) == flag:
                assert (asked, answered) == (4, 4), "the flag overtook its data"
                return
            asked += 1
    raise AssertionError("the flag was never written")


def payload_flits(answer, starts):
    """Flits of an answer whose first byte lies at its address's place in the flit."""
    if answer.length == 0:
        return 0
    return -(-((starts[answer.tag] + answer.address) % 16 + answer.length) // 16)


def compare(packets, answers, starts):
    """Equal but for order: an endpoint may answer in any. Bytes around the payload are zero, and
    its own number is the source."""
    found = []
    for header, payload in packets:
        start = (starts[header.tag] + header.address) % 16 if payload else 0
        end = start + header.length
        assert not any(payload[:start] + payload[end:]), "bytes nobody asked for"
        found.append((header.pack(), payload[start:end]))
    expected = [(replace(header, source=1).pack(), payload) for header, payload in answers]
    assert sorted(found) == sorted(expected)
