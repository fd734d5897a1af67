"""The figures of in-network quantization on preset fpga4, in exact cycles and counted flits.

Published values: "A Switch-Centric In-Network Architecture for Accelerating LLM Inference in
Shared-Memory Network", arXiv 2603.28239 (1.94 times less data with blocks of 64; nearly twice
the bandwidth and 100 instead of 20 cycles of compute latency, both simulated).
"""

import numpy as np
import pytest

from cocotb_tests.system.bench import open_system, quantized
from hw.spec.config import load
from hw.spec.formats import block_formats
from hw.spec.instruction import DataType, ReduceOp
from scin.collectives.quantized import run_quantized
from scin.collectives.runner import CollectiveRunner
from scin.collectives.tensors import random_tensors
from scin.host.driver import Driver

NIGHTLY_BLOCKS = 1_000_000


@pytest.fixture(scope="module")
def runner():
    with (opened := open_system(preset="fpga4")).simulator as simulator:
        yield CollectiveRunner(opened.config, simulator, Driver(simulator, opened.config))


def plain(runner, count):
    inputs = random_tensors(DataType.FP16, count, runner.config.system.endpoints, seed=1)
    result = runner.run("allreduce", inputs, DataType.FP16, ReduceOp.SUM, synchronise=False)
    assert (result.measurement.wrong, result.measurement.status) == (0, "OK")
    return result.measurement


def narrowed(runner, count, data_type=DataType.INT8, seed=1):
    tensors = random_tensors(DataType.FP16, count, runner.config.system.endpoints, seed=seed)
    result = run_quantized(runner, "allreduce", tensors, data_type, synchronise=False)
    assert (result.measurement.wrong, result.measurement.status) == (0, "OK")
    return result.measurement


def test_latency_beyond_fp16(runner):
    """4 KiB of INT8 elements against 4 KiB of FP16: published 80 cycles more, simulated."""
    assert narrowed(runner, 4096).cycles - plain(runner, 2048).cycles <= 64


def test_wire_bytes_of_int8(runner):
    """Both directions, by the counters of the endpoints: 128 rows of elements and 4 of scales
    instead of 256."""
    narrow, wide = narrowed(runner, 1 << 16), plain(runner, 1 << 16)
    for direction in ("payload_flits_sent", "payload_flits_received"):
        ratio = getattr(wide, direction) / getattr(narrow, direction)
        assert ratio == pytest.approx(64 * 2 / (64 + 2), rel=1e-9), direction


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(1 << 19, id="1MiB"),
        pytest.param(1 << 23, id="16MiB", marks=pytest.mark.slow),
    ],
)
def test_equivalent_bandwidth(runner, count):
    """At 16 MiB of FP16 data; at 1 MiB start and end still cost a percent."""
    gain = plain(runner, count).cycles / narrowed(runner, count).cycles
    assert gain >= (1.90 if count == 1 << 23 else 1.88)


@pytest.mark.parametrize("entry", block_formats(load("fpga4")), ids=lambda e: e.code.name)
def test_every_format_keeps_the_link_busy(runner, entry):
    """Headers, requests and responses cost as many flits as with FP16, the scales their own;
    2 % is left for the start and the end of 1 MiB of elements."""
    count = (1 << 20) * 8 // entry.element.bits
    wire = (1 << 20) * (1 + 1 / entry.ratio) / runner.config.fabric.flit_bytes
    overhead = 1 + 4 / runner.config.rows_per_wave
    measurement = narrowed(runner, count, entry.code)
    assert measurement.cycles - measurement.agreement_cycles <= 1.03 * overhead * wire


def test_maxima_whose_scales_round_up(runner):
    """Rank maxima of 1250, 1250, 187 and 1, whose exact sum is the largest that NVFP4's scales
    reach when divided by a power of two, give numbers."""
    tensors = np.ones((4, 32), np.float16)
    tensors[:, 3] = (1250, 1250, 187, 1)
    exact = tensors.astype(np.float64).sum(axis=0)
    assert exact[3] == 2688
    result = run_quantized(runner, "allreduce", list(tensors.view(np.uint16)), DataType.NVFP4)
    assert (result.measurement.wrong, result.measurement.error["nonfinite"]) == (0, 0)
    for bits in result.outputs:
        found = bits.view(np.float16)
        assert found[3] == pytest.approx(2688, rel=0.15)
        assert found[16:] == pytest.approx(4, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("endpoints", [2, 4, 8])
@pytest.mark.parametrize("entry", block_formats(load("fpga4")), ids=lambda e: e.code.name)
def test_a_million_blocks(endpoints, entry):
    """RTL against golden model, bit for bit; operands that hurt, not only ordinary data."""
    opened = open_system(preset="fpga4", system__endpoints=endpoints)
    rng = np.random.default_rng(endpoints)
    per_run = min(1 << 15, (1 << 22) // entry.block_bytes)
    with opened.simulator:
        size = 2 * per_run * entry.block_bytes
        for _ in range(-(-NIGHTLY_BLOCKS // 15 // per_run)):
            opened.fill(rng, size)
            pair = quantized(opened.config, entry.code, per_run, 0, size // 2)
            opened.place_blocks(rng, pair)
            opened.expect(*pair)
            assert opened.run_pair(pair).status == 0
            opened.check_memories()
