"""The Python interface: every collective against numpy, every refusal, and warm simulators."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import scin
from hw.spec.config import load
from hw.spec.formats.data_type import DataType
from models.accuracy.quantized_allreduce import in_switch
from models.formats.registry import golden_format
from models.formats.tensor_values import nearest_bits
from models.simulator.collective import allreduce as simulated
from scin.collectives.warm import SIMULATORS, WarmSimulators
from scin.errors import CapacityError, CollectiveError, InputError
from scin.report.measurement import Measurement

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "python.md"
GOLDEN = {"config": "tiny", "backend": "golden"}
SIM = {"config": "tiny", "backend": "sim"}
FUNCTIONS = {
    "max": lambda ranks: np.max(ranks, axis=0),
    "min": lambda ranks: np.min(ranks, axis=0),
    "sum": lambda ranks: np.sum(ranks, axis=0),
    "avg": lambda ranks: np.sum(ranks, axis=0) / len(ranks),
}


def ranks_of(dtype=np.float16, shape=(4, 6), seed=3):
    """Two ranks whose sum is exact in float64."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32).astype(dtype) for _ in range(2)]


def same(found, expected):
    return (found.dtype, found.shape) == (
        expected.dtype,
        expected.shape,
    ) and found.tobytes() == expected.tobytes()


@pytest.fixture
def fresh():
    """No simulator is open before and after the test."""
    scin.close()
    yield
    scin.close()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("redop", FUNCTIONS)
def test_reductions(redop, dtype):
    """Types and shapes are those of the inputs, and the backend golden has no time."""
    ranks = ranks_of(dtype)
    whole = FUNCTIONS[redop](np.array(ranks, np.float64)).astype(dtype)
    result = scin.allreduce(ranks, redop=redop, **GOLDEN)
    assert all(same(output, whole) for output in result.outputs)
    assert (result.seconds, result.cycles, result.wrong, result.phases) == (None,) * 4
    root, other = scin.reduce(ranks, redop=redop, **GOLDEN).outputs
    assert same(root, whole)
    assert other is None
    shares = scin.reducescatter(ranks, redop=redop, **GOLDEN).outputs
    assert all(same(share, whole[2 * i : 2 * i + 2]) for i, share in enumerate(shares))


def test_shares_are_flat_where_the_first_dimension_does_not_divide():
    ranks = ranks_of(shape=(3, 2))
    shares = scin.reducescatter(ranks, **GOLDEN).outputs
    assert [share.shape for share in shares] == [(3,), (3,)]
    assert same(
        np.concatenate(shares), np.sum(ranks, axis=0, dtype=np.float64).astype("f2").ravel()
    )


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.arange(7, dtype=np.float32),
        np.arange(4, dtype=">f2"),
        np.arange(3, dtype=np.uint8)[::-1],
        np.array(2.5),
        np.arange(4).astype(ml_dtypes.bfloat16),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_copies_of_any_type(array):
    ranks = [array, np.zeros_like(array)]
    for output in scin.broadcast(ranks, **GOLDEN).outputs:
        assert same(output, np.ascontiguousarray(array).reshape(array.shape))
    for output in scin.allgather(ranks, **GOLDEN).outputs:
        assert same(output, np.stack(ranks).astype(array.dtype))


@pytest.mark.parametrize("name", ["int8", "mxint8", "mxfp8", "mxfp4", "nvfp4"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["fp16", "bf16"])
def test_quantized(name, dtype):
    ranks = ranks_of(dtype, (5, 20))
    tensor_type = DataType.FP16 if dtype == np.float16 else DataType.BF16
    golden = golden_format(load("tiny"), DataType[name.upper()])
    exact = in_switch(golden, [rank.astype(np.float64) for rank in ranks], tensor_type)
    expected = nearest_bits(exact, tensor_type).view(dtype).reshape(5, 20)
    result = scin.allreduce(ranks, dtype=name, **GOLDEN)
    assert all(same(output, expected) for output in result.outputs)
    assert result.measurement.error["sqnr_db"] > 12


def test_bits_and_strides():
    """BF16 bits are taken where they are announced; any strides and byte order are."""
    bits = [rank.view(np.uint16) for rank in ranks_of(ml_dtypes.bfloat16)]
    expected = scin.allreduce([part.view(ml_dtypes.bfloat16) for part in bits], **GOLDEN).outputs
    found = scin.allreduce(bits, dtype="bf16", **GOLDEN).outputs
    assert same(found[0], expected[0].view(np.uint16))
    ranks = ranks_of()
    whole = scin.allreduce(ranks, **GOLDEN).outputs[0]
    assert same(scin.allreduce([part.T for part in ranks], **GOLDEN).outputs[0], whole.T.copy())
    swapped = [part.astype(">f2") for part in ranks]
    assert same(scin.allreduce(swapped, **GOLDEN).outputs[0], whole)


def test_inputs_stay_as_they_are():
    ranks = ranks_of()
    before = [rank.copy() for rank in ranks]
    scin.allreduce(ranks, **GOLDEN).outputs[0][:] = 0
    assert all(same(rank, copy) for rank, copy in zip(ranks, before, strict=True))


class OnlyDlpack:
    """What shows nothing but ``__dlpack__``."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnlyArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class Broken:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("is elsewhere")


@pytest.mark.parametrize("kind", [OnlyDlpack, OnlyArray])
def test_protocols(kind):
    ranks = ranks_of()
    found = scin.allreduce([kind(rank) for rank in ranks], **GOLDEN).outputs
    assert same(found[0], scin.allreduce(ranks, **GOLDEN).outputs[0])


class Tensor:
    """As much of a tensor of torch as is asked for; torch itself is not installed."""

    def __init__(self, array, dtype, device="cpu"):
        self.array, self.dtype, self.device = array, dtype, SimpleNamespace(type=device)

    def detach(self):
        return self

    def contiguous(self):
        return Tensor(np.ascontiguousarray(self.array), self.dtype)

    def view(self, dtype):
        return Tensor(self.array, dtype)

    def numpy(self):
        if self.dtype == "bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


@pytest.fixture
def torch(monkeypatch):
    module = ModuleType("torch")
    module.Tensor, module.bfloat16, module.int16 = Tensor, "bfloat16", "int16"
    module.from_numpy = lambda array: Tensor(array, array.dtype.name)
    monkeypatch.setitem(sys.modules, "torch", module)


@pytest.mark.usefixtures("torch")
def test_tensors_in_and_out():
    for dtype, name in ((np.float16, "float16"), (ml_dtypes.bfloat16, "bfloat16")):
        ranks = ranks_of(dtype)
        held = [rank.view(np.int16) if name == "bfloat16" else rank for rank in ranks]
        outputs = scin.allreduce([Tensor(part, name) for part in held], **GOLDEN).outputs
        expected = scin.allreduce(ranks, **GOLDEN).outputs[0]
        assert [(type(item), item.dtype) for item in outputs] == [(Tensor, name)] * 2
        assert same(outputs[1].array.view(dtype), expected)
    elsewhere = [Tensor(np.zeros(4, np.float16), "float16", "cuda")] * 2
    with pytest.raises(InputError, match=r"inputs\[0\]: is on device .*must be on cpu"):
        scin.allreduce(elsewhere, **GOLDEN)


def test_with_torch_itself():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float16, torch.bfloat16):
        ranks = [torch.arange(12).reshape(3, 4).to(dtype).T, torch.ones(4, 3, dtype=dtype)]
        for output in scin.allreduce(ranks, **GOLDEN).outputs:
            assert output.dtype == dtype
            assert torch.equal(output, ranks[0] + ranks[1])
    ranks = [torch.arange(3), torch.zeros(3, dtype=torch.int64)]
    assert torch.equal(scin.allgather(ranks, **GOLDEN).outputs[1], torch.stack(ranks))


def test_sim():
    """Time and phases, which fill it; no outputs."""
    for redop in ("sum", "avg"):
        result = scin.allreduce(ranks_of(), redop=redop, **SIM)
        assert (result.outputs, result.wrong) == (None, None)
        assert result.seconds == result.cycles / 100e6
        assert sum(phase.cycles for phase in result.phases) == result.cycles
    assert scin.allreduce(ranks_of(), config="tiny", backend="sim").cycles == (
        simulated(load("tiny"), 48).cycles
    )
    quantized = scin.allreduce(ranks_of(), dtype="nvfp4", **SIM)
    assert quantized.phases is None
    assert quantized.measurement.agreement_cycles > 0


def test_overrides():
    slow = {"link.latency_cycles": 100}
    ranks = ranks_of()
    assert scin.allreduce(ranks, overrides=slow, **SIM).cycles > scin.allreduce(ranks, **SIM).cycles


@pytest.mark.usefixtures("fresh")
def test_rtl():
    """Equal to the golden model, and on a simulator that stays open."""
    ranks = ranks_of()
    result = scin.allreduce(ranks, config="tiny")
    expected = scin.allreduce(ranks, **GOLDEN).outputs
    assert all(same(a, b) for a, b in zip(result.outputs, expected, strict=True))
    assert (result.wrong, result.seconds) == (0, result.cycles / 100e6)
    assert sum(phase.cycles for phase in result.phases) == result.cycles
    first = opened()
    unsynchronised = scin.allreduce(ranks, config="tiny", synchronise=False)
    assert 0 < unsynchronised.cycles < result.cycles
    assert unsynchronised.phases is None
    assert scin.allgather(ranks, config="tiny").phases is None
    assert scin.allreduce(ranks, config="tiny", dtype="int8").wrong == 0
    assert opened() == first
    assert len(first) == 1
    scin.close()
    assert opened() == []
    assert first[0].memory == []
    assert scin.allreduce(ranks, config="tiny").wrong == 0
    assert opened() != first


@pytest.mark.usefixtures("fresh")
def test_hardware_that_fails():
    """An error of the hardware is raised, and its simulator is closed."""
    impatient = {"isa.timeout_cycles": 16}
    with pytest.raises(CollectiveError, match="allreduce: the hardware answers TIMEOUT"):
        scin.allreduce(ranks_of(), config="tiny", overrides=impatient)
    assert opened() == []


def opened():
    return [simulator for simulator, _ in SIMULATORS._open.values()]


class Machine:
    """In place of a simulator."""

    def __init__(self, config, report):
        self.config, self.closed = config, False

    def close(self):
        self.closed = True


@pytest.fixture
def warm(monkeypatch):
    monkeypatch.setattr("scin.collectives.warm.Simulator", Machine)
    monkeypatch.setattr("scin.collectives.warm.Driver", lambda *given: None)
    monkeypatch.setattr(
        "scin.collectives.warm.CollectiveRunner", lambda config, machine, driver: machine
    )
    return WarmSimulators(limit=2)


def ending(status="OK", wrong=0):
    """A collective that keeps the machines on which it ran, and ends like this."""
    seen = []

    def collective(machine):
        seen.append(machine)
        return Measurement(
            op="allreduce", algo="scin", endpoints=2, size_bytes=2, sync_included=True, count=1,
            wire_format="fp16", status=status, wrong=wrong,
        ), []  # fmt: skip

    return seen, collective


def test_a_simulator_is_used_again(warm):
    seen, collective = ending()
    for _ in range(3):
        warm.run(load("tiny"), collective)
    assert len(set(map(id, seen))) == 1
    warm.close()
    assert seen[0].closed
    warm.run(load("tiny"), collective)
    assert not seen[-1].closed


@pytest.mark.parametrize("end", [{"status": "TIMEOUT"}, {"wrong": 1}], ids=["failed", "wrong"])
def test_a_simulator_in_doubt_is_not(warm, end):
    seen, collective = ending(**end)
    warm.run(load("tiny"), collective)
    assert seen[0].closed
    warm.run(load("tiny"), collective)
    assert seen[1] is not seen[0]


def test_nor_is_one_that_was_interrupted(warm):
    seen = []

    def interrupted(machine):
        seen.append(machine)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warm.run(load("tiny"), interrupted)
    assert seen[0].closed


def test_the_longest_unused_is_closed(warm):
    seen, collective = ending()
    configs = [load("tiny", {"link.latency_cycles": cycles}) for cycles in (8, 9, 10)]
    for index in (0, 1, 0, 2):
        warm.run(configs[index], collective)
    assert [machine.closed for machine in seen] == [False, True, False, False]


def test_predict():
    names = ["scin", "scin-inq", "ring"]
    found = scin.predict("allreduce", bytes=4096, algo=names, config="tiny", inq_format="nvfp4")
    assert list(found) == names
    assert found["scin"].cycles == simulated(load("tiny"), 4096).cycles
    assert found["scin-inq"].wire == DataType.NVFP4
    slower = scin.predict(
        "allreduce", bytes=4096, algo="ring", config="tiny", parameters={"every_us": 3}
    )
    assert slower["ring"].seconds == pytest.approx(found["ring"].seconds + 3e-6)


HALVES = [np.ones(4, np.float16)] * 2
REFUSED = {
    "inputs: are 1 arrays: must be 2": (HALVES[:1], {}),
    "inputs: is of type int: must be a list of arrays": (3, {}),
    "inputs[0]: is of type list: must be an array": ([[1.0], [2.0]], {}),
    "inputs[0]: type float32: must be float16 for dtype fp16; pass array.astype": (
        [np.ones(4, np.float32)] * 2, {}),
    "inputs[0]: type int32: must be float16": ([np.ones(4, np.int32)] * 2, {}),
    "inputs[0]: type uint16: must be float16 for dtype fp16; uint16 is taken for BF16": (
        [np.ones(4, np.uint16)] * 2, {}),
    "inputs[1]: type bfloat16: must be float16 for dtype fp16; bfloat16 is taken for BF16": (
        [HALVES[0], HALVES[0].astype(ml_dtypes.bfloat16)], {}),
    "inputs[1]: type bfloat16: must equal float16 of inputs[0]": (
        [HALVES[0], HALVES[0].astype(ml_dtypes.bfloat16)], {"dtype": "int8"}),
    "inputs[1]: shape (2, 2): must equal (4,) of inputs[0]": (
        [HALVES[0], HALVES[1].reshape(2, 2)], {}),
    "inputs[0]: is empty": ([np.ones(0, np.float16)] * 2, {}),
    "inputs[0]: type object: must be plain values": ([np.array([None])] * 2, {}),
    "inputs[0]: a masked array": ([np.ma.masked_array(HALVES[0], [1, 0, 0, 0])] * 2, {}),
    "Broken gives no array: is elsewhere": ([Broken()] * 2, {}),
    "backend 'gpu': must be one of rtl, golden, sim": (HALVES, {"backend": "gpu"}),
    "backend 3: must be a name": (HALVES, {"backend": 3}),
    "synchronise 1: must be True or False": (HALVES, {"synchronise": 1}),
    "backend sim: only allreduce, with synchronisation": (
        HALVES, {"backend": "sim", "synchronise": False}),
    "redop 'prod': must be one of sum, max, min, avg": (HALVES, {"redop": "prod"}),
    "redop None: must be a name": (HALVES, {"redop": None}),
    "redop max with dtype nvfp4: must be sum": (HALVES, {"redop": "max", "dtype": "nvfp4"}),
    "redop avg: isa.average = false": (
        HALVES, {"redop": "avg", "overrides": {"isa.average": False}}),
    "dtype 'fp32': must be one of": (HALVES, {"dtype": "fp32"}),
    "dtype <class 'numpy.float16'>: must be a name": (HALVES, {"dtype": np.float16}),
    "dtype nvfp4: not among isa.block_formats": (
        HALVES, {"dtype": "nvfp4", "overrides": {"isa.block_formats": ["int8"]}}),
    "operation 'allreduce' with dtype bytes": (HALVES, {"dtype": "bytes"}),
    "config: configuration 'fpga5': no such preset": (HALVES, {"config": "fpga5"}),
    "config 4: must be a preset's name": (HALVES, {"config": 4}),
    "config: system.switches = 4: RTL is built for 1": (
        HALVES, {"config": "dgx8", "backend": "rtl"}),
    "config: system.endpoints = 72: the backend golden takes at most 16": (
        HALVES, {"overrides": {"system.endpoints": 72}}),
    "overrides: isa.wave: unknown field": (HALVES, {"overrides": {"isa.wave": 1}}),
    "overrides: link.latency_cycles = 1: must be at least": (
        HALVES, {"overrides": {"link.latency_cycles": 1}}),
    "overrides 'isa': must be a mapping": (HALVES, {"overrides": "isa"}),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message, monkeypatch):
    """Before anything runs, with the argument's name."""
    monkeypatch.setattr("scin.api.run_tensors", None)
    inputs, options = REFUSED[message]
    with pytest.raises(InputError) as caught:
        scin.allreduce(inputs, **GOLDEN | options)
    assert message in str(caught.value).removeprefix("config, ")


def test_refused_of_others():
    with pytest.raises(InputError, match=r"inputs: size 6: must be a positive multiple of 4 B"):
        scin.reducescatter([np.ones(3, np.float16)] * 2, **GOLDEN)
    with pytest.raises(InputError, match="backend sim: only allreduce"):
        scin.broadcast(HALVES, **SIM)
    with pytest.raises(InputError, match="operation 'allgather' with dtype int8"):
        scin.allgather(HALVES, dtype="int8", **GOLDEN)
    with pytest.raises(CapacityError, match=r"inputs: size = 1048576: must be at most 1044480"):
        scin.broadcast([np.zeros(1 << 20, np.uint8)] * 2, **GOLDEN)


PREDICTIONS = {
    "operation 'broadcast': supported here is allreduce": {"operation": "broadcast"},
    "bytes '1K': must be a whole number": {"bytes": "1K"},
    "bytes: size 3: must be a positive multiple of 2 B": {"bytes": 3},
    f"bytes {1 << 60}: must be less than": {"bytes": 1 << 60},
    "algo 'rings': must be among scin": {"algo": "rings"},
    "algo []: must name at least one": {"algo": []},
    "algo 3: must be a name": {"algo": 3},
    "dtype nvfp4: must be fp16 or bf16": {"dtype": "nvfp4"},
    "inq_format: inq-format fp16: must be a block-scaled": {"inq_format": "fp16"},
    "redop max with algo scin-inq: must be sum": {"redop": "max", "algo": ["scin-inq"]},
    "parameters: every_us = 'x': must be a number": {"parameters": {"every_us": "x"}},
    "parameters: fence: does nothing here": {"parameters": {"fence": "none"}},
    "parameters 5: must be a mapping": {"parameters": 5},
}


@pytest.mark.parametrize("message", PREDICTIONS)
def test_refused_predictions(message, monkeypatch):
    monkeypatch.setattr("scin.api.predict_one", None)
    with pytest.raises(InputError) as caught:
        scin.predict(**{"operation": "allreduce", "bytes": 4096} | PREDICTIONS[message])
    assert message in str(caught.value)


def test_the_package_loads_little_and_shows_what_is_public():
    program = (
        "import sys, scin\n"
        "assert 'numpy' not in sys.modules and 'scin.api' not in sys.modules\n"
        "assert set(scin.__all__) <= set(dir(scin)) and not hasattr(scin, 'run')\n"
        "assert all(getattr(scin, name) for name in scin.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)


def test_the_page_runs():
    """Its blocks, one after the other, as a reader runs them."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)
    assert len(blocks) > 3
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
