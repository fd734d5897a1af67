"""The accelerator's half of one switch port."""

from amaranth import Module
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.isa.barrier import Arrival
from hw.isa.read_request import ReadRequest
from hw.isa.wave_table import WaveTable
from hw.isa.write_tracker import WriteTracker
from hw.isa.writeback import Writeback
from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.packet import ADDRESS_BITS, flit_layout
from hw.stream.connect import connect_stream


class IsaPort(wiring.Component):
    """Everything the accelerator keeps per port, and the operand addresses they share.

    The parts (``arrival``, ``reads``, ``table``, ``tracker``, ``writes``) are members, so
    that :class:`hw.isa.isa.Isa` can wire them; this component joins them to the channels.

    Parameters: ``port``, number of this port, below ``system.endpoints``.

    Ports
    -----
    read_request, write_request : flit streams out, to the endpoint
    arrivals, read_response, write_response : flit streams in, from the endpoint
    open, open_context, address, scale_address : a context starts, its operand is at
        ``address``, the operand's scales at ``scale_address``
    """

    def __init__(self, config: Config, *, port: int):
        self._config = config
        flits = stream.Signature(flit_layout(config))
        self.arrival = Arrival(config)
        self.reads = ReadRequest(config, port=port)
        self.table = WaveTable(config)
        self.tracker = WriteTracker(config)
        self.writes = Writeback(config, port=port)
        super().__init__(
            {
                "read_request": Out(flits),
                "write_request": Out(flits),
                "arrivals": In(flits),
                "read_response": In(flits),
                "write_response": In(flits),
                "open": In(1),
                "open_context": In(index_bits(config.contexts)),
                "address": In(ADDRESS_BITS),
                "scale_address": In(ADDRESS_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.arrival = self.arrival
        m.submodules.reads = self.reads
        m.submodules.table = self.table
        m.submodules.tracker = self.tracker
        m.submodules.writes = self.writes
        connect_stream(m, self.arrivals, self.arrival.i)
        connect_stream(m, self.read_response, self.table.i)
        connect_stream(m, self.write_response, self.tracker.i)
        connect_stream(m, self.reads.o, self.read_request)
        connect_stream(m, self.writes.o, self.write_request)

        names = {"base": self.address}
        if self._config.isa.block_formats:
            names["scale_base"] = self.scale_address
        for name, address in names.items():
            m.submodules[f"{name}s"] = bases = memory.Memory(
                shape=ADDRESS_BITS, depth=max(2, self._config.contexts), init=[]
            )
            keep = bases.write_port()
            m.d.comb += [
                keep.en.eq(self.open),
                keep.addr.eq(self.open_context),
                keep.data.eq(address),
            ]
            for user in (self.reads, self.writes):
                lookup = bases.read_port(domain="comb")
                m.d.comb += [lookup.addr.eq(user.lookup), getattr(user, name).eq(lookup.data)]
        return m
