"""How a board-to-board link is: watched at the receiver, told to the transmitter and the host."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hw.phy.serializer import Sending
from hw.phy.training import TrainingState

BEAT_BITS = 6
"""A receiver's ``beat`` toggles every ``2 ** BEAT_BITS`` cycles of its clock."""

COUNTER_BITS = 16


class LinkStatus(data.Struct):
    """Of one board-to-board link; the low word of its registers."""

    up: 1
    trained: 1
    far_trained: 1
    aligned: 1
    clock: 1
    state: TrainingState
    reserved: 1
    drops: 8
    errors: COUNTER_BITS


class LinkSupervisor(wiring.Component):
    """Decides when flits may flow, and counts what goes wrong.

    Ports
    -----
    receiver_aligned, receiver_far_trained : in, levels from the receiver's clock domain
    receiver_error, receiver_beat : in, from there, toggle with a bad frame and as time passes
    trained, state : in, of the training
    aligned : out, synchronised; alive : out, the receiver's clock runs
    sending : out, a register: what frames to send
    status : out, see :class:`LinkStatus`

    The link is up while both ends are trained; ``drops`` counts how often it went down,
    ``errors`` bad frames while trained; both stay at their largest value. A clock that stops is
    noticed after ``2 ** (BEAT_BITS + 2)`` cycles.
    """

    receiver_aligned: In(1)
    receiver_far_trained: In(1)
    receiver_error: In(1)
    receiver_beat: In(1)
    trained: In(1)
    state: In(TrainingState)
    aligned: Out(1)
    alive: Out(1)
    sending: Out(Sending)
    status: Out(LinkStatus)

    def elaborate(self, platform):
        m = Module()
        far_trained, error, beat = Signal(), Signal(), Signal()
        for name, target in (
            ("aligned", self.aligned),
            ("far_trained", far_trained),
            ("error", error),
            ("beat", beat),
        ):
            source = getattr(self, f"receiver_{name}")
            m.submodules[f"cross_{name}"] = FFSynchronizer(source, target)
        self._watch_clock(m, beat)

        up, was_up = Signal(), Signal()
        errors, drops = Signal(COUNTER_BITS), Signal(8)
        last_error = Signal()
        m.d.sync += [was_up.eq(up), last_error.eq(error)]
        with m.If((error != last_error) & self.trained & ~errors.all()):
            m.d.sync += errors.eq(errors + 1)
        with m.If(was_up & ~up & ~drops.all()):
            m.d.sync += drops.eq(drops + 1)
        m.d.sync += self.sending.eq(
            Mux(up, Sending.FLITS, Mux(self.trained, Sending.TRAINED, Sending.UNTRAINED))
        )
        status = self.status
        m.d.comb += [
            up.eq(self.trained & far_trained),
            status.up.eq(up),
            status.trained.eq(self.trained),
            status.far_trained.eq(far_trained),
            status.aligned.eq(self.aligned),
            status.clock.eq(self.alive),
            status.state.eq(self.state),
            status.drops.eq(drops),
            status.errors.eq(errors),
        ]
        return m

    def _watch_clock(self, m, beat):
        last = Signal()
        silent = Signal(BEAT_BITS + 2)
        m.d.sync += last.eq(beat)
        with m.If(beat != last):
            m.d.sync += [silent.eq(0), self.alive.eq(1)]
        with m.Elif(silent.all()):
            m.d.sync += self.alive.eq(0)
        with m.Else():
            m.d.sync += silent.eq(silent + 1)
