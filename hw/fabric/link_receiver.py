"""The receiving half of the link layer: passes on what came whole and in order."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.checksum import Checksum, Correction
from hw.spec.link import LinkParameters


class LinkReceiver(wiring.Component):
    """Parameters: ``parameters``.

    Ports
    -----
    i : words in, from the physical layer; always taken
    o : link flits out, each once and in order; must be taken, which credits see to
    heard, far_acknowledge, far_nak_epoch : out, a word came whole, and these fields of it
    acknowledge : out, number of the next flit to pass on
    nak_epoch : out, the replay epoch of the far end whose words are accepted
    acknowledgement_pending : pulse out, ``acknowledge`` or ``nak_epoch`` changes
    damaged : pulse out, a word came whose checksum is wrong, after correction: it is forgotten
    corrected : pulse out, a bit of a word was put right
    rejects : pulse out, a number is missing, or comes again: the far end is asked to go back
    up : out, a good word came within ``silence_cycles``

    Words that were sent before the far end went back have an older replay epoch. They are dropped
    without another negative acknowledgement (NAK). Latency 3 cycles, or 2 without correction; a
    flit per cycle.
    """

    def __init__(self, parameters: LinkParameters):
        self._parameters = parameters
        number, epoch = parameters.sequence_bits, parameters.epoch_bits
        super().__init__(
            {
                "i": In(stream.Signature(parameters.word)),
                "o": Out(stream.Signature(parameters.flit)),
                "heard": Out(1),
                "far_acknowledge": Out(number),
                "far_nak_epoch": Out(epoch),
                "acknowledge": Out(number),
                "nak_epoch": Out(epoch),
                "acknowledgement_pending": Out(1),
                "damaged": Out(1),
                "corrected": Out(1),
                "rejects": Out(1),
                "up": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        parameters = self._parameters
        word, comes, whole = Signal(parameters.word), Signal(), Signal(init=1)
        flipped = Signal()
        m.d.comb += self.i.ready.eq(1)
        arrived, valid, corrected = self._correct(m)
        m.d.sync += [comes.eq(valid), word.eq(arrived), flipped.eq(corrected)]
        if parameters.checksum is not None:
            body = arrived.as_value()[-parameters.body_bits :]
            m.submodules.checksum = checksum = Checksum(parameters.checksum, width=len(body))
            m.d.comb += checksum.data.eq(body)
            m.d.sync += whole.eq(arrived.crc == checksum.crc)

        current, follows, accepts = Signal(), Signal(), Signal()
        m.d.comb += [
            self.heard.eq(comes & whole),
            self.damaged.eq(comes & ~whole),
            self.corrected.eq(comes & whole & flipped),
            self.far_acknowledge.eq(word.acknowledge),
            self.far_nak_epoch.eq(word.nak_epoch),
            current.eq(self.heard & (word.replay_epoch == self.nak_epoch)),
            follows.eq(word.sequence == self.acknowledge),
            accepts.eq(current & follows & word.valid),
            self.rejects.eq(current & ~follows),
            self.acknowledgement_pending.eq(accepts | self.rejects),
        ]
        m.d.sync += [self.o.valid.eq(accepts), self.o.payload.eq(word.flit)]
        with m.If(accepts):
            m.d.sync += self.acknowledge.eq(self.acknowledge + 1)
        with m.If(self.rejects):
            m.d.sync += self.nak_epoch.eq(self.nak_epoch + 1)

        silence = Signal(range(parameters.silence_cycles + 1))
        m.d.comb += self.up.eq(silence != parameters.silence_cycles)
        with m.If(self.heard):
            m.d.sync += silence.eq(0)
        with m.Elif(self.up):
            m.d.sync += silence.eq(silence + 1)
        return m

    def _correct(self, m):
        """The word that comes, a cycle later, with one flipped bit put right: word, whether there
        is one, and whether a bit was flipped."""
        parameters = self._parameters
        if not parameters.corrects:
            return self.i.payload, self.i.valid, 0
        word, comes, flipped = Signal(parameters.word), Signal(), Signal()
        covered = parameters.crc_bits + parameters.body_bits
        m.submodules.correction = correction = Correction(width=covered)
        m.d.comb += [
            correction.check.eq(self.i.payload.check),
            correction.data.eq(self.i.payload.as_value()[-covered:]),
        ]
        m.d.sync += [
            comes.eq(self.i.valid),
            word.as_value()[-covered:].eq(correction.corrected),
            flipped.eq(correction.flipped),
        ]
        return word, comes, flipped
