"""In-network quantization in the whole system: right bits, right statuses, no interference."""

from dataclasses import replace

import numpy as np
import pytest

from cocotb_tests.system.bench import AS_ON_BOARDS, collective, feature_set, open_system, quantized
from hw.spec.fault import Fault
from hw.spec.formats import block_formats
from hw.spec.instruction import DataType, ReduceOp
from hw.spec.status import Status
from models.endpoint.endpoint import Window

REGION = 16384
SCALE_REGION = REGION // 8
INSTRUCTIONS = 20
FORMATS = (DataType.INT8, DataType.MXINT8, DataType.MXFP8, DataType.MXFP4, DataType.NVFP4)
CULPRIT = 1


def switched(features: int) -> dict[str, bool]:
    return {name.replace(".", "__"): on for name, on in feature_set(features).items()}


def random_pair(rng, system, number):
    """Somewhere in region ``number`` of elements and of scales."""
    config = system.config
    endpoints, flit = config.system.endpoints, config.fabric.flit_bytes
    everyone = (1 << endpoints) - 1
    entry = block_formats(config)[int(rng.integers(len(block_formats(config))))]
    limit = REGION // 2 if rng.random() < 0.5 else 8 * entry.block_bytes
    blocks = int(rng.integers(1, limit // entry.block_bytes + 1))
    instruction, scales = quantized(config, entry.code, blocks)
    scale_base = INSTRUCTIONS * REGION + number * SCALE_REGION
    offsets = rng.integers(0, REGION // 2 // flit, endpoints) * flit
    scale_offsets = rng.integers(0, SCALE_REGION // 2 // flit, endpoints) * flit
    instruction = replace(
        instruction,
        identifier=number,
        sources=int(rng.integers(1, everyone + 1)),
        destinations=int(rng.integers(1, everyone + 1)),
        addresses=tuple(int(offset) + number * REGION for offset in offsets),
    )
    addresses = tuple(int(offset) + scale_base for offset in scale_offsets)
    return instruction, replace(scales, addresses=addresses)


ENDPOINTS = (2, 4, 8)
"""By the seed. A system of 8 takes minutes to build."""


def programs():
    for seed, built in [
        *((seed, {}) for seed in range(10)),
        (10, AS_ON_BOARDS),
        (16, AS_ON_BOARDS),
    ]:
        endpoints = ENDPOINTS[seed % len(ENDPOINTS)]
        yield pytest.param(
            seed, built, endpoints, marks=[pytest.mark.slow] if endpoints == 8 else []
        )


@pytest.mark.parametrize(("seed", "built", "endpoints"), programs())
def test_random_programs(seed, built, endpoints):
    """All formats, ordinary sums among them, two controllers, any masks and lengths, irregular
    memories; every improvement on or off."""
    rng = np.random.default_rng(seed)
    system = open_system(
        seed=seed + 1,
        jitter=int(rng.integers(0, 60)),
        stall=int(rng.integers(0, 60)),
        system__endpoints=endpoints,
        **built,
        **switched(seed * 7 + 5),
    )
    with system.simulator:
        system.fill(rng, INSTRUCTIONS * (REGION + SCALE_REGION))
        used, streams = set(), []
        for number in range(INSTRUCTIONS):
            if rng.random() < 0.3:
                length = 2 * int(rng.integers(1, REGION // 4))
                item = [collective(system.config, length, number * REGION, identifier=number)]
            else:
                item = random_pair(rng, system, number)
                used.add(item[0].data_type)
                system.place_blocks(rng, item)
            assert system.expect(*item) == Status.OK
            streams.append((number % 2, list(item)))
        for record in system.submit_all(streams):
            assert record.status == Status.OK, record
        system.check_memories()
        assert len(used) >= 3
        assert system.driver.read_switch("STRAY_RESPONSES") == 0


def opened(features=0b1111, **overrides):
    system = open_system(**{"isa__timeout_cycles": 3000} | switched(features) | overrides)
    system.fill(np.random.default_rng(features), 2 * REGION)
    return system


def assert_healthy(system):
    """Both kinds of instruction run, on both controllers, with every table entry in use."""
    rng = np.random.default_rng(5)
    system.fill(rng, 2 * REGION)
    for controller in (0, 1):
        pair = quantized(system.config, DataType.INT8, REGION // 64, 0, REGION)
        system.place_blocks(rng, pair)
        assert system.expect(*pair) == Status.OK
        assert system.run_pair(pair, controller).status == Status.OK
        instruction = collective(system.config, REGION)
        assert system.expect(instruction) == Status.OK
        assert system.run(instruction, controller).status == Status.OK
        system.check_memories()
    assert system.driver.read_switch("COMPLETIONS") == 0


BAD_PAIRS = {
    "length no block": ({"length": 96}, {"length": 3}, Status.MISALIGNED),
    "scales too short": ({}, {"length": 6}, Status.BAD_LENGTH),
    "scales too long": ({}, {"length": 256}, Status.BAD_LENGTH),
    "scales misaligned": ({}, {"addresses": (8, 8)}, Status.MISALIGNED),
    "not a sum": ({"reduce_op": ReduceOp.MAX}, {}, Status.BAD_FORMAT),
    "not block-scaled": ({"data_type": DataType.BF16}, {}, Status.BAD_FORMAT),
    "no such format": ({"data_type": 12}, {}, Status.BAD_FORMAT),
}


def test_misuse_has_a_status():
    """Hardware and golden model agree; memory is untouched, and the pair is gone as a whole."""
    with (system := opened()).simulator:
        for name, (fields, scale_fields, expected) in BAD_PAIRS.items():
            instruction, scales = quantized(system.config, DataType.INT8, 4, 0, REGION)
            pair = (replace(instruction, **fields), replace(scales, **scale_fields))
            assert system.expect(*pair) == expected, name
            record = system.run_pair(pair)
            assert record.status == expected, f"{name}: {record.status.name}"
            system.check_memories()
        assert_healthy(system)


def test_missing_scales():
    """Another instruction follows, none follows, or scales come alone."""
    with (system := opened()).simulator:
        instruction, scales = quantized(system.config, DataType.INT8, 4, 0, REGION)
        following = collective(system.config, 256, identifier=9)
        system.driver.submit(instruction)
        system.driver.submit(following)
        assert system.driver.wait_completion().status == Status.MISSING_SCALES
        record = system.driver.wait_completion()
        assert (record.identifier, record.status) == (9, Status.OK)
        assert system.expect(instruction, following) == Status.MISSING_SCALES
        assert system.expect(following) == Status.OK
        system.check_memories()

        assert system.run(instruction).status == Status.MISSING_SCALES
        assert system.expect(scales) == Status.MISSING_SCALES
        assert system.run(scales).status == Status.MISSING_SCALES
        system.check_memories()
        assert_healthy(system)


@pytest.mark.parametrize("features", [0b0000, 0b1111])
@pytest.mark.parametrize("access", ["read", "write"])
def test_scales_outside_the_window(access, features):
    """The elements are open to the fabric, the scales are not."""
    with (system := opened(features)).simulator:
        driver, memory = system.driver, system.simulator.memory[CULPRIT]
        driver.set_window(CULPRIT, 0, Window(0, REGION))
        if access == "write":
            driver.set_window(CULPRIT, 1, Window(REGION, REGION, write=False))
        else:
            driver.set_window(CULPRIT, 1, Window(0, 0))
        before = memory[REGION : 2 * REGION].copy()
        pair = quantized(system.config, DataType.INT8, 64, 0, REGION)
        record = system.run_pair(pair)
        assert (record.status, record.endpoint) == (Status.WINDOW_VIOLATION, CULPRIT)
        assert (memory[REGION : 2 * REGION] == before).all()
        driver.set_window(CULPRIT, 1, Window(0, 0))
        driver.open_whole_memory()
        assert_healthy(system)


FAULTS = {
    Fault.SILENT_READ: Status.TIMEOUT,
    Fault.SILENT_WRITE: Status.TIMEOUT,
    Fault.DUPLICATE_READ: Status.DUPLICATE_RESPONSE,
    Fault.UNKNOWN_READ: Status.UNKNOWN_TAG,
    Fault.SHORT_READ: Status.BAD_LENGTH,
}


@pytest.mark.parametrize("features", [0b0000, 0b1111])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_misbehaving_endpoint(fault, features):
    """The first request of a wave is the one for its scales: that is what goes wrong here."""
    with (system := opened(features)).simulator:
        system.driver.write_endpoint(CULPRIT, "FAULT", int(fault))
        pair = quantized(system.config, DataType.NVFP4, 128, 0, REGION)
        record = system.run_pair(pair)
        assert (record.status, record.endpoint) == (FAULTS[fault], CULPRIT), record
        assert_healthy(system)


def test_ordinary_rows_do_not_overtake_quantized_ones():
    """Two controllers keep both datapaths busy, wave by wave in turn: an ordinary row that
    starts right behind a quantized one would arrive first."""
    with (system := opened()).simulator:
        rng = np.random.default_rng(3)
        streams = []
        for number in range(2):
            half = number * REGION // 2
            blocks = REGION // 2 // 64
            pair = quantized(system.config, DataType.INT8, blocks, half, REGION + half // 8)
            system.place_blocks(rng, pair)
            plain = collective(system.config, 4096, REGION + 4096 + half // 2)
            streams += [(0, list(pair)), (1, [plain])]
        for _, item in streams:
            assert system.expect(*item) == Status.OK
        for record in system.submit_all(streams):
            assert record.status == Status.OK, record
        system.check_memories()


def test_a_host_that_reads_its_records_late():
    """As many instructions as the switch keeps records of, and a pause beyond the timeout."""
    with (system := opened(isa__timeout_cycles=500)).simulator:
        count = system.config.records
        for number in range(count):
            system.driver.submit(collective(system.config, 64, 64 * number, identifier=number))
        system.simulator.step(5000)
        for number in range(count):
            record = system.driver.wait_completion()
            assert (record.identifier, record.status) == (number, Status.OK)
