"""What :mod:`scin` offers to Python programs: collectives of arrays, and predictions.

Every function checks all that it is given before anything runs, and raises
:class:`scin.errors.InputError` with the argument's name, its value and its bound, or
:class:`scin.errors.CapacityError` for arrays that do not fit. On RTL it raises
:class:`scin.errors.CollectiveError` if the hardware answers with an error,
:class:`scin.errors.MissingToolError` or :class:`scin.errors.BuildError` if no simulator can be
built, and :class:`scin.errors.HangError` or :class:`scin.errors.BusError` if one does not answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hw.spec.buildable import check_buildable
from hw.spec.config import MAX_ENDPOINTS, Config, ConfigError, load
from hw.spec.formats import is_block_scaled
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import ReduceOp
from models.baselines.parameters import ParameterError, Parameters, parse
from models.collective import collective
from models.prediction import SCIN, SCIN_INQ, Prediction, known_algorithms
from models.prediction import predict as predict_one
from models.simulator.collective import STEADY_BYTES, plane_bytes
from models.simulator.explain import Span
from scin.collectives.arrays import Taken, take
from scin.collectives.phases import measured_phases, simulated_phases
from scin.collectives.requests import (
    LARGEST_SIZE,
    check_half_elements,
    check_known,
    check_one_of,
    check_simulated,
    check_wire_type,
    choose_data_type,
    parse_data_type,
    parse_reduce_op,
    parse_wire_type,
    refuse_repetition,
)
from scin.collectives.runner import GoldenRunner, Runner
from scin.collectives.tensor_runs import check_collective, check_count, check_shards, run_tensors
from scin.collectives.tensors import (
    Tensors,
    Wording,
    held_by,
    output_shape,
    shaped,
    tensors_of,
)
from scin.collectives.warm import SIMULATORS, Ran
from scin.errors import CapacityError, CollectiveError, InputError
from scin.flow.compilation import compile_simulator
from scin.report.measurement import Measurement
from scin.report.predicted import result_of
from scin.report.progress import Stages
from scin.report.record import CollectiveResult

BACKENDS = ("rtl", "golden", "sim")

ARGUMENTS = Wording("pass", "dtype")


@dataclass(frozen=True, eq=False)
class Result:
    """A collective that was run or predicted."""

    operation: str
    backend: str
    outputs: list[Any] | None = field(repr=False)
    """Per endpoint what it gets, in the kind, type and shape of the inputs; None for an endpoint
    that gets nothing. None as a whole from the backend ``sim``, which has no data."""
    seconds: float | None
    cycles: int | None
    """None from the backend ``golden``, which has no time. Without synchronisation they count
    from the first read to the last response."""
    wrong: int | None
    """Elements that differ from the golden model; None where nothing is compared."""
    phases: list[Span] | None = field(repr=False)
    """Where the time goes; None where there are no such phases: for other collectives than
    ``allreduce``, for quantized ones, without synchronisation, from the backend ``golden``, and
    from ``sim`` beyond 2 MiB per switch, where time is extrapolated."""
    measurement: CollectiveResult = field(repr=False)
    """All figures of the command line's record, such as ``algbw_GBps``, ``util`` and ``error``."""


def allreduce(
    inputs: Iterable[Any],
    *,
    redop: str = "sum",
    dtype: str | None = None,
    config: str | Path = "fpga4",
    overrides: Mapping[str, Any] | None = None,
    synchronise: bool = True,
    backend: str = "rtl",
) -> Result:
    """Every endpoint gets the element by element reduction of all ``inputs``.

    ``inputs``: one array per endpoint, all of one shape and type: of numpy, of torch on the CPU,
    or with ``__array__`` or ``__dlpack__``. ``redop``: sum, max, min or avg. ``dtype``: by default
    that of the arrays; int8, mxint8, mxfp8, mxfp4 or nvfp4 quantizes FP16 or BF16 arrays in the
    network; bf16 also takes BF16 bits in uint16. ``config``: a preset's name or a TOML file.
    ``overrides``: fields of it by ``section.field``. ``synchronise``: whether a barrier begins
    and a flag ends it; the time is then that between the last arrival and the last flag.
    ``backend``: rtl runs and checks it, golden has outputs and no time, sim has time and no
    outputs.

    For errors see :mod:`scin.api`.
    """
    call = _call("allreduce", config, overrides, synchronise, backend)
    return call.run(inputs, dtype, redop)


def reduce(
    inputs: Iterable[Any],
    *,
    redop: str = "sum",
    dtype: str | None = None,
    config: str | Path = "fpga4",
    overrides: Mapping[str, Any] | None = None,
    synchronise: bool = True,
    backend: str = "rtl",
) -> Result:
    """Endpoint 0 gets what :func:`allreduce` gives every endpoint; the arguments are the same, but
    no ``backend`` sim."""
    call = _call("reduce", config, overrides, synchronise, backend)
    return call.run(inputs, dtype, redop)


def reducescatter(
    inputs: Iterable[Any],
    *,
    redop: str = "sum",
    dtype: str | None = None,
    config: str | Path = "fpga4",
    overrides: Mapping[str, Any] | None = None,
    synchronise: bool = True,
    backend: str = "rtl",
) -> Result:
    """Endpoint i gets the i-th of equal shares of what :func:`allreduce` gives every endpoint; the
    arguments are the same, but no ``backend`` sim. Shares are cut along the first dimension where
    it divides by the endpoints, else they are flat; the number of elements must divide by them."""
    call = _call("reducescatter", config, overrides, synchronise, backend)
    return call.run(inputs, dtype, redop)


def broadcast(
    inputs: Iterable[Any],
    *,
    dtype: str | None = None,
    config: str | Path = "fpga4",
    overrides: Mapping[str, Any] | None = None,
    synchronise: bool = True,
    backend: str = "rtl",
) -> Result:
    """Every endpoint gets the array of endpoint 0, bit by bit. Arguments as of :func:`allreduce`,
    but arrays of any type, no ``redop``, no block-scaled ``dtype``, and no ``backend`` sim."""
    call = _call("broadcast", config, overrides, synchronise, backend)
    return call.run(inputs, dtype)


def allgather(
    inputs: Iterable[Any],
    *,
    dtype: str | None = None,
    config: str | Path = "fpga4",
    overrides: Mapping[str, Any] | None = None,
    synchronise: bool = True,
    backend: str = "rtl",
) -> Result:
    """Every endpoint gets all arrays, stacked along a new first dimension, bit by bit. Arguments
    as of :func:`broadcast`."""
    call = _call("allgather", config, overrides, synchronise, backend)
    return call.run(inputs, dtype)


def predict(
    operation: str,
    *,
    bytes: int,
    algo: str | Iterable[str] = SCIN,
    redop: str = "sum",
    dtype: str = "fp16",
    inq_format: str | None = None,
    config: str | Path = "dgx8",
    overrides: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, Prediction]:
    """The synchronised time of a collective by several algorithms on one fabric, without data.

    ``operation``: allreduce. ``bytes``: of 16-bit elements per endpoint, less than 2^60. ``algo``:
    names of algorithms; the predictions are returned by these names. ``redop`` and ``dtype`` (fp16
    or bf16): of the tensors. ``inq_format``: what scin-inq quantizes
    them to, int8 if none is named. ``parameters``:
    assumptions about the baselines, by the names that docs/simulator.md lists.

    For errors see :mod:`scin.api`.
    """
    _check_text("operation", operation)
    if operation != "allreduce":
        raise InputError(f"operation {operation!r}: supported here is allreduce")
    settings = _load(config, overrides)
    algorithms = _algorithms(algo)
    size = _size(bytes)
    reduce_op, tensor_type = _parse_reduce_op(redop), _tensor_type(dtype)
    asked = "int8" if inq_format is None else inq_format
    _check_text("inq_format", asked)
    with _naming("inq_format"):
        wire = parse_wire_type(asked)
    if inq_format is not None and SCIN_INQ not in algorithms:
        raise InputError(f"inq_format {inq_format!r}: does nothing without algo {SCIN_INQ}")
    if SCIN_INQ in algorithms:
        check_wire_type(settings, wire)
        if reduce_op != ReduceOp.SUM:
            raise InputError(f"redop {redop} with algo {SCIN_INQ}: must be sum")
    check_collective(settings, operation, tensor_type, reduce_op)
    assumed = _parameters(parameters, algorithms)
    compile_simulator(Stages(quiet=False), algorithms)
    return {
        name: predict_one(settings, name, size, assumed, wire, tensor_type, reduce_op)
        for name in algorithms
    }


def close() -> None:
    """Close the simulators that earlier calls have left open. A later call opens a new one, and
    they are closed at the end of the program in any case."""
    SIMULATORS.close()


@dataclass(frozen=True)
class _Call:
    """A collective, and where it is to run."""

    operation: str
    config: Config
    synchronise: bool
    backend: str

    def run(self, inputs: Iterable[Any], dtype: str | None, redop: str = "sum") -> Result:
        reduce_op = _parse_reduce_op(redop)
        taken = _take_all(inputs, self.config.system.endpoints)
        data_type = self._data_type(dtype, taken[0].array)
        tensors = self._tensors(taken, data_type, reduce_op)
        if self.backend == "sim":
            return self._simulate(tensors, data_type, reduce_op)

        def collective(runner: Runner) -> Ran:
            return run_tensors(
                runner,
                self.operation,
                tensors.content,
                data_type,
                reduce_op,
                tensor_type=tensors.tensor_type,
                synchronise=self.synchronise,
                seed=None,
            )

        if self.backend == "golden":
            measurement, raw = collective(GoldenRunner(self.config))
        else:
            measurement, raw = SIMULATORS.run(self.config, collective)
        if measurement.failed:
            raise CollectiveError(f"{self.operation}: the hardware answers {measurement.status}")
        endpoints = self.config.system.endpoints
        shape = output_shape(self.operation, tensors.shape, endpoints)
        outputs = [
            item.give_back(shaped(bits, shape, tensors.file_type)) if bits.size else None
            for item, bits in zip(taken, raw, strict=True)
        ]
        return self._result(measurement, outputs, self._measured_phases(measurement))

    def _data_type(self, dtype: str | None, first: np.ndarray) -> DataType | None:
        """What ``dtype`` names, or by default what the arrays hold; None for bytes."""
        if dtype is not None:
            _check_text("dtype", dtype)
        elif not collective(self.operation).copies and first.dtype != np.uint16:
            # Bits in integers are those of numbers only where the caller says so.
            held = held_by(first.dtype.newbyteorder("="))
            dtype = None if held is None else held.name.lower()
        return choose_data_type(self.operation, dtype, given=True)

    def _tensors(
        self, taken: list[Taken], data_type: DataType | None, reduce_op: ReduceOp
    ) -> Tensors:
        """The arrays, once it is sure that they can be run."""
        check_collective(self.config, self.operation, data_type, reduce_op)
        names = [_name(index) for index in range(len(taken))]
        tensors = tensors_of(names, [item.array for item in taken], data_type, ARGUMENTS)
        with _naming("inputs"):
            check_shards(self.config, self.operation, tensors)
            if self.backend != "sim":
                check_count(self.config, self.operation, data_type, tensors.content[0].size)
        return tensors

    def _simulate(
        self, tensors: Tensors, data_type: DataType | None, reduce_op: ReduceOp
    ) -> Result:
        """Its time alone."""
        # What reduces has numbers.
        assert data_type is not None
        assert tensors.tensor_type is not None
        compile_simulator(Stages(quiet=False))
        quantized = is_block_scaled(data_type)
        size = tensors.content[0].nbytes
        prediction = predict_one(
            self.config,
            SCIN_INQ if quantized else SCIN,
            size,
            Parameters(),
            data_type,
            tensors.tensor_type,
            reduce_op,
        )
        phases, length = None, plane_bytes(self.config, size)
        if not quantized and length <= 2 * STEADY_BYTES:
            phases = simulated_phases(self.config, length, data_type, reduce_op)
        result = result_of(
            self.config, prediction, data_type=tensors.tensor_type, reduce_op=reduce_op
        )
        return self._result(result, None, phases)

    def _measured_phases(self, item: Measurement) -> list[Span] | None:
        if self.operation != "allreduce" or item.algo != SCIN or item.arrived is None:
            return None
        return measured_phases(self.config, item)

    def _result(
        self, item: CollectiveResult, outputs: list[Any] | None, phases: list[Span] | None
    ) -> Result:
        return Result(
            self.operation,
            self.backend,
            outputs,
            item.time_s,
            item.cycles,
            item.wrong,
            phases,
            item,
        )


def _call(
    operation: str,
    config: str | Path,
    overrides: Mapping[str, Any] | None,
    synchronise: bool,
    backend: str,
) -> _Call:
    """Raise :class:`InputError` where the backend cannot run it on this configuration."""
    _check_text("backend", backend)
    check_one_of("backend", backend, BACKENDS)
    if not isinstance(synchronise, bool):
        raise InputError(f"synchronise {synchronise!r}: must be True or False")
    settings = _load(config, overrides)
    if backend == "sim":
        check_simulated(operation, synchronise=synchronise)
    elif backend == "rtl":
        with _naming("config"):
            check_buildable(settings)
    elif settings.system.endpoints > MAX_ENDPOINTS:
        raise InputError(
            f"config: system.endpoints = {settings.system.endpoints}: the backend golden takes at "
            f"most {MAX_ENDPOINTS}"
        )
    return _Call(operation, settings, synchronise, backend)


@contextmanager
def _naming(argument: str) -> Iterator[None]:
    """Errors of what a block finds in an argument begin with its name."""
    try:
        yield
    except CapacityError as error:
        raise CapacityError(f"{argument}: {error}") from error
    except (InputError, ConfigError, ParameterError) as error:
        raise InputError(f"{argument}: {error}") from error


def _load(config: str | Path, overrides: Mapping[str, Any] | None) -> Config:
    if not isinstance(config, str | Path):
        raise InputError(f"config {config!r}: must be a preset's name or a .toml file")
    changes = _named_values("overrides", overrides)
    # numpy's numbers are taken for what they are.
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in changes.items()
    }
    with _naming("config, overrides" if changes else "config"):
        return load(config, plain)


def _named_values(argument: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise InputError(f"{argument} {values!r}: must be a mapping from names to values")
    return dict(values)


def _take_all(inputs: Iterable[Any], endpoints: int) -> list[Taken]:
    try:
        values = list(inputs)
    except TypeError as error:
        raise InputError(
            f"inputs: is of type {type(inputs).__name__}: must be a list of arrays, one per "
            "endpoint"
        ) from error
    if len(values) != endpoints:
        raise InputError(f"inputs: are {len(values)} arrays: must be {endpoints}, one per endpoint")
    return [take(_name(index), value) for index, value in enumerate(values)]


def _name(index: int) -> str:
    """Of the array of an endpoint, in errors."""
    return f"inputs[{index}]"


def _check_text(argument: str, value: Any) -> None:
    if not isinstance(value, str):
        raise InputError(f"{argument} {value!r}: must be a name, of type str")


def _parse_reduce_op(redop: str) -> ReduceOp:
    _check_text("redop", redop)
    return parse_reduce_op(redop)


def _tensor_type(dtype: str) -> DataType:
    """What is not quantized."""
    _check_text("dtype", dtype)
    data_type = parse_data_type(dtype)
    if is_block_scaled(data_type):
        raise InputError(f"dtype {dtype}: must be fp16 or bf16; algo {SCIN_INQ} quantizes")
    return data_type


def _algorithms(algo: str | Iterable[str]) -> list[str]:
    try:
        names = [algo] if isinstance(algo, str) else list(algo)
    except TypeError as error:
        raise InputError(f"algo {algo!r}: must be a name, or a list of names") from error
    if not names:
        raise InputError("algo []: must name at least one algorithm")
    check_known("algo", names, known_algorithms())
    refuse_repetition("algo", names)
    return names


def _size(size: int) -> int:
    if not isinstance(size, int | np.integer) or isinstance(size, bool):
        raise InputError(f"bytes {size!r}: must be a whole number")
    with _naming("bytes"):
        check_half_elements(int(size))
    if size >= LARGEST_SIZE:
        raise InputError(f"bytes {size}: must be less than {LARGEST_SIZE}")
    return int(size)


def _parameters(values: Mapping[str, Any] | None, algorithms: list[str]) -> Parameters:
    texts = tuple(f"{name}={value}" for name, value in _named_values("parameters", values).items())
    with _naming("parameters"):
        return parse(texts, algorithms)
