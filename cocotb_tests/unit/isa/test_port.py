"""hw/isa/port.py: its parts are reached through their channels, and share addresses."""

import random
from dataclasses import replace

import cocotb
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import PROFILES, FlitCodec, Sink, Source, start_clock, wait_until
from hw.isa.jobs import read_job_layout
from hw.isa.port import IsaPort
from hw.spec.bits import index_bits
from hw.spec.config import load
from hw.spec.packet import ADDRESS_BITS, ROUND_BITS, Operation, flit_layout
from hw.spec.packing import pack
from hw.stream.connect import connect_stream

CONFIG = load("tiny")
PORT = 1
FLIT = CONFIG.fabric.flit_bytes
JOBS, ARRIVALS, ANSWERS = 100, 200, 200


class Bench(wiring.Component):
    """The port with reads to make, and what it tells of arrivals and answers."""

    def __init__(self):
        self._port = IsaPort(CONFIG, port=PORT)
        flits = stream.Signature(flit_layout(CONFIG))
        super().__init__(
            {
                "job": In(stream.Signature(read_job_layout(CONFIG))),
                "request": Out(flits),
                "arrivals": In(flits),
                "answers": In(flits),
                "open": In(1),
                "open_context": In(index_bits(CONFIG.contexts)),
                "address": In(ADDRESS_BITS),
                "scale_address": In(ADDRESS_BITS),
                "arrived": Out(1),
                "sync_id": Out(index_bits(CONFIG.isa.sync_ids)),
                "stray": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = self._port
        connect_stream(m, self.job, port.reads.job)
        connect_stream(m, port.read_request, self.request)
        connect_stream(m, self.arrivals, port.arrivals)
        connect_stream(m, self.answers, port.write_response)
        m.d.comb += [
            port.open.eq(self.open),
            port.open_context.eq(self.open_context),
            port.address.eq(self.address),
            port.scale_address.eq(self.scale_address),
            self.arrived.eq(port.arrival.arrived),
            self.sync_id.eq(port.arrival.sync_id),
            self.stray.eq(port.tracker.error),
        ]
        return m


@pytest.mark.parametrize("seed", [1, 2])
def test_port(seed):
    simulate(Bench(), module=__name__, case="check_port", seed=seed)


@cocotb.test()
async def check_port(dut):
    """Reads go to the address their context was opened with; arrivals, and answers that nothing
    waits for, are told one by one, whatever the rest of their packets holds."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    dut.open.value = 0
    jobs = Source(dut, "job", "10%", rng)
    requests = Sink(dut, "request", rng.choice(PROFILES), rng)
    arrivals, answers = (Source(dut, name, "50%", rng) for name in ("arrivals", "answers"))
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
            strays += int(dut.stray.value)
            if dut.arrived.value:
                found.append(int(dut.sync_id.value))

    cocotb.start_soon(watch())
    bases = [[0, 0] for _ in range(CONFIG.contexts)]
    expected = []
    for number in range(JOBS):
        context = rng.randrange(CONFIG.contexts)
        if number < CONFIG.contexts or rng.random() < 0.3:
            context = number % CONFIG.contexts
            bases[context] = [FLIT * rng.randrange((1 << ADDRESS_BITS) // FLIT) for _ in range(2)]
            await wait_until(dut, lambda: len(requests.received) == len(expected), "the reads")
            dut.open.value, dut.open_context.value = 1, context
            dut.address.value, dut.scale_address.value = bases[context]
            await RisingEdge(dut.clk)
            dut.open.value = 0
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
