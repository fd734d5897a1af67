"""Collectives as small programs of instructions, and where their data lies in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from hw.spec.config import Config
from hw.spec.formats import block_format, is_block_scaled
from hw.spec.formats.block import BlockFormat
from hw.spec.formats.data_type import DataType
from hw.spec.instruction import Instruction, Opcode, ReduceOp
from models.collective import collective

Pieces = list[tuple[int, int]]


@dataclass(frozen=True)
class Layout:
    """Which bytes of each endpoint's memory go in and come out: (address, length) pieces,
    in the order of the user's elements."""

    inputs: list[Pieces]
    outputs: list[Pieces]
    footprint: int
    scale_inputs: list[Pieces] = field(default_factory=list)
    scale_outputs: list[Pieces] = field(default_factory=list)
    """The same of the scales, if the elements have some."""


@dataclass(frozen=True)
class Program:
    """Instructions of one collective. The first waits for every endpoint, the last tells all."""

    operation: str
    instructions: list[Instruction] = field(repr=False)
    layout: Layout


def build(
    config: Config,
    operation: str,
    size: int,
    data_type: DataType,
    reduce_op: ReduceOp,
    *,
    base: int = 0,
    sync_id: int = 0,
    synchronise: bool = True,
) -> Program:
    """Program of ``operation`` on ``size`` bytes: per endpoint, or for all-gather and
    reduce-scatter of the whole vector, as nccl-tests counts. Of a block-scaled type these are
    the bytes of elements, whole blocks of them; the scales lie behind."""
    item = collective(operation)
    endpoints = config.system.endpoints
    chunks = item.chunks(endpoints)
    length = size // len(chunks)
    stride = -(-length // config.fabric.flit_bytes) * config.fabric.flit_bytes
    program = [
        Instruction(
            opcode=Opcode.COLLECTIVE,
            data_type=data_type,
            reduce_op=ReduceOp.BYPASS if item.copies else reduce_op,
            sync_id=sync_id,
            identifier=number,
            participants=(1 << endpoints) - 1,
            sources=sources,
            destinations=destinations,
            length=length,
            addresses=(base + number * stride,) * endpoints,
        )
        for number, (sources, destinations) in enumerate(chunks)
    ]
    pieces = [(base + number * stride, length) for number in range(len(chunks))]

    def of_ranks(masks: Iterable[int]) -> list[Pieces]:
        """For every rank, the pieces whose mask has its bit."""
        marked = list(zip(pieces, masks, strict=True))
        return [[piece for piece, mask in marked if mask >> i & 1] for i in range(endpoints)]

    layout = Layout(
        inputs=of_ranks(sources for sources, _ in chunks),
        outputs=of_ranks(destinations for _, destinations in chunks),
        footprint=len(chunks) * stride,
    )
    if synchronise:
        program[0] = replace(program[0], barrier=1)
        program[-1] = replace(program[-1], notify=1)
    if is_block_scaled(data_type):
        program, layout = _with_scales(config, program, layout, block_format(config, data_type))
    return Program(operation, program, layout)


def _with_scales(
    config: Config, program: list[Instruction], layout: Layout, entry: BlockFormat
) -> tuple[list[Instruction], Layout]:
    """Behind every instruction the one with its scales, which lie behind all elements."""
    flit = config.fabric.flit_bytes
    # Every piece of elements starts on a flit; so do its scales.
    places: dict[int, tuple[int, int]] = {}
    position = layout.footprint
    for address, length in sorted({piece for pieces in layout.inputs for piece in pieces}):
        places[address] = (position, length // entry.ratio)
        position += -(-places[address][1] // flit) * flit
    paired = []
    for instruction in program:
        scales = [places[address] for address in instruction.addresses]
        paired += [
            replace(instruction, quantize=1),
            Instruction(
                opcode=Opcode.SCALES,
                length=scales[0][1],
                addresses=tuple(address for address, _ in scales),
            ),
        ]

    def behind(all_pieces: list[Pieces]) -> list[Pieces]:
        return [[places[address] for address, _ in pieces] for pieces in all_pieces]

    return paired, replace(
        layout,
        footprint=position,
        scale_inputs=behind(layout.inputs),
        scale_outputs=behind(layout.outputs),
    )


def place(memory: np.ndarray, pieces: Pieces, content: np.ndarray) -> None:
    """Write the user's bytes into their pieces of a memory."""
    position = 0
    for address, length in pieces:
        memory[address : address + length] = content[position : position + length]
        position += length


def collect(memory: np.ndarray, pieces: Pieces) -> np.ndarray:
    """Read the user's bytes back."""
    if not pieces:
        return np.empty(0, dtype=np.uint8)
    return np.concatenate([memory[address : address + length] for address, length in pieces])
