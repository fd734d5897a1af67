"""The sending half of the link layer: keeps what it sent, and sends it again if it must."""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.checksum import Seal
from hw.spec.link import LinkParameters


class LinkTransmitter(wiring.Component):
    """Parameters: ``parameters``.

    Ports
    -----
    i : link flits in
    o : words out, towards the physical layer
    heard, acknowledge, nak_epoch : in, a good word came from the far end, and its fields
    own_acknowledge, own_nak_epoch : in, fields of the words that are sent, from this end's
        :class:`hw.fabric.link_receiver.LinkReceiver`
    acknowledgement_pending : pulse in, one of these fields has changed
    replays : pulse out, the transmitter went back to the first flit that is not acknowledged

    A flit is written into the replay memory and read from there, for the first time or again.
    Every word acknowledges what this end has received. While no flit waits, a word without a flit
    does so: once after ``acknowledgement_pending``, and every ``repeat_cycles``, because a word may
    be lost. Latency 3 cycles, a flit per cycle. Nothing is accepted while the memory is full.
    """

    def __init__(self, parameters: LinkParameters):
        self._parameters = parameters
        number, epoch = parameters.sequence_bits, parameters.epoch_bits
        super().__init__(
            {
                "i": In(stream.Signature(parameters.flit)),
                "o": Out(stream.Signature(parameters.word)),
                "heard": In(1),
                "acknowledge": In(number),
                "nak_epoch": In(epoch),
                "own_acknowledge": In(number),
                "own_nak_epoch": In(epoch),
                "acknowledgement_pending": In(1),
                "replays": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        parameters = self._parameters
        depth, bits = parameters.replay_flits, parameters.sequence_bits
        m.submodules.copies = copies = memory.Memory(shape=parameters.flit, depth=depth, init=[])
        write, read = copies.write_port(), copies.read_port()

        # Numbers: of the next flit to come, of the next to send, of the oldest kept.
        head, current, tail = Signal(bits), Signal(bits), Signal(bits)
        accepts, room = Signal(), Signal(init=1)
        m.d.comb += [
            self.i.ready.eq(room),
            accepts.eq(self.i.valid & room),
            write.addr.eq(head[: len(write.addr)]),
            write.data.eq(self.i.payload),
            write.en.eq(accepts),
        ]
        m.d.sync += [
            head.eq(head + accepts),
            # As of the cycle before: a flit that comes now is not counted yet.
            room.eq((head - tail)[:bits] < depth - 1),
        ]

        # What the far end has, and whether it asks for it again.
        oldest, ahead = Signal(bits), Signal(bits)
        epoch = Signal(parameters.epoch_bits)
        known = (self.acknowledge - tail)[:bits] <= (current - tail)[:bits]
        m.d.comb += [
            oldest.eq(Mux(self.heard & known, self.acknowledge, tail)),
            self.replays.eq(self.heard & (self.nak_epoch != epoch)),
        ]
        m.d.sync += tail.eq(oldest)
        with m.If(self.replays):
            m.d.sync += epoch.eq(self.nak_epoch)

        fetched, free, moves, tells = Signal(), Signal(), Signal(), Signal()
        telling, idle = Signal(), Signal(range(parameters.repeat_cycles + 1))
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            moves.eq(free & fetched),
            tells.eq(free & ~fetched & (telling | (idle == parameters.repeat_cycles))),
            ahead.eq(Mux(self.replays, oldest, current + moves)),
            read.addr.eq(ahead[: len(read.addr)]),
            read.en.eq(1),
        ]
        m.d.sync += [current.eq(ahead), fetched.eq(ahead != head)]
        with m.If(moves | tells):
            m.d.sync += [idle.eq(0), telling.eq(0)]
        with m.Elif(idle != parameters.repeat_cycles):
            m.d.sync += idle.eq(idle + 1)
        with m.If(self.acknowledgement_pending):
            m.d.sync += telling.eq(1)

        word = Signal(parameters.word)
        m.d.comb += [
            word.sequence.eq(current),
            word.replay_epoch.eq(epoch),
            word.acknowledge.eq(self.own_acknowledge),
            word.nak_epoch.eq(self.own_nak_epoch),
            word.valid.eq(fetched),
            word.flit.eq(Mux(fetched, read.data.as_value(), 0)),
        ]
        with m.If(free):
            m.d.sync += [self.o.valid.eq(moves | tells), self.o.payload.eq(word)]
        m.submodules.seal = seal = Seal(parameters)
        added = len(seal.redundancy)
        m.d.comb += seal.body.eq(word.as_value()[added:])
        with m.If(free):
            m.d.sync += self.o.payload.as_value()[:added].eq(seal.redundancy)
        return m
