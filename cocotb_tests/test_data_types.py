"""Files of every type through the command line: what is read, refused, computed and written."""

import json

import ml_dtypes
import numpy as np
import pytest

from cocotb_tests.support.commands import TINY, scin
from hw.spec.config import load
from hw.spec.formats import known_block_formats
from hw.spec.formats.data_type import DataType
from models.accuracy.quantized_allreduce import in_switch
from models.formats.registry import golden_format
from models.formats.tensor_values import nearest_bits

ORDERED = (*TINY, "--set", "endpoint.shuffle_slots=1")
"""Memories that answer in order, so that equal runs take equally long."""
FORMATS = [entry.code for entry in known_block_formats(load("tiny")).values()]
names = {"ids": lambda code: DataType(code).name.lower()}


def save(folder, arrays):
    for index, array in enumerate(arrays):
        np.save(folder / f"rank{index}.npy", array)


def run(folder, operation, *options):
    """The record, and what each endpoint's file holds."""
    files = ("--input", folder / "rank*.npy", "--output", folder / "out", "--json", "-")
    result = scin("run", operation, *TINY, *files, *options)
    assert result.exit_code == 0, result.output
    paths = sorted((folder / "out").glob("endpoint*.npy"))
    return json.loads(result.stdout)["records"][0], [np.load(path) for path in paths]


@pytest.mark.parametrize("code", FORMATS, **names)
def test_bfloat16_in_and_out(tmp_path, code):
    """As values beyond FP16; as two-byte void and as bit patterns; what the golden model says."""
    rng = np.random.default_rng(4)
    name = DataType(code).name.lower()
    arrays = (1e20 * rng.standard_normal((2, 3, 40))).astype(ml_dtypes.bfloat16)
    golden = golden_format(load("tiny"), code)
    values = [array.astype(np.float64) for array in arrays]
    expected = nearest_bits(in_switch(golden, values, DataType.BF16), DataType.BF16)
    for written, held in ((arrays, "V2"), (arrays.view(np.uint16), "u2")):
        save(tmp_path, written)
        record, found = run(tmp_path, "allreduce", "--dtype", name)
        assert (record["wrong"], record["dtype"]) == (0, "bf16")
        assert record["error"]["sqnr_db"] > 12
        for array in found:
            assert (array.dtype, array.shape) == (np.dtype(held), (3, 40))
            assert (array.view(np.uint16) == expected).all()


def test_mixed_files_are_refused(tmp_path):
    np.save(tmp_path / "rank0.npy", np.ones(64, np.float16))
    np.save(tmp_path / "rank1.npy", np.ones(64, ml_dtypes.bfloat16))
    for dtype in ("int8", "nvfp4"):
        result = scin("run", "allreduce", *TINY, "--dtype", dtype, "--input", tmp_path / "*.npy")
        assert result.exit_code == 2
        assert "rank1.npy: type |V2: must equal float16 of" in result.output


def test_the_error_is_that_of_the_files(tmp_path):
    """A finite sum beyond FP16 is written as its largest number, and that is the error."""
    arrays = np.full((2, 128), 40000, np.float16)
    arrays[:, 64:] = 1
    save(tmp_path, arrays)
    for name in ("int8", "nvfp4"):
        record, found = run(tmp_path, "allreduce", "--dtype", name)
        assert (found[0][:64] == 65504).all()
        exact = arrays.astype(np.float64).sum(axis=0)
        noise = found[0].astype(np.float64) - exact
        assert record["error"]["maximum"] == np.abs(noise).max()
        assert record["error"]["rms"] == pytest.approx(np.sqrt(np.mean(noise**2)))
        assert record["error"]["nonfinite"] == 0


def test_an_infinity_spoils_its_block_and_no_error(tmp_path):
    """The rest is as good as without it; how many elements are no numbers is said."""
    rng = np.random.default_rng(6)
    arrays = rng.standard_normal((2, 256)).astype(np.float16)
    arrays[1, 70] = np.inf
    save(tmp_path, arrays)
    record, found = run(tmp_path, "allreduce", "--dtype", "nvfp4")
    assert np.flatnonzero(~np.isfinite(found[0])).tolist() == list(range(64, 80))
    assert record["error"]["nonfinite"] == 2 * 16
    assert record["error"]["sqnr_db"] > 12
    text = scin("run", "allreduce", *TINY, "--dtype", "nvfp4", "--input", tmp_path / "rank*.npy")
    assert "32 elements infinite or NaN" in text.output


@pytest.mark.parametrize("options", [(), ("--no-sync",)], ids=["", "no-sync"])
def test_the_agreement_is_counted(options):
    """NVFP4 reduces one value per rank first; its cycles are part of the total."""
    size = ("--size", "1K", "--json", "-", *options)
    records = {
        name: json.loads(scin("run", "reduce", *ORDERED, "--dtype", name, *size).stdout)["records"][
            0
        ]
        for name in ("mxfp4", "nvfp4")
    }
    assert records["mxfp4"]["agreement_cycles"] == 0
    agreement, record = records["nvfp4"]["agreement_cycles"], records["nvfp4"]
    assert 40 < agreement < record["cycles"]
    assert len(record["counters"]) == 2
    assert record["time_s"] == pytest.approx(record["cycles"] / 100e6)
    assert record["algbw_GBps"] == pytest.approx(1024 / record["time_s"] / 1e9)
    # Scales of 1 B per 16 elements instead of 32 are all that else differs.
    assert abs(record["cycles"] - agreement - records["mxfp4"]["cycles"]) < 16


def test_the_simulator_counts_the_agreement():
    """To the cycle, as everything else."""
    given = ("--algo", "scin-inq", "--inq-format", "nvfp4", "--min", "4K", "--max", "4K")
    found = []
    for backend in ("rtl", "sim"):
        result = scin("sweep", "allreduce", *ORDERED, *given, "--backend", backend, "--json", "-")
        assert result.exit_code == 0, result.output
        found.append(json.loads(result.stdout)["records"][0])
    assert found[0]["agreement_cycles"] == found[1]["agreement_cycles"] > 0
    assert found[0]["cycles"] == found[1]["cycles"]


def test_sweep_of_bfloat16():
    """The same tensors, quantized or not; INT8's FP16 scales do not span BF16."""
    given = ("--algo", "scin,scin-inq", "--dtype", "bfloat16", "--min", "4K", "--max", "4K")
    result = scin("sweep", "allreduce", *TINY, *given, "--json", "-")
    assert result.exit_code == 0, result.output
    plain, quantized = json.loads(result.stdout)["records"]
    assert (plain["dtype"], quantized["dtype"]) == ("bf16",) * 2
    assert quantized["agreement_cycles"] > 0


ANY_TYPE = (
    np.arange(7, dtype=np.int8),
    np.arange(6, dtype=np.int32).reshape(2, 3),
    np.float64(0.1) * np.arange(5),
    np.array([True, False, True]),
    np.array([1 + 2j, np.nan]),
    np.array(3, dtype=np.uint8),
    np.array([[1, 2]], dtype=">i4"),
    np.array(["a", "bc"]),
    np.array([(1, 2.0)], dtype=[("a", "u1"), ("b", "<f4")]),
    np.asfortranarray(np.arange(15, dtype=np.int64).reshape(3, 5)),
    np.array([1, 2], dtype="datetime64[s]"),
    np.arange(4).astype(ml_dtypes.bfloat16),
)


@pytest.mark.parametrize("array", ANY_TYPE, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_any_type_is_copied(tmp_path, array):
    """Broadcast and all-gather give back what they got: bits, type and shape."""
    save(tmp_path, [array, array[::-1] if array.ndim else array])
    ranks = [np.load(tmp_path / f"rank{index}.npy") for index in range(2)]
    record, found = run(tmp_path, "broadcast")
    assert (record["dtype"], record["wrong"], record["size_bytes"]) == ("bytes", 0, array.nbytes)
    assert record["algbw_GBps"] == pytest.approx(array.nbytes / record["time_s"] / 1e9)
    for copy in found:
        assert (copy.dtype, copy.shape) == (ranks[0].dtype, array.shape)
        assert copy.tobytes() == ranks[0].tobytes()
    record, found = run(tmp_path, "allgather")
    assert (record["wrong"], record["size_bytes"]) == (0, 2 * array.nbytes)
    for copy in found:
        assert (copy.dtype, copy.shape) == (ranks[0].dtype, (2, *array.shape))
        assert copy.tobytes() == b"".join(rank.tobytes() for rank in ranks)


def test_copied_float16_keeps_its_name(tmp_path):
    save(tmp_path, np.arange(10, dtype=np.float16).reshape(2, 5))
    assert run(tmp_path, "allgather")[0]["dtype"] == "fp16"
    assert run(tmp_path, "allgather", "--dtype", "bytes")[0]["dtype"] == "bytes"


def test_random_bytes(tmp_path):
    result = scin("run", "broadcast", *TINY, "--dtype", "bytes", "--size", "333", "--json", "-",
                  "--output", tmp_path)  # fmt: skip
    record = json.loads(result.stdout)["records"][0]
    assert (record["size_bytes"], record["count"], record["wrong"]) == (333, 333, 0)
    assert np.load(tmp_path / "endpoint1.npy").dtype == np.uint8


@pytest.mark.parametrize(
    ("alias", "name"),
    [("half", "fp16"), ("float16", "fp16"), ("bfloat16", "bf16"), ("int8-block", "int8")],
)
def test_aliases(alias, name):
    result = scin("run", "allreduce", *TINY, "--dtype", alias, "--size", "256", "--json", "-")
    assert result.exit_code == 0, result.output
    sent = json.loads(result.stdout)["records"][0]["wire_format"]
    assert sent.split("/")[0] == name


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_the_table_says_what_files_were_taken_for(tmp_path, dtype):
    save(tmp_path, np.zeros((2, 64), np.uint16))
    result = scin("run", "allreduce", *TINY, "--dtype", dtype, "--input", tmp_path / "rank*.npy")
    assert "uint16 files are taken for BF16 bit patterns" in result.output


def test_types_of_others_are_named():
    result = scin("run", "allreduce", *TINY, "--dtype", "int32")
    assert result.exit_code == 2
    assert "broadcast and allgather copy it as dtype bytes" in result.output


def test_the_table_says_which_int8():
    result = scin("run", "allreduce", *TINY, "--dtype", "int8", "--size", "256")
    assert "int8-block, not plain integers" in result.output


HINTS = {
    ("int8", "int8"): "plain integers are only copied",
    ("int8", "uint8"): "int8 is block-scaled: it quantizes FP16 or BF16 tensors",
    ("int8", "int32"): "must be float16 or uint16 or |V2 for dtype int8",
    ("int8-block", "int64"): "save array.astype(numpy.float16)",
    ("mxfp8", "bool"): "plain integers are only copied",
    ("fp16", "int32"): "plain integers are only copied, by broadcast and allgather without --dtype",
    ("fp16", "uint16"): "uint16 is taken for BF16: dtype bf16",
    ("bf16", "float16"): "float16 is taken for FP16: dtype fp16",
    ("bf16", "int16"): "BF16 bit patterns are read from uint16",
    ("nvfp4", "float32"): "save array.astype(numpy.float16)",
    ("fp16", "complex64"): "it is only copied, by broadcast and allgather",
}


@pytest.mark.parametrize(("dtype", "file_type"), HINTS, ids="-".join)
def test_refused_files_say_what_they_were_taken_for(tmp_path, dtype, file_type):
    save(tmp_path, np.zeros((2, 64), file_type))
    result = scin("run", "allreduce", *TINY, "--dtype", dtype, "--input", tmp_path / "rank*.npy")
    assert result.exit_code == 2, result.output
    assert f"type {file_type}: must be" in result.output
    assert HINTS[dtype, file_type] in result.output
