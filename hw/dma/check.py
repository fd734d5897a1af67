"""Is a DMA command well formed?"""

from amaranth import Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.packets import node_id
from hw.spec.config import Config
from hw.spec.dma import COPIES, Command, Compare, DmaOpcode, SignalKind
from hw.spec.packet import ADDRESS_BITS
from hw.spec.status import Status


class CommandCheck(wiring.Component):
    """Combinational: the first thing wrong with a command, as the golden model finds it.

    Parameters: ``identity``, id of the endpoint, 0 … 15, or a value that holds it.

    Ports: ``command`` in; ``status``; ``descending`` out: a copy onto higher addresses that
    overlap its source, which must begin at its end.
    """

    def __init__(self, config: Config, *, identity: ValueLike):
        self._config = config
        self._identity = node_id(identity)
        super().__init__(
            {"command": In(Command.layout()), "status": Out(Status), "descending": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        command, opcode = self.command, self.command.opcode
        copies = Signal()
        m.d.comb += copies.eq(opcode.matches(*COPIES))
        absent = self._absent(copies)
        skewed = self._skewed(copies)
        outside, overlapping = self._compare_ranges(m, copies)
        unknown = (
            ~opcode.matches(*DmaOpcode)
            | (copies & (command.signal_kind > max(SignalKind)))
            | ((opcode == DmaOpcode.POLL) & (command.compare > max(Compare)))
        )
        with m.If(unknown):
            m.d.comb += self.status.eq(Status.BAD_OPCODE)
        with m.Elif((opcode == DmaOpcode.MULTICAST) & (command.targets == 0)):
            m.d.comb += self.status.eq(Status.EMPTY_MASK)
        with m.Elif(absent):
            m.d.comb += self.status.eq(Status.BAD_MASK)
        with m.Elif(copies & (command.length == 0)):
            m.d.comb += self.status.eq(Status.BAD_LENGTH)
        with m.Elif(skewed):
            m.d.comb += self.status.eq(Status.MISALIGNED)
        with m.Elif(overlapping):
            m.d.comb += self.status.eq(Status.OVERLAP)
        with m.Elif(outside):
            m.d.comb += self.status.eq(Status.WINDOW_VIOLATION)
        return m

    def _absent(self, copies):
        """Does it name an endpoint that is not there, or may not be its own?"""
        command, endpoints = self.command, self._config.system.endpoints
        opcode = command.opcode
        signals = copies & (command.signal_kind != SignalKind.NONE)
        uses_source = copies | (opcode == DmaOpcode.POLL)
        uses_destination = (copies & (opcode != DmaOpcode.MULTICAST)) | opcode.matches(
            DmaOpcode.ATOMIC_ADD, DmaOpcode.FENCE, DmaOpcode.TIMESTAMP
        )
        return (
            (uses_source & (command.source_node >= endpoints))
            | (uses_destination & (command.destination_node >= endpoints))
            | ((opcode == DmaOpcode.BROADCAST) & (command.second_node >= endpoints))
            | (signals & (command.signal_node >= endpoints))
            | ((opcode == DmaOpcode.MULTICAST) & (command.targets >> endpoints).any())
            | ((opcode == DmaOpcode.POLL) & (command.source_node != self._identity))
        )

    def _skewed(self, copies):
        """Is a word that it reads or writes not at a multiple of its size?"""
        command, opcode = self.command, self.command.opcode
        words = opcode.matches(DmaOpcode.ATOMIC_ADD, DmaOpcode.TIMESTAMP)
        return (
            (words & (command.destination % 8 != 0))
            | ((opcode == DmaOpcode.FENCE) & (command.destination % 4 != 0))
            | ((opcode == DmaOpcode.POLL) & (command.source % 8 != 0))
            | (copies & (command.signal_kind == SignalKind.ADD) & (command.signal % 8 != 0))
            | (copies & (command.signal_kind == SignalKind.WRITE) & (command.signal % 4 != 0))
        )

    def _compare_ranges(self, m, copies):
        """Does a copy pass the last address, and do its source and destinations overlap?"""
        command, opcode = self.command, self.command.opcode
        ends = {
            name: Signal(ADDRESS_BITS + 1, name=f"{name}_end")
            for name in ("source", "destination", "second")
        }
        m.d.comb += [end.eq(command[name] + command.length) for name, end in ends.items()]

        def overlaps(node, name):
            return node & (command[name] < ends["source"]) & (command.source < ends[name])

        def beyond(name):
            """Does it pass the last address?"""
            return ends[name] > 1 << ADDRESS_BITS

        same_node = Mux(
            opcode == DmaOpcode.MULTICAST,
            (command.targets >> command.source_node) & 1,
            command.source_node == command.destination_node,
        )
        first = Signal()
        second = Signal()
        m.d.comb += [
            first.eq(overlaps(same_node, "destination")),
            second.eq(
                (opcode == DmaOpcode.BROADCAST)
                & overlaps(command.source_node == command.second_node, "second")
            ),
            self.descending.eq(
                (opcode == DmaOpcode.COPY) & first & (command.destination > command.source)
            ),
        ]
        outside = copies & (
            beyond("source")
            | beyond("destination")
            | ((opcode == DmaOpcode.BROADCAST) & beyond("second"))
        )
        overlapping = copies & (opcode != DmaOpcode.COPY) & (first | second)
        return outside, overlapping
