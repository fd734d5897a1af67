"""The user's tensors: files in, files out, or random ones."""

from __future__ import annotations

import glob
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from hw.spec.formats import is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.input_file import check_input, without_number
from models.collective import collective
from scin.errors import InputError
from scin.report.files import make_folder, refuse_written, write_file

FILE_TYPES = {
    DataType.FP16: (np.dtype(np.float16),),
    # numpy has no bfloat16: bit patterns, as uint16 or as the two-byte void that
    # extension types are saved as.
    DataType.BF16: (np.dtype(np.uint16), np.dtype("V2")),
}

LARGEST_RATIO = 4
"""Bytes of a file over those in a memory: 16-bit elements, quantized to 4 bits."""

HEADER_BYTES = 1 << 16
"""Room for what precedes the elements in a file."""


@dataclass(frozen=True)
class Wording:
    """How a hint speaks of what the user does: the verb that hands over an array, and the name of
    the option that says its type."""

    hand_over: str
    dtype: str

    @property
    def copying(self) -> str:
        return f"by broadcast and allgather without {self.dtype}"

    def converted(self, how: str) -> str:
        return f"{self.hand_over} array.{how}"


FILES = Wording("save", "--dtype")

TO_FLOAT = "astype(numpy.float16)"


@dataclass(frozen=True)
class Tensors:
    """One tensor per endpoint, with the shape it came in."""

    content: list[np.ndarray]
    """Flat: uint16 bit patterns of ``tensor_type``, or bytes as uint8."""
    shape: tuple[int, ...]
    file_type: np.dtype
    tensor_type: DataType | None
    """FP16 or BF16; None for bytes of any type."""


def read_tensors(
    pattern: str, data_type: DataType | None, endpoints: int, *, memory_bytes: int
) -> Tensors:
    """One .npy file per endpoint, in the order of their names and the numbers in them; all
    alike, of either byte order, and in the order of C or Fortran.

    FP16 is read from float16, BF16 from uint16 or two-byte void. A block-scaled ``data_type``
    takes both, None takes files of any type as bytes. ``memory_bytes``: of an endpoint; what
    could not be in it in any format is not read.
    """
    paths = sorted(glob.glob(pattern), key=natural_order)
    if len(paths) != endpoints:
        raise InputError(
            f"input {pattern!r} names {len(paths)} files: must be {endpoints}, one per endpoint"
        )
    arrays = []
    for path in paths:
        refuse_written("input", path)
        try:
            with without_number():
                check_input(Path(path), LARGEST_RATIO * memory_bytes + HEADER_BYTES)
                arrays.append(np.load(path, allow_pickle=False))
        except (ValueError, EOFError, MemoryError, BadZipFile) as error:
            raise InputError(f"{path}: not a readable .npy file: {error}") from error
    for path, array in zip(paths, arrays, strict=True):
        if not isinstance(array, np.ndarray):
            raise InputError(f"{path}: an archive: must be one array")
    return tensors_of(paths, arrays, data_type, FILES)


def tensors_of(
    names: Sequence[str],
    arrays: Sequence[np.ndarray],
    data_type: DataType | None,
    wording: Wording,
) -> Tensors:
    """One tensor per endpoint, of any byte order and any strides; all alike. ``names``: what
    errors call the arrays. What ``data_type`` takes: see :func:`read_tensors`; bfloat16 as
    ml_dtypes has it is BF16 too."""
    if data_type is not None:
        arrays = [in_native_order(array) for array in arrays]
        for name, array in zip(names, arrays, strict=True):
            _check_type(name, array.dtype, data_type, wording)
    first = arrays[0]
    for name, array in zip(names, arrays, strict=True):
        if array.shape != first.shape:
            raise InputError(f"{name}: shape {array.shape}: must equal {first.shape} of {names[0]}")
        if array.dtype != first.dtype:
            raise InputError(f"{name}: type {array.dtype}: must equal {first.dtype} of {names[0]}")
    if first.nbytes == 0:
        raise InputError(f"{names[0]}: is empty: must hold at least one element")
    if data_type is None:
        contents = [np.frombuffer(array.tobytes(), dtype=np.uint8) for array in arrays]
        return Tensors(contents, first.shape, first.dtype, None)
    bits = [np.ascontiguousarray(array).view(np.uint16).ravel() for array in arrays]
    return Tensors(bits, first.shape, first.dtype, held_by(first.dtype))


def as_floating(tensors: Tensors) -> Tensors:
    """Bytes of float16 files as FP16; others as they are."""
    if tensors.file_type != np.float16:
        return tensors
    bits = [part.view(np.uint16) for part in tensors.content]
    return replace(tensors, content=bits, tensor_type=DataType.FP16)


def held_by(file_type: np.dtype) -> DataType | None:
    """What a file or an array of this type is taken for, if anything."""
    if file_type.name == "bfloat16":
        return DataType.BF16
    return next((code for code, types in FILE_TYPES.items() if file_type in types), None)


def _check_type(tensor: str, found: np.dtype, data_type: DataType, wording: Wording) -> None:
    """Raise :class:`InputError`, with a way out, for a tensor that ``data_type`` cannot take."""
    name = data_type.name.lower()
    quantized = is_block_scaled(data_type)
    held = held_by(found)
    if held is not None if quantized else held == data_type:
        return
    taken = DataType if quantized else (data_type,)
    allowed = [str(entry) for code in taken for entry in FILE_TYPES.get(code, ())]
    problem = f"{tensor}: type {found}: must be {' or '.join(allowed)} for dtype {name}"
    if quantized:
        problem += f" ({name} is block-scaled: it quantizes FP16 or BF16 tensors)"
    if held is not None:
        hint = f"{found} is taken for {held.name}: dtype {held.name.lower()}"
    elif found == np.int16:
        bits = wording.converted("view(numpy.uint16)")
        hint = f"BF16 bit patterns are read from uint16: {bits}"
    elif found.kind in "biu":
        hint = f"plain integers are only copied, {wording.copying}; to reduce them "
        hint += wording.converted(TO_FLOAT)
    elif found.kind == "f":
        hint = wording.converted(TO_FLOAT)
    else:
        hint = f"it is only copied, {wording.copying}"
    raise InputError(f"{problem}; {hint}")


def natural_order(path: str) -> tuple[list[int | str], str]:
    """Sorts numbers in names by their value: rank2 before rank10."""
    parts: list[int | str] = list(re.split("([0-9]+)", path))
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts, path


def in_native_order(array: Any) -> Any:
    """The same values in this machine's byte order; what is no array stays what it is."""
    if not isinstance(array, np.ndarray) or array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="))


def random_tensors(data_type: DataType, count: int, endpoints: int, seed: int) -> list[np.ndarray]:
    """Normally distributed values of FP16 or BF16, different on every endpoint."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((endpoints, count), dtype=np.float32)
    if data_type == DataType.FP16:
        return list(values.astype(np.float16).view(np.uint16))
    if data_type == DataType.BF16:
        return list((values.view(np.uint32) >> 16).astype(np.uint16))
    raise ValueError(f"data_type {data_type!r}: must be FP16 or BF16")


def random_bytes(count: int, endpoints: int, seed: int) -> list[np.ndarray]:
    """``count`` bytes, different on every endpoint."""
    generator = np.random.default_rng(seed)
    return list(generator.integers(0, 256, (endpoints, count), dtype=np.uint8))


def output_shape(operation: str, shape: tuple[int, ...], endpoints: int) -> tuple[int, ...]:
    item = collective(operation)
    if item.vectors_brought(endpoints) > 1:
        return (endpoints, *shape)
    if item.shards(endpoints) == 1:
        return shape
    if shape and shape[0] % endpoints == 0:
        return (shape[0] // endpoints, *shape[1:])
    return (int(np.prod(shape)) // endpoints,)


def shaped(bits: np.ndarray, shape: tuple[int, ...], file_type: np.dtype) -> np.ndarray:
    """The result of an endpoint as an array of the type and shape that the tensors came in."""
    return bits.view(np.uint8).view(file_type).reshape(shape)


def tensor_file(endpoint: int) -> str:
    """Name of the file that holds the result of an endpoint."""
    return f"endpoint{endpoint}.npy"


def result_files(operation: str, endpoints: int) -> list[str]:
    """Names of the files that hold the result of ``operation``."""
    return [tensor_file(index) for index in collective(operation).holders(endpoints)]


def refuse_older_results(folder: str | Path, files: list[str]) -> None:
    """Raise :class:`InputError` if a folder holds results beside ``files``: of another run, they
    would pass for results of this one."""
    for name in sorted(path.name for path in Path(folder).glob("endpoint*.npy")):
        if re.fullmatch(r"endpoint\d+\.npy", name) and name not in files:
            raise InputError(
                f"output {folder}: holds {name} of another run, which this one does not write: "
                "remove it, or name another folder"
            )


def write_tensors(
    folder: Path, outputs: list[np.ndarray], shape: tuple[int, ...], file_type: np.dtype
) -> None:
    """endpoint<i>.npy for every endpoint that has a result."""
    make_folder(folder)
    for index, bits in enumerate(outputs):
        if bits.size:
            buffer = io.BytesIO()
            np.save(buffer, shaped(bits, shape, file_type))
            write_file(folder / tensor_file(index), buffer.getvalue())
