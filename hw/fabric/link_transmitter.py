"""The sending half of the link layer: keeps what it sent, and sends it again if it must."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.checksum import Checksum
from hw.spec.link import Control, LinkParameters


class LinkTransmitter(wiring.Component):
    """Parameters: ``parameters``.

    Ports
    -----
    i : link flits in
    o : link flits out, check flits among them; towards the physical layer
    heard, acknowledge, wanted : in, fields of a check flit that came from the far end
    own_acknowledge, own_wanted : in, what this end's receiver has to say, see
        :class:`hw.fabric.link_receiver.LinkReceiver`
    news, urgent : pulses in, that has changed: tell when the link idles, or at once
    replays : pulse out, went back to what is not acknowledged

    A flit is written into the replay memory and read from there, now or again. A check flit
    ends a run of ``run_flits``, or earlier when no flit is left, when the far end waits for
    another round, or when there is urgent news. An idle link repeats the state of this end every
    ``idle_cycles``, so that nothing depends on one check flit. Latency 3 cycles; a flit per
    cycle, less a check flit after each run. Nothing is accepted while the memory is full.
    """

    def __init__(self, parameters: LinkParameters):
        self._parameters = parameters
        flits = stream.Signature(parameters.flit)
        number, turn = parameters.sequence_bits, parameters.round_bits
        super().__init__(
            {
                "i": In(flits),
                "o": Out(flits),
                "heard": In(1),
                "acknowledge": In(number),
                "wanted": In(turn),
                "own_acknowledge": In(number),
                "own_wanted": In(turn),
                "news": In(1),
                "urgent": In(1),
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
            # Of the cycle before: a flit that comes now is not counted yet.
            room.eq((head - tail)[:bits] < depth - 1),
        ]

        # What came from the far end.
        oldest = Signal(bits)
        round_sent, round_wanted = Signal(parameters.round_bits), Signal(parameters.round_bits)
        goes_back = Signal()
        known = (self.acknowledge - tail)[:bits] <= (current - tail)[:bits]
        m.d.comb += oldest.eq(Mux(self.heard & known, self.acknowledge, tail))
        m.d.sync += tail.eq(oldest)

        run = Signal(range(parameters.run_flits + 1))
        fetched, free = Signal(), Signal()
        moves, closes, returns = Signal(), Signal(), Signal()
        telling, telling_now = Signal(), Signal()
        idle = Signal(range(parameters.idle_cycles + 1))
        ahead = Signal(bits)
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            closes.eq(
                free
                & (
                    (run == parameters.run_flits)
                    | ((run != 0) & (~fetched | goes_back))
                    | telling_now
                    | (~fetched & (telling | (idle == parameters.idle_cycles)))
                )
            ),
            moves.eq(free & fetched & ~closes & ~goes_back),
            # A run belongs to one round: it is closed before the next begins.
            returns.eq(goes_back & (run == 0)),
            ahead.eq(Mux(returns, oldest, current + moves)),
            read.addr.eq(ahead[: len(read.addr)]),
            read.en.eq(1),
            self.replays.eq(returns),
        ]
        m.d.sync += [current.eq(ahead), fetched.eq(ahead != head)]
        with m.If(returns):
            m.d.sync += [goes_back.eq(0), round_sent.eq(round_wanted)]
        with m.If(self.heard & (self.wanted != Mux(returns, round_wanted, round_sent))):
            m.d.sync += [goes_back.eq(1), round_wanted.eq(self.wanted)]
        with m.If(closes):
            m.d.sync += [run.eq(0), telling.eq(0), telling_now.eq(0), idle.eq(0)]
        with m.Else():
            m.d.sync += run.eq(run + moves)
            with m.If(fetched):
                m.d.sync += idle.eq(0)
            with m.Elif(idle != parameters.idle_cycles):
                m.d.sync += idle.eq(idle + 1)
        with m.If(self.news):
            m.d.sync += telling.eq(1)
        with m.If(self.urgent):
            m.d.sync += telling_now.eq(1)
        self._send(m, free, moves, closes, read.data, current, round_sent)
        return m

    def _send(self, m, free, moves, closes, flit, current, round_sent):
        """The output register, and the checksum of what passes into it."""
        parameters = self._parameters
        check = data.View(parameters.check, Signal(parameters.check, name="check"))
        word, kept = Signal(parameters.flit), Signal(parameters.flit)
        kept_check = Signal()
        m.d.comb += [
            check.sequence.eq(current),
            check.round.eq(round_sent),
            check.acknowledge.eq(self.own_acknowledge),
            check.wanted.eq(self.own_wanted),
        ]
        with m.If(closes):
            m.d.comb += [
                word.credit.eq(1),
                word.channel.eq(Control.CHECK.value),
                word.flit.data.eq(check),
            ]
        with m.Else():
            m.d.comb += word.eq(flit)
        with m.If(free):
            m.d.sync += [self.o.valid.eq(moves | closes), kept.eq(word), kept_check.eq(closes)]
        m.d.comb += self.o.payload.eq(kept)
        if parameters.checksum is None:
            return
        m.submodules.checksum = checksum = Checksum(
            parameters.checksum, width=parameters.flit.size
        )
        begins = Signal(init=1)
        m.d.comb += [
            checksum.data.eq(word.as_value()),
            checksum.valid.eq(moves | closes),
            checksum.start.eq(begins),
        ]
        with m.If(moves | closes):
            m.d.sync += begins.eq(closes)
        with m.If(kept_check):
            m.d.comb += data.View(
                parameters.check, self.o.payload.flit.data[: parameters.check.size]
            ).crc.eq(checksum.crc)
