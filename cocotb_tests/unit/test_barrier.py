"""hw/isa/barrier.py against sets of who has arrived."""

import random

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import FlitCodec, Source, start_clock
from hw.isa.barrier import Arrival, Barrier
from hw.spec.config import load
from hw.spec.packet import MessageClass, Operation

CONFIG = load("tiny", {"system.endpoints": 4})
PORTS, IDS, CONTROLLERS = 4, CONFIG.isa.sync_ids, CONFIG.isa.wave_controllers


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_barrier(seed):
    simulate(Barrier(CONFIG), module=__name__, case="check_barrier", seed=seed)


@cocotb.test()
async def check_barrier(dut):
    """Random arrivals (also repeated ones), queries and takes, every cycle."""
    rng = random.Random(cocotb.RANDOM_SEED)
    for port in range(PORTS):
        getattr(dut, f"arrived__{port}").value = 0
    for c in range(CONTROLLERS):
        getattr(dut, f"take__{c}").value = 0
    await start_clock(dut)
    present = [set() for _ in range(IDS)]
    met = 0
    for _ in range(4000):
        arrivals = []
        for port in range(PORTS):
            arrives, sync_id = rng.random() < 0.2, rng.randrange(IDS)
            getattr(dut, f"arrived__{port}").value = int(arrives)
            getattr(dut, f"sync_id__{port}").value = sync_id
            if arrives:
                arrivals.append((sync_id, port))
        # Two controllers never wait at one barrier for the same endpoints.
        queries = rng.sample(range(IDS), CONTROLLERS)
        takes = []
        for c, sync_id in enumerate(queries):
            participants = rng.randrange(1, 1 << PORTS)
            getattr(dut, f"query__{c}").value = sync_id
            getattr(dut, f"participants__{c}").value = participants
            members = {port for port in range(PORTS) if participants >> port & 1}
            take = members <= present[sync_id] and rng.random() < 0.7
            getattr(dut, f"take__{c}").value = int(take)
            takes.append((sync_id, members, take))
        await RisingEdge(dut.clk)
        for c, (sync_id, members, take) in enumerate(takes):
            missing = sum(1 << port for port in members - present[sync_id])
            assert int(getattr(dut, f"missing__{c}").value) == missing
            assert int(getattr(dut, f"met__{c}").value) == (missing == 0)
            met += missing == 0
            if take:
                present[sync_id] -= members
        for sync_id, port in arrivals:
            present[sync_id].add(port)
    assert met > 100, "hardly any barrier was ever met"


def test_arrival():
    simulate(Arrival(CONFIG), module=__name__, case="check_arrival", seed=1)


@cocotb.test()
async def check_arrival(dut):
    """Only atomic adds to an existing barrier count, each once, whatever else the packet says."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    source = Source(dut, "i", "50%", rng)
    await start_clock(dut)
    expected = []
    for _ in range(200):
        operation = rng.choice([Operation.ATOMIC_ADD, Operation.ATOMIC_ADD, Operation.WRITE])
        sync_id = rng.randrange(2 * IDS)
        header = codec.noise(rng) | {
            "inc": 1,
            "message_class": MessageClass.WRITE_REQUEST,
            "operation": operation,
            "address": 8 * sync_id,
        }
        source.queue.extend(codec.flits(header, rng.randbytes(16)))
        if operation == Operation.ATOMIC_ADD and sync_id < IDS:
            expected.append(sync_id)
    found = []
    for _ in range(1500):
        await RisingEdge(dut.clk)
        if dut.arrived.value:
            found.append(int(dut.sync_id.value))
    assert found == expected
