"""hw/isa/port.py: its parts are reached through its channels, and share addresses."""

import random
from dataclasses import replace

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import PROFILES, FlitCodec, Sink, Source, start_clock, wait_until
from hw.isa.barrier import arrival_layout
from hw.isa.jobs import opening_layout, operand_layout, read_job_layout
from hw.isa.port import IsaPort
from hw.spec.config import load
from hw.spec.packet import ADDRESS_BITS, ROUND_BITS, Operation
from hw.spec.packing import pack, unpack

CONFIG = load("tiny")
PORT = 1
FLIT = CONFIG.fabric.flit_bytes
JOBS, ARRIVALS, ANSWERS = 100, 200, 200


@pytest.mark.parametrize("seed", [1, 2])
def test_port(seed):
    simulate(IsaPort(CONFIG, port=PORT), module=__name__, case="check_port", seed=seed)


@cocotb.test()
async def check_port(dut):
    """Reads go to the address their context was opened with; arrivals, and answers that nothing
    waits for, are told one by one, whatever the rest of their packets holds."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    for name in ("start", "allocate", "free", "expect", "write", "read_response"):
        getattr(dut, f"{name}__valid").value = 0
    jobs = Source(dut, "read", "10%", rng)
    requests = Sink(dut, "read_request", rng.choice(PROFILES), rng)
    arrivals, answers = (Source(dut, name, "50%", rng) for name in ("arrivals", "write_response"))
    await start_clock(dut)
    ids, strays = [], 0
    for _ in range(ARRIVALS):
        sync_id = rng.randrange(CONFIG.isa.sync_ids)
        header = replace(
            codec.noise(rng),
            operation=Operation.ATOMIC_ADD,
            address=8 * sync_id,
            tag=rng.getrandbits(ROUND_BITS),
        )
        arrivals.queue.extend(codec.flits(header, rng.randbytes(FLIT)))
        ids.append(sync_id)
    for _ in range(ANSWERS):
        answers.queue.extend(codec.flits(codec.noise(rng), rng.randbytes(FLIT * rng.randrange(2))))
    found = []

    async def watch():
        nonlocal strays
        while True:
            await RisingEdge(dut.clk)
            strays += int(dut.failures__write__valid.value)
            if dut.arrival__valid.value:
                arrival = unpack(arrival_layout(CONFIG), int(dut.arrival__payload.value))
                found.append(arrival["sync_id"])

    cocotb.start_soon(watch())
    bases = [[0, 0] for _ in range(CONFIG.contexts)]
    expected = []
    for number in range(JOBS):
        context = rng.randrange(CONFIG.contexts)
        if number < CONFIG.contexts or rng.random() < 0.3:
            context = number % CONFIG.contexts
            bases[context] = [FLIT * rng.randrange((1 << ADDRESS_BITS) // FLIT) for _ in range(2)]
            await wait_until(dut, lambda: len(requests.received) == len(expected), "the reads")
            start = {"opening": pack(opening_layout(CONFIG), {"context": context})}
            start |= dict(zip(("address", "scale_address"), bases[context], strict=True))
            dut.start__payload.value = pack(operand_layout(CONFIG), start)
            dut.start__valid.value = 1
            await RisingEdge(dut.clk)
            dut.start__valid.value = 0
        offsets = [FLIT * rng.randrange((1 << 32) // FLIT) for _ in range(2)]
        job = {"context": context, "offset": offsets[0], "length": FLIT}
        job |= {"scale_offset": offsets[1], "scale_length": rng.choice([0, FLIT])}
        jobs.queue.append(pack(read_job_layout(CONFIG), job))
        elements, scales = (
            (base + offset) % (1 << ADDRESS_BITS)
            for base, offset in zip(bases[context], offsets, strict=True)
        )
        expected.extend([scales, elements] if job["scale_length"] else [elements])
    await wait_until(dut, lambda: len(requests.received) == len(expected), "every read")
    packets = codec.packets(requests.received)
    assert [(header.address, header.source) for header, _ in packets] == [
        (address, PORT) for address in expected
    ]
    await wait_until(dut, lambda: arrivals.idle and answers.idle, "every packet to be taken")
    for _ in range(3):
        await RisingEdge(dut.clk)
    assert found == ids
    assert strays == ANSWERS
