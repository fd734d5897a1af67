"""The user's tensors: files in, files out, or random ones."""

from __future__ import annotations

import glob
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from hw.spec.instruction import DataType
from scin.errors import InputError
from scin.files import make_folder, write_file

FILE_TYPES = {
    DataType.FP16: (np.dtype(np.float16),),
    # numpy has no bfloat16: bit patterns, as uint16 or as the two-byte void that
    # extension types are saved as.
    DataType.BF16: (np.dtype(np.uint16), np.dtype("V2")),
}


@dataclass(frozen=True)
class Tensors:
    """One tensor per endpoint, as uint16 bit patterns, with the shape it came in."""

    bits: list[np.ndarray]
    shape: tuple[int, ...]
    file_type: np.dtype


def read_tensors(pattern: str, data_type: DataType, endpoints: int) -> Tensors:
    """One .npy file per endpoint, in the order of their names and the numbers in them; all
    alike, of either byte order, and in the order of C or Fortran."""
    paths = sorted(glob.glob(pattern), key=natural_order)
    if len(paths) != endpoints:
        raise InputError(
            f"input {pattern!r} names {len(paths)} files: must be {endpoints}, one per endpoint"
        )
    arrays = []
    for path in paths:
        try:
            arrays.append(np.load(path, allow_pickle=False))
        except (OSError, ValueError, EOFError, MemoryError, BadZipFile) as error:
            raise InputError(f"{path}: not a readable .npy file: {error}") from error
    arrays = [in_native_order(array) for array in arrays]
    first = arrays[0]
    allowed = FILE_TYPES[data_type]
    for path, array in zip(paths, arrays, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype not in allowed:
            found = getattr(array, "dtype", "an archive")
            names = " or ".join(str(entry) for entry in allowed)
            raise InputError(
                f"{path}: type {found}: must be {names} for dtype {data_type.name.lower()}"
            )
        if array.shape != first.shape:
            raise InputError(f"{path}: shape {array.shape}: must equal {first.shape} of {paths[0]}")
        if array.dtype != first.dtype:
            raise InputError(f"{path}: type {array.dtype}: must equal {first.dtype} of {paths[0]}")
    if first.size == 0:
        raise InputError(f"{paths[0]}: is empty: must hold at least one element")
    bits = [np.ascontiguousarray(array).view(np.uint16).ravel() for array in arrays]
    return Tensors(bits, first.shape, first.dtype)


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
    """Normally distributed values, different on every endpoint."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((endpoints, count), dtype=np.float32)
    if data_type == DataType.FP16:
        return list(values.astype(np.float16).view(np.uint16))
    return list((values.view(np.uint32) >> 16).astype(np.uint16))


def output_shape(operation: str, shape: tuple[int, ...], endpoints: int) -> tuple[int, ...]:
    if operation == "allgather":
        return (endpoints, *shape)
    if operation != "reducescatter":
        return shape
    if shape and shape[0] % endpoints == 0:
        return (shape[0] // endpoints, *shape[1:])
    return (int(np.prod(shape)) // endpoints,)


def tensor_file(endpoint: int) -> str:
    """Name of the file that holds the result of an endpoint."""
    return f"endpoint{endpoint}.npy"


def write_tensors(
    folder: Path, outputs: list[np.ndarray], shape: tuple[int, ...], file_type: np.dtype
) -> None:
    """endpoint<i>.npy for every endpoint that has a result."""
    make_folder(folder)
    for index, bits in enumerate(outputs):
        if bits.size:
            buffer = io.BytesIO()
            np.save(buffer, bits.view(np.uint8).view(file_type).reshape(shape))
            write_file(folder / tensor_file(index), buffer.getvalue())
