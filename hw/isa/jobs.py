"""What the parts of the accelerator hand to each other."""

from amaranth import Const, Mux
from amaranth.lib import data

from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.instruction import DataType, ReduceOp, read_tag_layout, write_tag_layout
from hw.spec.packet import ADDRESS_BITS, LENGTH_BITS, ROUND_BITS
from hw.spec.status import Status


def read_job_layout(config: Config) -> data.StructLayout:
    """One wave to read: where it starts within the operands, and where it will be kept."""
    return data.StructLayout(
        {
            "ports": config.system.endpoints,
            "context": index_bits(config.contexts),
            "entry": index_bits(config.isa.waves),
            "generation": read_tag_layout(config)["generation"].width,
            "offset": 32,
            "length": LENGTH_BITS,
            "scale_offset": 32,
            "scale_length": LENGTH_BITS,
        }
    )


def allocation_layout(config: Config) -> data.StructLayout:
    """Bytes that will come for an entry of a wave table."""
    wave = read_job_layout(config)
    names = ("entry", "generation", "length", "scale_length")
    return data.StructLayout({name: wave[name].shape for name in names})


def release_layout(config: Config) -> data.StructLayout:
    """An entry of a wave table that is free again. With ``abandon`` it still waited for answers,
    which are dropped when they come."""
    return data.StructLayout({"entry": index_bits(config.isa.waves), "abandon": 1})


def stray_layout(config: Config) -> data.StructLayout:
    """A read response that no entry waits for, though its tag names one."""
    return data.StructLayout({"entry": index_bits(config.isa.waves), "status": Status})


def scale_share(config: Config, data_type, length):
    """Bytes of scales that belong to ``length`` bytes of elements; 0 for other formats."""
    share = Const(0, len(length))
    for entry in block_formats(config):
        part = length >> (entry.ratio.bit_length() - 1)
        share = Mux(data_type == entry.code, part, share)
    return share


def wave_layout(config: Config) -> data.StructLayout:
    """A wave in its table entry, waiting for its turn to be reduced."""
    return data.StructLayout(
        {
            "sources": config.system.endpoints,
            "destinations": config.system.endpoints,
            "context": index_bits(config.contexts),
            "entry": index_bits(config.isa.waves),
            "generation": write_tag_layout(config)["generation"].width,
            "data_type": DataType,
            "reduce_op": ReduceOp,
            "quantize": 1,
            "offset": 32,
            "length": LENGTH_BITS,
            "failed": 1,
        }
    )


def write_job_layout(config: Config) -> data.StructLayout:
    """Work for the write-back of some ports: rows of elements or scales, or a completion flag.

    ``offset`` is relative to the operand's address, to that of its ``scales``, or for
    ``notify`` to the flag base. ``more``: a job follows whose response answers for this one.
    """
    return data.StructLayout(
        {
            "ports": config.system.endpoints,
            "notify": 1,
            "scales": 1,
            "more": 1,
            "context": index_bits(config.contexts),
            "generation": write_tag_layout(config)["generation"].width,
            "offset": 32,
            "length": LENGTH_BITS,
            "identifier": 16,
            "round": ROUND_BITS,
            "status": Status,
        }
    )


COUNT_BITS = 16
"""Of the write responses that a context waits for."""


def opening_layout(config: Config) -> data.StructLayout:
    """A context that begins, with the generation of its write tags."""
    return data.StructLayout(
        {
            "context": index_bits(config.contexts),
            "generation": write_tag_layout(config)["generation"].width,
        }
    )


def operand_layout(config: Config) -> data.StructLayout:
    """A context that begins, and where its operand and the scales of it lie in one endpoint."""
    places = {"address": ADDRESS_BITS, "scale_address": ADDRESS_BITS}
    return data.StructLayout({"opening": opening_layout(config)} | places)


def operands_layout(config: Config) -> data.StructLayout:
    """The same for every endpoint."""
    addresses = data.ArrayLayout(ADDRESS_BITS, config.system.endpoints)
    places = {"addresses": addresses, "scale_addresses": addresses}
    return data.StructLayout({"opening": opening_layout(config)} | places)


def expectation_layout(config: Config) -> data.StructLayout:
    """Write responses that will come in a context."""
    return data.StructLayout({"context": index_bits(config.contexts), "count": COUNT_BITS})


def write_error_layout(config: Config) -> data.StructLayout:
    """A write response that is or carries an error."""
    return data.StructLayout({"context": index_bits(config.contexts), "status": Status})
