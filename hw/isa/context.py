"""What a wave controller remembers of each instruction in flight."""

from amaranth import Mux
from amaranth.lib import data

from hw.spec.config import Config
from hw.spec.instruction import Instruction
from hw.spec.packet import NODE_BITS
from hw.spec.status import Status

TIMES = ("fetched", "barrier_met", "first_read", "table_wait", "last_write", "last_response")
"""Counters of the completion record that are collected while the instruction runs."""


def context_layout(config: Config) -> data.StructLayout:
    """The part of an instruction that outlives its issue."""
    fields = dict(iter(Instruction.layout(config)))
    names = ("identifier", "notify", "sync_id", "round", "no_record", "participants")
    names += ("sources", "destinations", "data_type", "reduce_op", "quantize")
    return data.StructLayout({name: fields[name].shape for name in names})


def times_layout() -> data.StructLayout:
    return data.StructLayout(dict.fromkeys(TIMES, 32))


class Fault(data.Struct):
    """What went wrong, and at which endpoint."""

    status: Status
    endpoint: NODE_BITS


def lowest_index(mask):
    """Of the endpoints in ``mask`` the first, which a status names; 0 if there is none."""
    index = 0
    for position in reversed(range(len(mask))):
        index = Mux(mask[position], position, index)
    return index
