"""AXI4 as the endpoint's memory port speaks it."""

from amaranth import Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import AXI_BOUNDARY_BYTES, Config
from hw.spec.packet import ADDRESS_BITS

OKAY = 0
BURST_INCR = 0b01


class AxiId(enum.IntEnum, shape=5):
    """Transaction ids: one per requester, so that each gets its answers in order. DMA
    engine *n* has ``DMA`` + *n*."""

    CORE = 0
    ISA = 1
    POLL = 2
    ATOMIC = 3
    DMA = 4


def readers(config: Config) -> tuple[int, ...]:
    """Ids that read, in the order of the memory port's requesters."""
    return (AxiId.CORE, AxiId.ISA, AxiId.POLL, AxiId.ATOMIC, *_engines(config))


def writers(config: Config) -> tuple[int, ...]:
    """Ids that write, in the order of the memory port's requesters."""
    return (AxiId.CORE, AxiId.ISA, AxiId.ATOMIC, *_engines(config))


def _engines(config: Config) -> range:
    return range(AxiId.DMA.value, AxiId.DMA.value + config.dma.engines)


def id_bits(config: Config) -> int:
    return readers(config)[-1].bit_length()


class AxiSignature(wiring.Signature):
    """AXI4 (AMBA AXI and ACE, part A) seen from the manager; INC travels in the user bits."""

    def __init__(self, config: Config):
        bits, id_width = config.flit_bits, id_bits(config)
        address = {
            "addr": ADDRESS_BITS,
            "len": 8,
            "size": 3,
            "burst": 2,
            "user": 1,
            "id": id_width,
        }
        members = {}
        for channel in ("aw", "ar"):
            for name, width in address.items():
                members[f"{channel}{name}"] = Out(width)
            members[f"{channel}valid"] = Out(1)
            members[f"{channel}ready"] = In(1)
        members |= {
            "wdata": Out(bits),
            "wstrb": Out(bits // 8),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bid": In(id_width),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "rid": In(id_width),
            "rdata": In(bits),
            "rresp": In(2),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        }
        super().__init__(members)


def beats_to_boundary(address, config: Config) -> Value:
    """From ``address`` to the next 4 KiB boundary, which no burst crosses (AMBA AXI, A3.4.1)."""
    beat = config.fabric.flit_bytes
    low, high = (size.bit_length() - 1 for size in (beat, AXI_BOUNDARY_BYTES))
    return AXI_BOUNDARY_BYTES // beat - address[low:high]


BURST_LAYOUT = data.StructLayout({"address": ADDRESS_BITS, "beats": 9})
"""A burst to ask for: start address, a multiple of the data width, and beats."""


def write_beat_layout(config: Config) -> data.StructLayout:
    return data.StructLayout(
        {"data": config.flit_bits, "strobe": config.fabric.flit_bytes, "last": 1}
    )


def read_beat_layout(config: Config) -> data.StructLayout:
    return data.StructLayout({"data": config.flit_bits, "error": 1})
