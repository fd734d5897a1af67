"""Bytes on the busiest link, as every command reports them, are those that the endpoints count."""

import pytest

from cocotb_tests.system.bench import open_system
from hw.spec.config import load
from hw.spec.formats import block_format
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.baselines.algorithms import BASELINES
from models.baselines.fabric import Fabric
from models.baselines.parameters import Parameters
from models.collective import collectives
from models.prediction import known_algorithms, predict
from models.wire import busiest_link_bytes
from scin.collectives.dma_plans import OPERATIONS as DMA_OPERATIONS
from scin.collectives.dma_plans import build
from scin.collectives.dma_ring import RingRunner
from scin.collectives.dma_runner import DmaRunner
from scin.collectives.runner import CollectiveRunner
from scin.collectives.tensor_runs import element_count, run_tensors
from scin.collectives.tensors import random_tensors
from scin.host.driver import Driver

SIZE = 16 << 10


@pytest.fixture(scope="module")
def runner():
    with (opened := open_system()).simulator as simulator:
        yield CollectiveRunner(opened.config, simulator, Driver(simulator, opened.config))


def counted(runner, work):
    """What ``work`` returns, and the bytes of payload on the busiest link meanwhile."""
    driver = runner.driver
    names = [
        (endpoint, name)
        for endpoint in range(runner.config.system.endpoints)
        for name in ("PAYLOAD_TRANSMITTED", "PAYLOAD_RECEIVED")
    ]
    before = [driver.read_endpoint(*item) for item in names]
    result = work()
    flits = [driver.read_endpoint(*item) - old for item, old in zip(names, before, strict=True)]
    return result, max(flits) * runner.config.fabric.flit_bytes


CASES = [
    *((operation, DataType.FP16) for operation in collectives()),
    *((operation, DataType.INT8) for operation, item in collectives().items() if not item.copies),
    *(("allreduce", kind) for kind in (DataType.MXFP8, DataType.MXFP4, DataType.NVFP4)),
]


@pytest.mark.parametrize(("operation", "data_type"), CASES, ids=lambda item: str(item).lower())
def test_collectives(runner, operation, data_type):
    endpoints = runner.config.system.endpoints
    count = element_count(runner.config, operation, SIZE, DataType.FP16)
    inputs = random_tensors(DataType.FP16, count, endpoints, seed=2)
    (measurement, _), carried = counted(
        runner,
        lambda: run_tensors(
            runner, operation, inputs, data_type, ReduceOp.SUM, synchronise=False, seed=2
        ),
    )
    assert (measurement.wrong, measurement.size_bytes) == (0, SIZE)
    # The value by which ranks agree on an exponent takes a whole flit.
    assert 0 <= carried - measurement.wire_bytes < runner.config.fabric.flit_bytes
    assert 0 < measurement.util <= 1


@pytest.mark.parametrize(
    ("operation", "variant"),
    [(name, variant) for name, (_, variants) in DMA_OPERATIONS.items() for variant in variants],
)
def test_dma(runner, operation, variant):
    engines = DmaRunner(runner.config, runner.machine, runner.driver)
    plan = build(runner.config, operation, variant, SIZE)
    measurement, carried = counted(runner, lambda: engines.run(plan))
    # Rings, signals and releases are payload as well.
    assert measurement.wire_bytes <= carried <= measurement.wire_bytes + 512
    assert 0 < measurement.util <= 1


def test_dma_ring(runner):
    ring = RingRunner(DmaRunner(runner.config, runner.machine, runner.driver))
    inputs = random_tensors(DataType.FP16, SIZE // 2, runner.config.system.endpoints, seed=3)
    measurement, carried = counted(
        runner, lambda: ring.run(inputs, DataType.FP16, ReduceOp.SUM, seed=3)
    )
    assert measurement.wire_bytes <= carried <= measurement.wire_bytes + 512


@pytest.mark.parametrize("algorithm", known_algorithms())
@pytest.mark.parametrize("preset", ["dgx8", "fpga4"])
def test_never_more_than_the_link(algorithm, preset):
    config = load(preset)
    rate = config.link.gigabytes_per_second * 1e9 * config.system.switches
    for size in (2, 1 << 10, 1 << 20, 1 << 30):
        item = predict(config, algorithm, size, Parameters())
        assert 0 < item.wire_bytes / item.seconds <= rate, size


def test_by_hand():
    """Four accelerators, 1 MiB."""
    size = 1 << 20
    int8 = block_format(load("fpga4"), DataType.INT8)
    for operation, algorithm, expected in (
        ("allreduce", "scin", size),
        ("allgather", "scin", size),
        ("allgather", "dma", 3 * size // 4),
        ("alltoall", "dma", 3 * size // 4),
        ("p2p", "dma", size),
    ):
        assert busiest_link_bytes(operation, algorithm, 4, size) == expected, algorithm
    assert busiest_link_bytes("alltoall", "dma", 4, size, switched=False) == size // 4
    fabric, given = Fabric.of(load("fpga4")), Parameters()
    for name, expected in (
        ("ring", 6 * size // 4),
        ("oneshot", 3 * size),
        ("twoshot", 6 * size // 4),
        ("direct", 6 * size // 4),
        ("nvls", 5 * size // 4),
        ("tree", 2 * size),
    ):
        assert BASELINES[name].link_bytes(fabric, given, size) == expected, name
    narrow = busiest_link_bytes("allreduce", "scin-inq", 4, size, entry=int8)
    assert narrow == size // 2 + size // 2 // 64 * 2
