"""hw/isa/barrier.py against its golden twin, cycle by cycle."""

import random
from collections import Counter
from dataclasses import replace

import cocotb
import pytest
from cocotb.triggers import RisingEdge

from cocotb_tests.support.build import simulate
from cocotb_tests.support.streams import FlitCodec, Source, start_clock
from hw.isa.barrier import Arrival, Barrier, arrival_layout
from hw.spec.config import load
from hw.spec.packet import ROUND_BITS, ROUNDS_AHEAD, WORD_BYTES, MessageClass, Operation
from hw.spec.packing import pack, unpack
from models.isa.barrier import ROUNDS, BarrierModel, Counts

CONFIG = load("tiny", {"system.endpoints": 4, "isa.wave_controllers": 4, "isa.sync_ids": 2})
PORTS, IDS, CONTROLLERS = 4, CONFIG.isa.sync_ids, CONFIG.isa.wave_controllers
CYCLES = 2500
SEEDS = range(1, 11)
ENDS = ("passed", "failed", "refused", "ended no round")


@pytest.mark.parametrize("seed", SEEDS)
def test_barrier(seed):
    simulate(Barrier(CONFIG), module=__name__, case="check_barrier", seed=seed)


class Tenants:
    """The controllers: instructions that claim, wait, pass, fail, or are refused at once."""

    def __init__(self, dut, rng, models):
        self._dut, self._rng, self._models = dut, rng, models
        self.at = [(0, 0, set())] * CONTROLLERS
        """Barrier, round and participants of each."""
        self.outcomes = Counter()

    def _port(self, c, name):
        return getattr(self._dut, f"user__{c}__{name}")

    def drive(self, near):
        """Events of this cycle: (claims, ends), each by barrier and controller."""
        rng = self._rng
        claims, ends = [{} for _ in range(IDS)], [{} for _ in range(IDS)]
        for c in range(CONTROLLERS):
            s, number, participants = self.at[c]
            claim = end = 0
            if c in self._models[s].holders:
                met = not self._models[s].missing(c, participants)
                end = rng.random() < (0.7 if met else 0.02)
                self.outcomes["passed" if met else "failed"] += end
            else:
                s = rng.randrange(IDS)
                number = near(s)
                participants = {p for p in range(PORTS) if rng.random() < 0.7}
                self.at[c] = s, number, participants
                claim = rng.random() < 0.1
                end = not claim and rng.random() < 0.02
                self.outcomes["refused"] += end
            self._port(c, "sync_id").value, self._port(c, "round").value = s, number
            self._port(c, "participants").value = sum(1 << p for p in participants)
            self._port(c, "claim").value, self._port(c, "end").value = int(claim), int(end)
            if claim:
                claims[s][c] = number
            if end:
                ends[s][c] = number, participants
        return claims, ends

    def compare(self):
        for c, (s, _, participants) in enumerate(self.at):
            held = c in self._models[s].holders
            assert bool(self._port(c, "held").value) == held, c
            missing = self._models[s].missing(c, participants) if held else set()
            if held:
                expected = sum(1 << p for p in missing)
                assert int(self._port(c, "missing").value) == expected
            assert bool(self._port(c, "met").value) == (held and not missing)

    def compare_ended(self, expected):
        """Controllers whose instruction ended its round in the cycle before this edge."""
        for c in range(CONTROLLERS):
            assert bool(self._port(c, "ended").value) == (c in expected), c
        self.outcomes["ended no round"] += sum(
            c not in expected and bool(self._port(c, "end").value) for c in range(CONTROLLERS)
        )


@cocotb.test()
async def check_barrier(dut):
    """Arrivals in time, late, early, doubled and stray; claims and ends of four controllers,
    several in a cycle; barriers that begin anew: every cycle as the golden twin."""
    rng = random.Random(cocotb.RANDOM_SEED)
    for port in range(PORTS):
        getattr(dut, f"arrival__{port}__valid").value = 0
    for c in range(CONTROLLERS):
        for name in ("claim", "end"):
            getattr(dut, f"user__{c}__{name}").value = 0
    dut.state__begin.value = 0
    await start_clock(dut)
    counts = Counts()
    models = [BarrierModel(counts) for _ in range(IDS)]
    tenants = Tenants(dut, rng, models)
    shown, seen = Counts(), Counts()

    def near(s):
        """A round, mostly one that is open."""
        if rng.random() < 0.02:
            return rng.randrange(ROUNDS)
        ahead = rng.choice([-2, -1, 0, 0, 0, 0, 0, 1, 1, 2, 3, ROUNDS_AHEAD])
        return (models[s].current + ahead) % ROUNDS

    for _ in range(CYCLES):
        arrivals = [[] for _ in range(IDS)]
        for port in range(PORTS):
            s = rng.randrange(IDS)
            number, arrives = near(s), rng.random() < 0.15
            arrival = pack(arrival_layout(CONFIG), {"sync_id": s, "round": number})
            getattr(dut, f"arrival__{port}__payload").value = arrival
            getattr(dut, f"arrival__{port}__valid").value = int(arrives)
            if arrives:
                arrivals[s].append((port, number))
        claims, ends = tenants.drive(near)
        begins = [not models[s].holders and rng.random() < 0.003 for s in range(IDS)]
        first = rng.randrange(ROUNDS)
        dut.state__begin.value = sum(bit << s for s, bit in enumerate(begins))
        dut.state__begin_round.value = first
        await RisingEdge(dut.clk)
        tenants.compare()
        for s, model in enumerate(models):
            found = int(getattr(dut, f"state__current__{s}").value)
            assert (found, int(getattr(dut, f"state__over__{s}").value)) == model.register()
            assert int(dut.state__waited_at.value) >> s & 1 == bool(model.holders)
        for name in ("late", "doubled", "stray"):
            setattr(seen, name, getattr(seen, name) + int(getattr(dut, f"state__{name}").value))
        # What happened in a cycle is counted in the next.
        assert seen == shown
        ended: set[int] = set()
        for s, model in enumerate(models):
            begin = first if begins[s] else None
            ended |= model.step(arrivals=arrivals[s], claims=claims[s], ends=ends[s], begin=begin)
        tenants.compare_ended(ended)
        shown = Counts(counts.late, counts.doubled, counts.stray)
    outcomes = tenants.outcomes
    assert min(outcomes[name] for name in ENDS) > 8, outcomes
    assert min(counts.late, counts.doubled, counts.stray) > 40, counts


def test_arrival():
    simulate(Arrival(CONFIG), module=__name__, case="check_arrival", seed=1)


@cocotb.test()
async def check_arrival(dut):
    """Only atomic adds to a barrier that is there arrive, each once and for its round, whatever
    else the packet says; every other packet is told as stray."""
    rng, codec = random.Random(cocotb.RANDOM_SEED), FlitCodec(CONFIG)
    source = Source(dut, "i", "50%", rng)
    await start_clock(dut)
    expected, strays = [], 0
    for _ in range(300):
        operation = rng.choice([Operation.ATOMIC_ADD] * 5 + [Operation.WRITE])
        address = WORD_BYTES * rng.randrange(IDS)
        if rng.random() < 0.2:
            address = rng.choice([address + 4, WORD_BYTES * IDS, address | 1 << rng.randrange(48)])
        tag = rng.getrandbits(ROUND_BITS if rng.random() < 0.8 else 16)
        header = replace(
            codec.noise(rng),
            inc=1,
            message_class=MessageClass.WRITE_REQUEST,
            operation=operation,
            address=address,
            tag=tag,
        )
        source.queue.extend(codec.flits(header, rng.randbytes(16)))
        there = address % WORD_BYTES == 0 and address < WORD_BYTES * IDS
        if operation == Operation.ATOMIC_ADD and there and tag < ROUNDS:
            expected.append((address // WORD_BYTES, tag))
        else:
            strays += 1
    found, told = [], 0
    for _ in range(2500):
        await RisingEdge(dut.clk)
        told += int(dut.stray.value)
        if dut.o__valid.value:
            arrival = unpack(arrival_layout(CONFIG), int(dut.o__payload.value))
            found.append((arrival["sync_id"], arrival["round"]))
    assert found == expected
    assert told == strays > 20
