"""Bit alignment: where in its eye every lane is sampled."""

from amaranth import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least

TAPS = 128
"""Settings of a delay element."""

TAPS_PER_STEP = 8
STEPS = TAPS // TAPS_PER_STEP


class TrainingState(enum.IntEnum, shape=2):
    """What the training of a link is doing."""

    SWEEPING = 0
    PLACING = 1
    CHECKING = 2
    TRAINED = 3


class Training(wiring.Component):
    """Sweep the delay of all lanes, then put each in the middle of where it was good.

    Parameters: ``lanes``, at least 1; ``settle_cycles``, how long a setting is tried, at least 2.

    Ports
    -----
    lane_good, aligned : in, of the receiver, synchronised
    alive : in, the clock from the far end runs
    delay_load : out, the delay elements go to their lowest setting
    delay_move : out, per lane, a pulse moves its delay up by one
    state : out; ``trained`` : out, while the state is ``TRAINED``
    eye : out, per lane, width of the best run of good settings, in steps

    A lane without a good setting, or lanes that do not align, start the sweep over, again and
    again; so does losing the clock or the alignment later. A sweep takes ``STEPS`` times
    ``settle_cycles`` and the moves.
    """

    def __init__(self, *, lanes: int, settle_cycles: int):
        self._lanes = at_least("lanes", lanes, 1)
        self._settle = at_least("settle_cycles", settle_cycles, 2)
        super().__init__(
            {
                "lane_good": In(lanes),
                "aligned": In(1),
                "alive": In(1),
                "delay_load": Out(1, init=1),
                "delay_move": Out(lanes),
                "state": Out(TrainingState),
                "trained": Out(1),
                "eye": Out(range(STEPS + 1)).array(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = range(self._lanes)
        step = Signal(range(STEPS + 1))
        wait = Signal(range(self._settle))
        settled = wait == self._settle - 1
        # A move is a pulse: high for a cycle, low for at least one.
        moves = Signal(range(TAPS + 1))
        left = [Signal(range(TAPS + 1), name=f"left_{lane}") for lane in lanes]
        run = [Signal(range(STEPS + 1), name=f"run_{lane}") for lane in lanes]
        end = [Signal(range(STEPS + 1), name=f"end_{lane}") for lane in lanes]
        longer = [Signal(range(STEPS + 2), name=f"longer_{lane}") for lane in lanes]
        high = Signal()
        m.d.sync += [
            high.eq(~high),
            *(longer[lane].eq(Mux(self.lane_good[lane], run[lane] + 1, 0)) for lane in lanes),
        ]

        def start():
            m.d.sync += [self.delay_load.eq(1), step.eq(0), wait.eq(0), moves.eq(0)]
            m.d.sync += [signal.eq(0) for lane in lanes for signal in (run[lane], self.eye[lane])]
            m.next = "sweep"

        m.d.sync += [self.delay_load.eq(0), self.delay_move.eq(0)]
        with m.FSM():
            with m.State("sweep"):
                m.d.comb += self.state.eq(TrainingState.SWEEPING)
                with m.If(~self.alive):
                    start()
                with m.Elif(moves != 0):
                    m.d.sync += [self.delay_move.eq(Mux(high, (1 << self._lanes) - 1, 0))]
                    with m.If(high):
                        m.d.sync += moves.eq(moves - 1)
                with m.Elif(~settled):
                    m.d.sync += wait.eq(wait + 1)
                with m.Else():
                    m.next = "judge"
            with m.State("judge"):
                m.d.comb += self.state.eq(TrainingState.SWEEPING)
                m.next = "sweep"
                with m.If(step == STEPS):
                    m.d.sync += [self.delay_load.eq(1), wait.eq(0)]
                    self._aim(m, left, end)
                    m.next = "place"
                with m.Else():
                    m.d.sync += [step.eq(step + 1), wait.eq(0), moves.eq(TAPS_PER_STEP)]
                    self._note_step(m, step, run, longer, end)
            with m.State("place"):
                m.d.comb += self.state.eq(TrainingState.PLACING)
                self._move_each(m, high, left)
                with m.If(wait != 1):
                    m.d.sync += wait.eq(1)
                with m.Elif(sum(amount.any() for amount in left) == 0):
                    m.d.sync += wait.eq(0)
                    m.next = "check"
            with m.State("check"):
                m.d.comb += self.state.eq(TrainingState.CHECKING)
                m.d.sync += wait.eq(wait + 1)
                with m.If(settled):
                    with m.If(self.aligned & self.alive):
                        m.next = "trained"
                    with m.Else():
                        start()
            with m.State("trained"):
                m.d.comb += [self.state.eq(TrainingState.TRAINED), self.trained.eq(1)]
                with m.If(~self.aligned | ~self.alive):
                    start()
        return m

    def _note_step(self, m, step, run, longer, end):
        """The runs of good settings, and of the longest where it ends."""
        for lane in range(self._lanes):
            m.d.sync += run[lane].eq(longer[lane])
            with m.If(longer[lane] > self.eye[lane]):
                m.d.sync += [self.eye[lane].eq(longer[lane]), end[lane].eq(step + 1)]

    def _aim(self, m, left, end):
        """At the middle of the run that ends before step ``end``."""
        m.d.sync += [
            left[lane].eq(((end[lane] << 1) - self.eye[lane]) * (TAPS_PER_STEP // 2))
            for lane in range(self._lanes)
        ]

    def _move_each(self, m, high, left):
        for lane in range(self._lanes):
            with m.If(high & (left[lane] != 0)):
                m.d.sync += [
                    self.delay_move[lane].eq(1),
                    left[lane].eq(left[lane] - 1),
                ]
