"""What the parts of the accelerator hand to each other."""

from amaranth import Const, Mux
from amaranth.lib import data

from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.instruction import DataType, ReduceOp, read_tag_layout, write_tag_layout
from hw.spec.packet import LENGTH_BITS, ROUND_BITS
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
