"""Arrays of other libraries, as numpy has them, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scin.errors import InputError

TWO_BYTES = np.dtype("V2")
"""What BF16 is taken for without ml_dtypes: numpy itself has no such type."""

REFUSALS = (TypeError, ValueError, RuntimeError, BufferError, AttributeError)
"""With these, libraries answer a request for an array that they cannot give."""


@dataclass(frozen=True)
class Taken:
    """An array that was taken out of what a caller has. ``give_back`` makes one of its kind of
    a numpy array."""

    array: np.ndarray
    give_back: Callable[[np.ndarray], Any]


def take(name: str, value: Any) -> Taken:
    """``value``: a numpy array, a torch tensor on the CPU, or anything that has ``__array__`` or
    ``__dlpack__``; what comes of the latter two is given back as numpy arrays. ``name``: what
    errors call it. Raise :class:`InputError` where it holds no plain values."""
    try:
        if _is_tensor(value):
            return _of_torch(name, value)
        array = _of_protocol(name, value)
    except InputError:
        raise
    except REFUSALS as error:
        raise InputError(f"{name}: {_kind(value)} gives no array: {error}") from error
    if array.dtype.hasobject:
        raise InputError(f"{name}: type {array.dtype}: must be plain values, not Python objects")
    return Taken(array, lambda result: result)


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _of_protocol(name: str, value: Any) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"{name}: a masked array: its mask would be lost; pass array.filled()")
    if hasattr(value, "__array__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    raise InputError(
        f"{name}: is of type {_kind(value)}: must be an array: of numpy, a tensor of torch, or "
        "anything that has __array__ or __dlpack__"
    )


def _is_tensor(value: Any) -> bool:
    """Only a program that has imported torch has one."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _of_torch(name: str, tensor: Any) -> Taken:
    """BF16, for which torch gives no numpy array, by its bits."""
    torch = sys.modules["torch"]
    if tensor.device.type != "cpu":
        raise InputError(f"{name}: is on device {tensor.device}: must be on cpu")
    values = tensor.detach()
    if tensor.dtype != torch.bfloat16:
        return Taken(values.numpy(), torch.from_numpy)
    bits = values.contiguous().view(torch.int16).numpy().view(TWO_BYTES)
    return Taken(bits, _bfloat16_tensor)


def _bfloat16_tensor(bits: np.ndarray) -> Any:
    torch = sys.modules["torch"]
    return torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)
