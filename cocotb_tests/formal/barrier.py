"""hw/isa/barrier.py: an arrival counts for its round and for no other, whatever happens beside it;
hw/endpoint/sync.py: no wait is lost."""

from itertools import combinations

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from cocotb_tests.support.formal import Claim
from hw.endpoint.sync import Sync
from hw.isa.barrier import Barrier
from hw.spec.config import load
from hw.spec.packet import ROUND_BITS, ROUNDS_AHEAD, WORD_BYTES, FlagWord
from hw.spec.status import Status

CONFIG = load("tiny", {"isa.sync_ids": 2, "isa.block_formats": (), "isa.wave_controllers": 4})
PORTS = CONFIG.system.endpoints
CONTROLLERS = 3
"""Controllers whose instructions do anything; the last one of the configuration does nothing."""
EVENTS = {"arrived": 1, "arrives_at": 1, "arrives_for": ROUND_BITS}
USER = {"sync_id": 1, "round": ROUND_BITS, "participants": PORTS, "claim": 1, "end": 1}


class AnyInterleaving(wiring.Component):
    """Barriers between endpoints that arrive anywhere at any time, controllers whose instructions
    claim, pass, fail and are refused at any time, and a host that begins barriers anew. One
    endpoint's arrivals for one round of one barrier, whichever ``watch`` names, are followed.
    The controller that does nothing shows what the barrier has gathered of them.
    """

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__(
            {f"{name}_{port}": In(bits) for name, bits in EVENTS.items() for port in range(PORTS)}
            | {f"{name}_{c}": In(bits) for name, bits in USER.items() for c in range(CONTROLLERS)}
            | {"begin": In(2), "begin_round": In(ROUND_BITS)}
            | {"watch_port": In(1), "watch_barrier": In(1), "watch_round": In(ROUND_BITS)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.part = part = Barrier(CONFIG)
        state = part.state
        watched = Cat(self.watch_port, self.watch_barrier, self.watch_round)
        begun, watched_before = Signal(), Signal.like(watched)
        m.d.sync += [begun.eq(1), watched_before.eq(watched)]
        m.d.comb += [
            Assume(~ResetSignal()),
            Assume(~begun | (watched == watched_before)),
            # As the register ROUND accepts it.
            Assume((self.begin & state.waited_at) == 0),
            state.begin.eq(self.begin),
            state.begin_round.eq(self.begin_round),
        ]
        matches = self._controllers(m, part, begun)
        arrivals = []
        for port in range(PORTS):
            arrived, at, number = (getattr(self, f"{name}_{port}") for name in EVENTS)
            m.d.comb += [
                part.arrival[port].valid.eq(arrived),
                part.arrival[port].payload.sync_id.eq(at),
                # The seeded bug: an arrival counts for whichever round comes next.
                part.arrival[port].payload.round.eq(
                    Mux(at, state.current[1], state.current[0]) if self._broken else number
                ),
            ]
            arrivals.append(
                arrived
                & (self.watch_port == port)
                & (at == self.watch_barrier)
                & (number == self.watch_round)
            )
        self._follow(m, part, matches, Cat(*arrivals).any())
        return m

    def _controllers(self, m, part, begun):
        """Returns, per controller: its instruction is of the round that is watched."""
        matches = []
        users, (idle,) = list(part.user)[:CONTROLLERS], list(part.user)[CONTROLLERS:]
        for c, user in enumerate(users):
            driven = {name: getattr(self, f"{name}_{c}") for name in USER}
            kept = Cat(driven["sync_id"], driven["round"], driven["participants"])
            before, claimed = Signal.like(kept), Signal(name=f"claimed_{c}")
            m.d.sync += [before.eq(kept), claimed.eq(driven["claim"])]
            m.d.comb += [getattr(user, name).eq(value) for name, value in driven.items()]
            m.d.comb += [
                # As an instruction does that is issued: it stays while it holds a round, and
                # claims one only while it holds none.
                Assume(~(begun & user.held) | (kept == before)),
                Assume(~(driven["claim"] & (driven["end"] | user.held))),
                # One that could not claim its round is over without another word.
                Assume(~(claimed & ~user.held & driven["end"])),
            ]
            matches.append((user.sync_id == self.watch_barrier) & (user.round == self.watch_round))
        m.d.comb += [
            idle.sync_id.eq(self.watch_barrier),
            idle.round.eq(self.watch_round),
            idle.participants.eq(1 << self.watch_port),
            Assert(~idle.held),
        ]
        return matches

    def _follow(self, m, part, matches, arrives):
        state, users = part.state, list(part.user)[:CONTROLLERS]
        is_open, in_window, is_over = self._seen(m, state, "watched", self)
        begins, ending = Signal(), Signal()
        in_time, untimely, ended_before = Signal(), Signal(), Signal()
        watched = list(zip(users, matches, strict=True))
        ends_held = Cat(user.end & user.held & match for user, match in watched).any()
        # One that is refused before its claim ends no round of another.
        drops = Cat(user.end & ~user.held & match for user, match in watched).any()
        another = Cat((user.held | user.claim) & match for user, match in watched).any()
        counts = arrives & is_open & ~ending & ~begins
        m.d.comb += [
            begins.eq(self.begin.bit_select(self.watch_barrier, 1)),
            ending.eq(ends_held | (drops & ~another)),
        ]
        m.d.sync += [
            in_time.eq(is_open & (in_time | counts) & ~ending & ~begins),
            untimely.eq(arrives & (in_time | ~counts)),
            ended_before.eq(is_open & ending & ~begins),
        ]
        gathered = ~part.user[CONTROLLERS].missing.bit_select(self.watch_port, 1)
        m.d.comb += [
            # Nothing is gathered but what came in time, and that until the round is over.
            Assert(~in_window | (gathered == in_time)),
            Assert(~in_time | is_open),
            Assert(~is_over | ~gathered),
            Assert(~(ended_before & is_open)),
            # An arrival counts, or is counted a cycle later.
            Assert(~untimely | ((state.late + state.doubled + state.stray) != 0)),
        ]
        self._instructions(m, part, watched, is_open, in_time, another)
        early = Signal()
        with m.If(arrives & ~in_window):
            m.d.sync += early.eq(1)
        m.d.comb += [Cover(early & is_open & ~in_time & another), Cover(untimely & in_time)]

    def _seen(self, m, state, name, of):
        """Of the round of an instruction, or the one that is watched: it is open, is one of the
        window, the one at its place in the window is over."""
        sync_id, number = (
            (of.watch_barrier, of.watch_round) if of is self else (of.sync_id, of.round)
        )
        ahead, is_over = Signal(ROUND_BITS, name=f"ahead_{name}"), Signal(name=f"is_over_{name}")
        in_window = ahead < ROUNDS_AHEAD
        m.d.comb += [
            ahead.eq(number - Mux(sync_id, state.current[1], state.current[0])),
            is_over.eq(Mux(sync_id, state.over[1], state.over[0]).bit_select(ahead[:2], 1)),
        ]
        return in_window & ~is_over, in_window, is_over

    def _instructions(self, m, part, watched, is_open, in_time, another):
        failed, passed = Signal(), Signal()
        for c, (user, match) in enumerate(watched):
            named = user.participants.bit_select(self.watch_port, 1)
            missing = user.missing.bit_select(self.watch_port, 1)
            open_here, *_ = self._seen(m, part.state, str(c), user)
            m.d.comb += [
                # It passes only with the arrival, and misses no endpoint that came in time.
                Assert(~(user.met & match & named) | in_time),
                Assert(~(user.held & match) | (missing == (named & ~in_time))),
                # A round that is held is open.
                Assert(~user.held | open_here),
                # It ends a round only where it held it, or where no other one does.
                Assert(~(user.ended & match) | (user.end & is_open & (user.held | ~another))),
                Cover(user.met & match & named & user.end & failed),
            ]
            with m.If(user.held & user.end & ~user.met):
                m.d.sync += failed.eq(1)
            with m.If(user.held & user.end & user.met & ~match):
                m.d.sync += passed.eq(1)
        for (one, _), (other, _) in combinations(watched, 2):
            same = (one.sync_id == other.sync_id) & (one.round == other.round)
            m.d.comb += [
                Assert(~(one.held & other.held & same)),
                Assert(~(one.ended & other.ended & same)),
                Cover(one.held & other.held & passed),
            ]


class EveryWait(wiring.Component):
    """An endpoint that begins and cancels waits wherever it may, a link and a memory that take
    what is offered and answer at once, and flags that hold anything. The waits at one barrier,
    whichever ``watch`` names, are followed.
    """

    LIMIT = 14
    """Cycles in which a wait ends whose flag is there."""

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__(
            {
                "start": In(1),
                "cancel": In(1),
                "at": In(1),
                "number": In(2),
                "flag": In(FlagWord.layout()),
                "watch": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.part = part = Sync(CONFIG, identity=0)
        begun, watch_before, answers = Signal(), Signal(), Signal()
        here, waits, waited, ended = (Signal() for _ in range(4))
        number, there = Signal(2), Signal(range(self.LIMIT + 2))
        good = self.flag.valid & (self.flag.round == number)
        words = CONFIG.fabric.flit_bytes // WORD_BYTES
        m.d.comb += [
            Assume(~ResetSignal()),
            Assume(~begun | (self.watch == watch_before)),
            # As the registers ARRIVE and CANCEL accept it.
            Assume(~(self.start & part.waiting.bit_select(self.at, 1))),
            Assume(~(self.cancel & ~part.waiting.bit_select(self.at, 1))),
            part.start.eq(self.start),
            part.sync_id.eq(self.at),
            part.round.eq(self.number),
            part.cancel.eq(self.cancel),
            # The seeded bug: it is the other wait that is cancelled.
            part.cancel_id.eq(self.at ^ int(self._broken)),
            part.o.ready.eq(1),
            part.burst.ready.eq(1),
            part.beat.valid.eq(answers),
            # The flag of either barrier.
            part.beat.payload.data.eq(Cat(self.flag for _ in range(words))),
            here.eq(self.at == self.watch),
            waits.eq(part.waiting.bit_select(self.watch, 1)),
            # A wait ends for a reason alone, and one whose flag is there ends.
            Assert(~(waited & ~waits) | ended),
            Assert(there <= self.LIMIT),
            Cover(waited & ~waits & (part.statuses[0] == Status.POISONED)),
            Cover(part.waiting == 3),
        ]
        m.d.sync += [
            begun.eq(1),
            watch_before.eq(self.watch),
            answers.eq(part.burst.valid),
            waited.eq(waits),
            ended.eq((self.cancel & here) | (answers & good)),
            there.eq(Mux(waits & good, there + 1, 0)),
        ]
        with m.If(self.start & here):
            m.d.sync += number.eq(self.number)
        return m


CLAIMS = [
    Claim(
        "isa/barrier.py",
        "a collective passes only with every participant's arrival for its round; no arrival in "
        "time is lost",
        AnyInterleaving,
        lambda: AnyInterleaving(broken=True),
        depth=2,
        cover_depth=10,
        induction=True,
        gates=True,
    ),
    Claim(
        "endpoint/sync.py",
        "a wait ends by its flag or its end alone, whatever the other ones do, and none is lost",
        EveryWait,
        lambda: EveryWait(broken=True),
        depth=18,
        cover_depth=18,
        full_depth=30,
    ),
]
