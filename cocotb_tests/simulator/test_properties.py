"""What must hold for any configuration, drawn at random; seeds are in the tests' names."""

import itertools
import random

import pytest

from hw.spec.config import load
from hw.spec.formats import block_format
from hw.spec.formats.data_type import DataType
from hw.spec.registers import FEATURE_BITS
from models.baselines.algorithms import tree_load
from models.baselines.fabric import Fabric
from models.baselines.parameters import Parameters
from models.prediction import SCIN, SCIN_INQ, known_algorithms, predict
from models.simulator.collective import allreduce
from models.simulator.simulation import simulate
from models.simulator.timing import Timing
from models.simulator.work import Instruction, Traffic

SEEDS = range(1, 9)
SIZES = [1 << exponent for exponent in range(6, 25, 2)]


def random_config(rng):
    """Any preset, with other links, tables, memories and improvements."""
    preset = rng.choice(["fpga4", "tiny", "ecp5", "dgx8"])
    fields = {f"isa.{name}": rng.random() < 0.5 for name in FEATURE_BITS}
    fields["link.latency_cycles"] = rng.randrange(6, 600)
    fields["endpoint.memory_latency_cycles"] = rng.randrange(2, 100)
    # Answers in order: how they are shuffled depends on the cycle, and with it the time.
    fields["endpoint.shuffle_slots"] = 1
    return load(preset, fields)


def seconds(config, algorithm, size):
    return predict(config, algorithm, size, Parameters()).seconds


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("algorithm", known_algorithms())
def test_time_never_falls_with_size(algorithm, seed):
    config = random_config(random.Random(seed))
    times = [seconds(config, algorithm, size) for size in SIZES]
    assert all(before <= after for before, after in itertools.pairwise(times)), times


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("algorithm", known_algorithms())
def test_time_never_falls_with_latency(algorithm, seed):
    config = random_config(random.Random(seed))
    for size in (64, 1 << 14, 1 << 18):
        times = [
            seconds(
                load_changed(config, "link", latency_cycles=config.link.latency_cycles + more),
                algorithm,
                size,
            )
            for more in (0, 1, 50, 400)
        ]
        assert all(before <= after for before, after in itertools.pairwise(times)), (size, times)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("algorithm", [name for name in known_algorithms() if name != "nvls"])
def test_time_never_falls_with_accelerators(algorithm, seed):
    """But for nvls, where each loads a smaller share the more there are."""
    config = random_config(random.Random(seed))
    for size in (64, 1 << 16):
        times = [
            seconds(load_changed(config, "system", endpoints=count), algorithm, size)
            for count in (2, 3, 4, 8, 24)
        ]
        assert all(before <= after for before, after in itertools.pairwise(times)), (size, times)


def load_changed(config, section, **fields):
    tree = {
        f"{part}.{name}": value
        for part, values in config.as_dict().items()
        if isinstance(values, dict)
        for name, value in values.items()
    }
    return load(config.name, tree | {f"{section}.{name}": fields[name] for name in fields})


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("algorithm", known_algorithms())
def test_bandwidth_stays_below_its_ceiling(algorithm, seed):
    """Headers alone taken off the links; quantized, so many more elements fit."""
    config = random_config(random.Random(seed))
    rows, endpoints = Timing.of(config).packet_rows, config.system.endpoints
    raw = config.link.gigabytes_per_second * 1e9 * config.system.switches
    ceiling = raw * rows / (rows + 1)
    if algorithm == SCIN_INQ:
        entry = block_format(config, DataType.INT8)
        ceiling *= 2 * entry.block / (entry.block_bytes + entry.block_bytes / entry.ratio)
    elif algorithm in ("ring", "dma-ring", "twoshot"):
        ceiling *= endpoints / (2 * (endpoints - 1))
    elif algorithm == "oneshot":
        ceiling /= endpoints - 1
    elif algorithm == "tree":
        ceiling /= tree_load(endpoints)
    for size in (*SIZES, 1 << 32):
        assert predict(config, algorithm, size, Parameters()).algbw <= ceiling
    if algorithm not in (SCIN, SCIN_INQ):
        assert Fabric.of(config).rate() <= raw


@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_are_conserved(seed):
    """What a collective writes arrives at each of its destinations, row by row, whatever else
    uses the links, and ordinary traffic fills no more than the links have."""
    rng = random.Random(seed)
    config = random_config(rng)
    endpoints, flit = config.system.endpoints, config.fabric.flit_bytes
    everyone = (1 << endpoints) - 1
    instructions, expected = [], [0] * endpoints
    for controller in range(config.isa.wave_controllers):
        for _ in range(rng.randrange(1, 4)):
            length = flit * rng.randrange(1, 600)
            destinations = rng.randrange(1, everyone + 1)
            instructions.append(
                Instruction(
                    length,
                    controller=controller,
                    sources=rng.randrange(1, everyone + 1),
                    destinations=destinations,
                    synchronised=False,
                )
            )
            for index in range(endpoints):
                expected[index] += (length // flit) * (destinations >> index & 1)
    limit = config.fabric.max_payload_bytes
    traffic = [Traffic(i, rng.randrange(endpoints), limit) for i in range(rng.randrange(3))]
    outcome = simulate(config, instructions, traffic)
    assert outcome.isa_rows == expected
    assert sum(outcome.core_rows) <= outcome.cycles * endpoints
    assert (sum(outcome.core_rows) > 0) == (len(traffic) > 0) or outcome.cycles < 2000


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_again(seed):
    """No state is left from one simulation to the next."""
    config = load("tiny") if seed % 2 else random_config(random.Random(seed))
    items = [Instruction(40 * config.isa.wave_bytes)]
    traffic = [Traffic(0, 1, config.fabric.max_payload_bytes)]
    first = simulate(config, items, traffic, since_reset=seed)
    simulate(config, [Instruction(64)])
    assert simulate(config, items, traffic, since_reset=seed) == first


def test_the_shuffle_is_the_only_chance():
    """Elsewhere the time since reset makes no difference; on tiny it does."""
    for preset, many in (("fpga4", False), ("tiny", True)):
        config = load(preset)
        items = [Instruction(16 * config.isa.wave_bytes)]
        times = {simulate(config, items, since_reset=cycle).visible for cycle in range(20)}
        assert (len(times) > 1) == many
    assert allreduce(load("tiny"), 64).simulated
