"""The receiving half of the link layer: passes on what is proved whole and in order."""

from amaranth import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.checksum import Checksum
from hw.spec.link import Control, LinkParameters


class LinkReceiver(wiring.Component):
    """Parameters: ``parameters``.

    Ports
    -----
    i : link flits in, from the physical layer; always taken
    o : link flits out, each once and in order; must be taken, which credits see to
    heard, far_acknowledge, far_wanted : out, fields of a check flit that came whole
    acknowledge : out, number of the next flit to pass on; ``wanted`` : out, round of the far
        end that this end waits for
    news, urgent : pulses out, these have changed; the far end has to go back
    rejects : pulse out, something was damaged, lost or doubled, and is asked for again
    up : out, a good check flit came within ``silence_cycles``

    Flits are held until the check flit behind them: if the checksum is right, the round is the
    one waited for, and its number follows that of the last flit held, they are passed on,
    otherwise forgotten. Whatever was sent before the far end went back has an older round, and
    is forgotten without another complaint. Latency 3 cycles from the check flit on.
    """

    def __init__(self, parameters: LinkParameters):
        self._parameters = parameters
        flits = stream.Signature(parameters.flit)
        number, turn = parameters.sequence_bits, parameters.round_bits
        super().__init__(
            {
                "i": In(flits),
                "o": Out(flits),
                "heard": Out(1),
                "far_acknowledge": Out(number),
                "far_wanted": Out(turn),
                "acknowledge": Out(number),
                "wanted": Out(turn),
                "news": Out(1),
                "urgent": Out(1),
                "rejects": Out(1),
                "up": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        parameters = self._parameters
        word, valid, is_check, whole = self._take(m)
        check = data.View(parameters.check, word.flit.data[: parameters.check.size])

        bits, depth = parameters.sequence_bits, parameters.held_flits
        m.submodules.held = held = memory.Memory(shape=parameters.flit, depth=depth, init=[])
        write, read = held.write_port(), held.read_port()
        # Numbers: of the next flit to be held, of the next to be passed on.
        place, passed = Signal(bits), Signal(bits)
        spoiled, stores, in_step = Signal(), Signal(), Signal(init=1)
        full = (place - passed)[:bits] == depth
        judged, current, follows = Signal(), Signal(), Signal()
        accepts = Signal()
        m.d.comb += [
            stores.eq(valid & ~is_check & ~full),
            write.addr.eq(place[: len(write.addr)]),
            write.data.eq(word),
            write.en.eq(stores),
            judged.eq(valid & is_check),
            self.heard.eq(judged & whole & ~spoiled),
            self.far_acknowledge.eq(check.acknowledge),
            self.far_wanted.eq(check.wanted),
            current.eq(check.round == self.wanted),
            follows.eq(check.sequence == place),
            accepts.eq(self.heard & current & follows),
            # A damaged check flit tells no round: complain once, until the new round is seen.
            self.rejects.eq(
                (self.heard & current & ~follows) | (judged & ~self.heard & in_step)
            ),
            self.news.eq(self.rejects | (accepts & (place != self.acknowledge))),
            self.urgent.eq(self.rejects),
        ]
        with m.If(stores):
            m.d.sync += place.eq(place + 1)
        with m.If(valid & ~is_check & full):
            m.d.sync += spoiled.eq(1)
        with m.If(judged):
            m.d.sync += spoiled.eq(0)
            with m.If(~accepts):
                m.d.sync += place.eq(self.acknowledge)
        with m.If(accepts):
            m.d.sync += [self.acknowledge.eq(place), in_step.eq(1)]
        with m.If(self.rejects):
            m.d.sync += [self.wanted.eq(self.wanted + 1), in_step.eq(0)]

        ahead = Signal(bits)
        m.d.comb += [
            ahead.eq(passed + self.o.valid),
            read.addr.eq(ahead[: len(read.addr)]),
            read.en.eq(1),
            self.o.payload.eq(read.data),
        ]
        m.d.sync += [passed.eq(ahead), self.o.valid.eq(ahead != self.acknowledge)]

        silence = Signal(range(parameters.silence_cycles + 1))
        m.d.comb += self.up.eq(silence != parameters.silence_cycles)
        with m.If(self.heard):
            m.d.sync += silence.eq(0)
        with m.Elif(self.up):
            m.d.sync += silence.eq(silence + 1)
        return m

    def _take(self, m):
        """A flit in a register, whether it is a check flit, and whether its checksum is right."""
        parameters, incoming = self._parameters, self.i
        flit, counted = incoming.payload, Signal(parameters.flit)
        word, valid, is_check = Signal(parameters.flit), Signal(), Signal()
        comes = flit.credit & (flit.channel == Control.CHECK.value)
        m.d.comb += [incoming.ready.eq(1), counted.eq(flit)]
        m.d.sync += [valid.eq(incoming.valid), word.eq(flit), is_check.eq(comes)]
        if parameters.checksum is None:
            return word, valid, is_check, 1
        size = parameters.check.size
        with m.If(comes):
            m.d.comb += data.View(parameters.check, counted.flit.data[:size]).crc.eq(0)
        m.submodules.checksum = checksum = Checksum(
            parameters.checksum, width=parameters.flit.size
        )
        begins = Signal(init=1)
        m.d.comb += [
            checksum.data.eq(counted.as_value()),
            checksum.valid.eq(incoming.valid),
            checksum.start.eq(begins),
        ]
        with m.If(incoming.valid):
            m.d.sync += begins.eq(comes)
        found = data.View(parameters.check, word.flit.data[:size]).crc
        return word, valid, is_check, found == checksum.crc
