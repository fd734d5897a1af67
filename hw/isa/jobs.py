"""What the parts of the accelerator hand to each other."""

from amaranth.lib import data

from hw.spec.config import Config
from hw.spec.instruction import DataType, ReduceOp, read_tag_layout, write_tag_layout
from hw.spec.packet import LENGTH_BITS
from hw.spec.status import Status


def index_bits(count: int) -> int:
    return max(1, (count - 1).bit_length())


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
        }
    )


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
            "offset": 32,
            "length": LENGTH_BITS,
            "failed": 1,
        }
    )


def write_job_layout(config: Config) -> data.StructLayout:
    """Work for the write-back of some ports: a wave of rows, or a completion flag.

    For a flag, ``offset`` is relative to the flag base instead of the operand's address.
    """
    return data.StructLayout(
        {
            "ports": config.system.endpoints,
            "notify": 1,
            "context": index_bits(config.contexts),
            "generation": write_tag_layout(config)["generation"].width,
            "offset": 32,
            "length": LENGTH_BITS,
            "identifier": 16,
            "status": Status,
        }
    )
