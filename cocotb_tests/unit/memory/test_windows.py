"""hw/memory/windows.py against models/endpoint."""

import random

import cocotb
from cocotb.triggers import Timer

from cocotb_tests.support.build import simulate
from hw.memory.windows import REQUESTER_LAYOUT, WindowCheck, window_layout
from hw.spec.config import load
from hw.spec.packet import TENANT_BITS
from hw.spec.packing import pack
from models.endpoint.endpoint import Requester, Window

CONFIG = load("tiny")


def test_window_check():
    simulate(WindowCheck(CONFIG), module=__name__, case="check_windows", seed=1)


@cocotb.test()
async def check_windows(dut):
    """Against models/endpoint: ranges at, across and beyond every border, 48-bit wrap included."""
    rng = random.Random(cocotb.RANDOM_SEED)
    allowed = 0
    for _ in range(5000):
        top = rng.choice([1 << 12, 1 << 47])
        windows = [
            Window(
                rng.randrange(top),
                rng.randrange(1 << 12),
                rng.random() < 0.5,
                rng.random() < 0.5,
                rng.getrandbits(CONFIG.system.endpoints) & rng.getrandbits(16),
                rng.getrandbits(1 << TENANT_BITS) & rng.getrandbits(16),
            )
            for _ in range(CONFIG.endpoint.windows)
        ]
        near = rng.choice(windows)
        border = rng.choice([near.base, near.base + near.bytes, 0, (1 << 48) - 8])
        address = max(0, min((1 << 48) - 1, border + rng.randrange(-70, 70)))
        length, write = rng.choice([1, 64, rng.randrange(1, 4097)]), rng.random() < 0.5
        requester = Requester(
            rng.choice([None, *range(CONFIG.system.endpoints)]), rng.randrange(1 << TENANT_BITS)
        )
        layout = window_layout(CONFIG)
        names = ("base", "read", "write", "refused_sources", "refused_tenants")
        bits = [
            pack(layout, {n: getattr(w, n) for n in names} | {"end": w.base + w.bytes})
            for w in windows
        ]
        width = layout.size
        asks = {"inc": requester.source is None, "tenant": requester.tenant}
        dut.requester.value = pack(REQUESTER_LAYOUT, asks | {"source": requester.source or 0})
        dut.windows.value = sum(word << width * index for index, word in enumerate(bits))
        dut.address.value, dut.length.value, dut.write.value = address, length, int(write)
        await Timer(1, "ns")
        expected = any(
            (w.write if write else w.read) and w.holds(address, length, requester) for w in windows
        )
        assert bool(dut.allowed.value) == expected, (windows, hex(address), length, write)
        allowed += expected
    assert 200 < allowed < 4800
