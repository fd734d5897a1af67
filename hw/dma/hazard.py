"""Holds a command back while it would read what an earlier one has yet to write."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import MAX_ENDPOINTS, Config
from hw.spec.dma import COPIES, Command, DmaOpcode, SignalKind
from hw.spec.packet import ADDRESS_BITS, WORD_BYTES


class Hazard(wiring.Component):
    """One box, endpoints by address range, around everything not yet written.

    Ports
    -----
    command : in, stable from ``measure`` until three cycles after ``add``
    measure : pulse; ``conflict`` is valid from the next cycle on and clears with ``drained``
    add : pulse, the command is under way: take its destinations into the box
    busy : out, still taking them in
    drained : in, nothing is left to write: the box is empty
    conflict : out, the command reads within the box

    Reading after writing is the one order an engine must see to: its writes leave in the
    order of the commands, after all they depend on was read, and each path keeps order. The
    box may hold back a copy that does not depend on any other; it never lets one pass.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "command": In(Command.layout()),
                "measure": In(1),
                "add": In(1),
                "busy": Out(1),
                "drained": In(1),
                "conflict": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        command = self.command
        empty = Signal(init=1)
        low, high = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS + 1)
        nodes = Signal(MAX_ENDPOINTS)
        swaps = command.opcode == DmaOpcode.SWAP
        copies = command.opcode.matches(*COPIES)

        def within(node, address):
            inside = (address < high) & (address + command.length > low)
            return (nodes >> node)[0] & inside

        found = Signal()
        with m.If(self.measure):
            m.d.sync += found.eq(
                copies
                & (
                    within(command.source_node, command.source)
                    | (swaps & within(command.destination_node, command.destination))
                )
            )
        m.d.comb += self.conflict.eq(found & ~self.drained)

        step = Signal(2)
        writes, taking, address, end, mask = self._destination(m, step, swaps, copies)
        with m.If(self.add | (step != 0)):
            m.d.sync += step.eq(Mux(step == 2, 0, step + 1))
        fresh = Signal()
        m.d.comb += fresh.eq(self.add & self.drained)
        if self._config.fabric.registered:
            # A destination is taken in a cycle after its turn.
            late = [
                Signal.like(s, name=f"late_{s.name}") for s in (writes, address, end, mask, fresh)
            ]
            m.d.sync += [
                b.eq(a) for a, b in zip((writes, address, end, mask, fresh), late, strict=True)
            ]
            m.d.comb += taking.eq(late[0])
            writes, address, end, mask, fresh = late
        alone = empty | fresh
        with m.If(writes):
            m.d.sync += [
                empty.eq(0),
                low.eq(Mux(alone | (address < low), address, low)),
                high.eq(Mux(alone | (end > high), end, high)),
                nodes.eq(Mux(alone, 0, nodes) | mask),
            ]
        with m.Elif(self.drained & (step == 0)):
            m.d.sync += [empty.eq(1), nodes.eq(0)]
        return m

    def _destination(self, m, step, swaps, copies):
        """One per cycle. Returns whether the command has it, ``taking`` (a cycle late, where it is
        taken in then), its address, its end, its endpoints."""
        command = self.command
        address, length = Signal(ADDRESS_BITS), Signal(33)
        writes, taking = Signal(), Signal()
        mask = Signal(MAX_ENDPOINTS)
        end = Signal(ADDRESS_BITS + 1)
        m.d.comb += [self.busy.eq(self.add | (step != 0) | taking), end.eq(address + length)]
        with m.Switch(step):
            with m.Case(0):
                m.d.comb += [
                    writes.eq(self.add),
                    address.eq(command.destination),
                    length.eq(Mux(copies, command.length, WORD_BYTES)),
                    mask.eq(
                        Mux(
                            command.opcode == DmaOpcode.MULTICAST,
                            command.targets,
                            1 << command.destination_node,
                        )
                    ),
                ]
            with m.Case(1):
                m.d.comb += [
                    writes.eq(swaps | (command.opcode == DmaOpcode.BROADCAST)),
                    address.eq(Mux(swaps, command.source, command.second)),
                    length.eq(command.length),
                    mask.eq(1 << Mux(swaps, command.source_node, command.second_node)),
                ]
            with m.Case(2):
                m.d.comb += [
                    writes.eq(copies & (command.signal_kind != SignalKind.NONE)),
                    address.eq(command.signal),
                    length.eq(WORD_BYTES),
                    mask.eq(1 << command.signal_node),
                ]
        return writes, taking, address, end, mask
