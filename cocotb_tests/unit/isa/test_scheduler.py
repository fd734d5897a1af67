"""hw/isa/scheduler.py: every row of every wave once, in order, never too early."""

import random
from collections import deque

import cocotb
import pytest
from cocotb.triggers import RisingEdge, Timer

from cocotb_tests.support.build import parameters_of_test, simulate
from cocotb_tests.support.streams import start_clock
from hw.isa.jobs import wave_layout, write_job_layout
from hw.isa.scheduler import Scheduler
from hw.spec.config import load
from hw.spec.formats import block_formats
from hw.spec.instruction import DataType, ReduceOp
from hw.spec.packing import pack, unpack
from hw.spec.timing import average_lead, lead_cycles

CYCLES_PER_ROW = (1, 8)
CONFIGS = {cycles: load("tiny", {"isa.cycles_per_row": cycles}) for cycles in CYCLES_PER_ROW}
CONFIG = CONFIGS[1]
FLIT = CONFIG.fabric.flit_bytes
PORTS, CONTROLLERS = CONFIG.system.endpoints, CONFIG.isa.wave_controllers
FORMATS = {int(entry.code): entry for entry in block_formats(CONFIG)}
WAVES = 150


@pytest.mark.parametrize("streaming", [0, 1])
@pytest.mark.parametrize(("seed", "cycles"), [(1, 1), (2, 1), (3, 8)])
def test_scheduler(seed, cycles, streaming):
    simulate(
        Scheduler(CONFIGS[cycles]),
        module=__name__,
        case="check_rows",
        seed=seed,
        cycles=cycles,
        streaming=streaming,
    )


class Wave:
    """A wave as a controller offers it, and when its rows are there."""

    def __init__(self, rng, config, controller, number):
        kind = rng.choice(["quantized", "average", "average", "sum", "sum"])
        self.quantize = int(kind == "quantized")
        self.data_type = rng.choice(list(FORMATS)) if self.quantize else int(DataType.FP16)
        self.reduce_op = int(ReduceOp.AVG if kind == "average" else ReduceOp.SUM)
        leads = {"quantized": lead_cycles(config), "average": average_lead(config), "sum": 0}
        self.lead = leads[kind]
        unit = FORMATS[self.data_type].block_bytes if self.quantize else 2
        self.length = unit * rng.randrange(1, CONFIG.isa.wave_bytes // unit + 1)
        self.sources = rng.randrange(1, 1 << PORTS)
        self.destinations = rng.randrange(1, 1 << PORTS)
        self.failed = int(rng.random() < 0.1)
        self.offset = CONFIG.isa.wave_bytes * rng.randrange((1 << 32) // CONFIG.isa.wave_bytes)
        self.entry = controller * CONFIG.waves_per_controller + number % CONFIG.waves_per_controller
        self.rows = -(-self.length // FLIT)
        self.slices = self.rows * config.isa.cycles_per_row
        self.block = 1
        if self.quantize:
            self.block = FORMATS[self.data_type].slices_per_block(config.slice_bytes)
        self.run = max(self.block, config.isa.cycles_per_row)
        ratio = FORMATS[self.data_type].ratio if self.quantize else 1
        self.scale_length = self.length // ratio if self.quantize else 0
        self.slots = -(-self.scale_length // FLIT)
        # From the moment the wave is looked at; rows come in any order.
        slowest = rng.choice([1, 1, 200])
        self.delay = [[rng.randrange(slowest) for _ in range(self.rows)] for _ in range(PORTS)]
        self.looked_at = None

    def bits(self):
        names = ("sources", "destinations", "entry", "offset", "length")
        names += ("data_type", "reduce_op", "quantize")
        fields = {name: getattr(self, name) for name in names} | {"failed": self.failed}
        return pack(wave_layout(CONFIG), fields)

    def there(self, port, row, now):
        return now - self.looked_at >= self.delay[port][min(row, self.rows - 1)]

    def complete(self, port, now):
        return now - self.looked_at >= max(self.delay[port])


@cocotb.test()
async def check_rows(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    config = CONFIGS[parameters_of_test()["cycles"]]
    dut.streaming.value = given_streaming = parameters_of_test()["streaming"]
    dut.timed_out.value = dut.job__ready.value = 0
    queues = [deque(Wave(rng, config, c, n) for n in range(WAVES)) for c in range(CONTROLLERS)]
    for c in range(CONTROLLERS):
        getattr(dut, f"wave__{c}__valid").value = 0
    await start_clock(dut)
    last_result, last_lead = -(10**6), 0
    progress = {"index": 0, "slot": 0, "started": None}
    stays = False
    seen = {"slices": 0, "slots": 0, "discarded": 0, "held up": 0, "held up by an average": 0}
    for now in range(60_000):
        for c, queue in enumerate(queues):
            getattr(dut, f"wave__{c}__valid").value = int(bool(queue))
            if queue:
                getattr(dut, f"wave__{c}__payload").value = queue[0].bits()
        room = rng.choice([0, (1 << PORTS) - 1, (1 << PORTS) - 1, rng.randrange(1 << PORTS)])
        dut.has_room.value, dut.failed.value = room, 0
        dut.job__ready.value = int(rng.random() < 0.7)
        await Timer(2, "ns")
        chosen = int(dut.controller_now.value)
        wave = None
        assert dut.busy.value or not stays, "leaves a wave although no other waits"
        if dut.busy.value:
            wave = queues[chosen.bit_length() - 1][0]
            if wave.looked_at is None:
                wave.looked_at = now
            asked = int(dut.asked.value)
            ports = range(PORTS)
            dut.available.value = sum(wave.there(p, asked, now) << p for p in ports)
            dut.complete.value = sum(wave.complete(p, now) << p for p in ports)
        await Timer(2, "ns")
        if wave is not None:
            sources = [p for p in range(PORTS) if wave.sources >> p & 1]
            roomy = room & wave.destinations == wave.destinations
            job = None
            if dut.job__valid.value and dut.job__ready.value:
                job = unpack(write_job_layout(CONFIG), int(dut.job__payload.value))
            if dut.start.value:
                index, row = int(dut.index.value), int(dut.row.value)
                assert index == progress["index"], "a slice twice, or out of order"
                assert row == index // config.isa.cycles_per_row
                assert int(dut.slices_left.value) == wave.block - 1 - index % wave.block
                if index % wave.run == 0:
                    last = (index + wave.run - 1) // config.isa.cycles_per_row
                    assert roomy, "a row without room for its result"
                    assert all(wave.there(p, last, now) for p in sources), "too early"
                    if not given_streaming and index == 0:
                        assert all(wave.complete(p, now) for p in sources), "not whole"
                else:
                    assert progress["started"] == now - 1, "a pause within a row or block"
                if index == 0:
                    assert job is not None, "rows without a job"
                    assert (job["scales"], job["more"]) == (0, wave.quantize)
                    assert (job["offset"], job["length"]) == (wave.offset, wave.length)
                assert int(dut.reserve.value) in (0, wave.destinations)
                progress |= {"index": index + 1, "started": now}
                seen["slices"] += 1
            elif dut.start_scales.value:
                assert progress["index"] == wave.slices, "scales before the last row"
                assert int(dut.slot.value) == progress["slot"]
                assert roomy
                if progress["slot"] == 0:
                    assert job is not None
                    assert (job["scales"], job["more"]) == (1, 0)
                    share = wave.offset * wave.scale_length // wave.length
                    assert (job["offset"], job["length"]) == (share, wave.scale_length)
                progress["slot"] += 1
                seen["slots"] += 1
            else:
                assert job is None, "a job without its first row"
            if dut.start.value or dut.start_scales.value:
                assert now + wave.lead > last_result, "a result overtakes"
                if wave.lead < last_lead and now + wave.lead == last_result + 1:
                    seen["held up"] += 1
                    seen["held up by an average"] += last_lead == average_lead(config)
                last_result, last_lead = now + wave.lead, wave.lead
            if dut.free__valid.value:
                assert all(wave.complete(p, now) for p in sources), "freed while rows come"
                if wave.failed:
                    assert progress["index"] == 0, "a failed wave was reduced"
                    seen["discarded"] += 1
                else:
                    assert (progress["index"], progress["slot"]) == (wave.slices, wave.slots)
                progress |= {"index": 0, "slot": 0, "started": None}
                queues[chosen.bit_length() - 1].popleft()
        # Only another controller's wave is a reason to look at one twice.
        stays = dut.busy.value and not dut.free__valid.value and sum(map(bool, queues)) == 1
        await RisingEdge(dut.clk)
        if not any(queues):
            break
    assert not any(queues), "waves are left"
    assert min(seen.values()) > 0, seen
