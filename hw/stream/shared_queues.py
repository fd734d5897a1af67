"""Several queues in one memory."""

from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import Shape
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least, some
from hw.stream.arbiter import RoundRobin, select


class SharedQueues(wiring.Component):
    """Queues for items that come one at a time, over a link that is slow beside the clock.

    Wires to and from block RAM are what fills an FPGA: a memory per queue has as many of them
    for each queue as this has for all.

    Parameters
    ----------
    shape : item shape
    depths : places of each queue, at least 1; there is at least one queue

    Ports
    -----
    payload : in; ``enters`` : in, a bit per queue, at most one set: the item is for that queue
    o : stream out per queue, each from a register
    level : out per queue, items held, that in the register included

    An item that comes to a full queue is lost: the sender must know that there is room. An item is
    valid at ``o`` five cycles after it came, if no other queue is served before. An item per cycle
    in, one out of all queues together, of one queue every fifth cycle; round robin. The requests
    for a turn are registered, and so is the grant: the choice is a cycle of its own.
    """

    def __init__(self, shape, *, depths: list[int]):
        self._shape = shape
        self._depths = [at_least("depths", depth, 1) for depth in some("depths", depths)]
        super().__init__(
            {
                "payload": In(shape),
                "enters": In(len(depths)),
                "o": Out(stream.Signature(shape)).array(len(depths)),
                # A bit more than it needs: no sum is cut off, which proofs rely on.
                "level": Out(range(2 * (max(depths) + 1))).array(len(depths)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depths, total = self._depths, sum(self._depths)
        width = Shape.cast(self._shape).width
        m.submodules.storage = storage = memory.Memory(shape=width, depth=total, init=[])
        write, read = storage.write_port(), storage.read_port()
        m.submodules.turn = turn = RoundRobin(len(depths))
        chosen, arriving = Signal(len(depths)), Signal(len(depths))
        places = []
        base = 0
        for index, depth in enumerate(depths):
            *place, wants = self._queue(
                m, index, base, depth, total, chosen[index], arriving[index], read
            )
            places.append(place)
            m.d.sync += turn.requests[index].eq(wants & ~turn.grant[index])
            base += depth
        m.d.comb += [
            turn.advance.eq(1),
            write.data.eq(Value.cast(self.payload)),
            write.addr.eq(select(self.enters, [place for place, _, _ in places])),
            write.en.eq(sum(stores for _, _, stores in places)),
            read.addr.eq(select(chosen, [place for _, place, _ in places])),
            read.en.eq(1),
        ]
        m.d.sync += [chosen.eq(turn.grant), arriving.eq(chosen)]
        return m

    def _queue(self, m, index, base, depth, total, chosen, arrives, read):
        """Where its next item goes, where its oldest is, that an item is stored now, and that
        there is one to be read."""
        enters, out, level = self.enters[index], self.o[index], self.level[index]
        write_place = Signal(range(total), init=base, name=f"write_place_{index}")
        read_place = Signal(range(total), init=base, name=f"read_place_{index}")
        stored = Signal(range(depth + 1), name=f"stored_{index}")
        # An item that was chosen to be read has the register for itself until it is taken.
        reserved = Signal(name=f"reserved_{index}")
        stores = Signal(name=f"stores_{index}")
        m.d.comb += [
            reserved.eq(arrives | out.valid),
            level.eq(stored + reserved),
            stores.eq(enters & (level != depth)),
        ]
        for place, moves in ((write_place, stores), (read_place, chosen)):
            with m.If(moves):
                m.d.sync += place.eq(Mux(place == base + depth - 1, base, place + 1))
        m.d.sync += [
            stored.eq(stored + stores - chosen),
            out.valid.eq((out.valid & ~out.ready) | arrives),
        ]
        with m.If(arrives):
            m.d.sync += Value.cast(out.payload).eq(read.data)
        return write_place, read_place, stores, (stored != 0) & ~reserved & ~chosen
