"""Arrive at barriers, and poll their completion flags."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.fabric.packets import drive_header, node_id
from hw.memory.axi import BURST_LAYOUT, read_beat_layout
from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.packet import (
    ADDRESS_BITS,
    ROUND_BITS,
    WORD_BYTES,
    FlagWord,
    MessageClass,
    Operation,
    flit_layout,
)
from hw.spec.status import Status
from hw.stream.arbiter import lowest_set


class Sync(wiring.Component):
    """What an accelerator does around a collective, at every barrier by itself.

    Parameters: ``identity``, id of the endpoint, 0 … 15, or a value that holds it.

    Ports
    -----
    start, sync_id, round : in, arrive at that barrier for that round; only where it does not wait
    cancel, cancel_id : in, end the wait at that barrier
    flag_base, interval : in, address of flag 0; cycles between polls
    cycles, timeout : in, a counter; cycles that a wait may take, at most
        :data:`hw.spec.config.LONGEST_WAIT_CYCLES`, 0: for ever
    o : flit stream out, arrivals (header and one payload flit: add 1)
    burst, beat : streams, reads of the flags
    waiting : out per barrier, from the start until the flag is seen or the wait has ended
    rounds, statuses, identifiers : out per barrier: of its latest wait the round; the status
        that the flag told, or FLAG_TIMEOUT or CANCELLED; the identifier that the flag told
    arrived, seen : pulses, an arrival has left; a flag was seen

    Flags are polled in turn, one per ``interval``. A flag counts if it is valid and of the round
    that is waited for. A timeout is noticed within a cycle per barrier.
    """

    def __init__(self, config: Config, *, identity: ValueLike):
        self._config = config
        self._identity = node_id(identity)
        barriers = config.isa.sync_ids
        sync_bits = index_bits(barriers)
        super().__init__(
            {
                "start": In(1),
                "sync_id": In(sync_bits),
                "round": In(ROUND_BITS),
                "cancel": In(1),
                "cancel_id": In(sync_bits),
                "flag_base": In(ADDRESS_BITS),
                "interval": In(16),
                "cycles": In(32),
                "timeout": In(32),
                "o": Out(stream.Signature(flit_layout(config))),
                "burst": Out(stream.Signature(BURST_LAYOUT)),
                "beat": In(stream.Signature(read_beat_layout(config))),
                "waiting": Out(barriers),
                "rounds": Out(ROUND_BITS).array(barriers),
                "statuses": Out(Status).array(barriers),
                "identifiers": Out(16).array(barriers),
                "arrived": Out(1),
                "seen": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        barriers = self._config.isa.sync_ids
        # Waits whose arrival has yet to be sent, and those whose arrival has left.
        unsent, polled = Signal(barriers), Signal(barriers)
        sending, leaves = self._send(m, unsent)
        sees, word = self._poll(m, polled, leaves)
        expires = self._timeouts(m)
        starts, cancels, ends = Signal(barriers), Signal(barriers), Signal(barriers)
        m.d.comb += [
            starts.eq(self.start << self.sync_id),
            cancels.eq(self.cancel << self.cancel_id),
            ends.eq((cancels | expires) & self.waiting & ~sees),
        ]
        m.d.sync += [
            self.waiting.eq((self.waiting & ~sees & ~ends) | starts),
            unsent.eq((unsent | starts) & ~sending & ~ends),
            polled.eq((polled | leaves) & ~sees & ~ends),
        ]
        for s in range(barriers):
            with m.If(starts[s]):
                m.d.sync += self.rounds[s].eq(self.round)
            with m.If(sees[s]):
                m.d.sync += [
                    self.statuses[s].eq(word.status),
                    self.identifiers[s].eq(word.identifier),
                ]
            with m.Elif(ends[s]):
                m.d.sync += self.statuses[s].eq(
                    Mux(cancels[s], Status.CANCELLED, Status.FLAG_TIMEOUT)
                )
        return m

    def _send(self, m, unsent):
        """Arrivals in turn, one at a time: a wait that is begun and cancelled again and again keeps
        back no other. Returns a bit per barrier whose arrival is taken up in this cycle, and one
        per barrier whose arrival has left."""
        rounds = Array(self.rounds)
        waits, later, sending = (Signal.like(unsent) for _ in range(3))
        sent_id, sent_round = Signal.like(self.sync_id), Signal(ROUND_BITS)
        leaves = Signal.like(unsent)
        chosen = _index(sending)
        m.d.comb += [
            waits.eq(unsent | (self.start << self.sync_id)),
            later.eq(waits & ~((2 << sent_id) - 1)),
        ]
        with m.FSM():
            with m.State("idle"), m.If(waits.any()):
                m.d.comb += sending.eq(lowest_set(Mux(later.any(), later, waits)))
                m.d.sync += [
                    sent_id.eq(chosen),
                    sent_round.eq(Mux((unsent & sending).any(), rounds[chosen], self.round)),
                ]
                m.next = "header"
            with m.State("header"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    *drive_header(
                        self.o.payload,
                        last=0,
                        inc=1,
                        message_class=MessageClass.WRITE_REQUEST,
                        operation=Operation.ATOMIC_ADD,
                        source=self._identity,
                        tag=sent_round,
                        length=WORD_BYTES,
                        address=sent_id << 3,
                    ),
                ]
                with m.If(self.o.ready):
                    m.next = "operand"
            with m.State("operand"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(1),
                    self.o.payload.first.eq(0),
                    self.o.payload.last.eq(1),
                ]
                with m.If(self.o.ready):
                    m.d.comb += [
                        self.arrived.eq(1),
                        # A wait that has ended, or began anew meanwhile, is not polled.
                        leaves.eq((1 << sent_id) & self.waiting & ~unsent),
                    ]
                    m.next = "idle"
        return sending, leaves

    def _poll(self, m, polled, leaves):
        """Read flags in turn. Returns a bit per barrier whose flag is seen in this cycle, and the
        flag."""
        flit_bytes = self._config.fabric.flit_bytes
        rounds = Array(self.rounds)
        latest, following = Signal.like(self.sync_id), Signal.like(self.sync_id)
        address, countdown = Signal(ADDRESS_BITS), Signal(16)
        later, sees = Signal.like(polled), Signal.like(polled)
        lane = address[3 : exact_log2(flit_bytes)]
        word = data.View(FlagWord.layout(), self.beat.payload.data.word_select(lane, 64))
        m.d.comb += [
            later.eq(polled & ~((2 << latest) - 1)),
            following.eq(_index(lowest_set(Mux(later.any(), later, polled)))),
            self.beat.ready.eq(1),
            self.burst.payload.address.eq(address & ~(flit_bytes - 1)),
            self.burst.payload.beats.eq(1),
        ]
        with m.FSM():
            with m.State("idle"), m.If(leaves.any()):
                m.d.sync += countdown.eq(self.interval)
                m.next = "pause"
            with m.State("pause"):
                m.d.sync += countdown.eq(countdown - 1)
                with m.If(~polled.any()):
                    m.d.sync += countdown.eq(self.interval)
                    with m.If(~leaves.any()):
                        m.next = "idle"
                with m.Elif(countdown == 0):
                    m.d.sync += [
                        latest.eq(following),
                        address.eq(self.flag_base + (following << 3)),
                    ]
                    m.next = "poll"
            with m.State("poll"):
                m.d.comb += self.burst.valid.eq(1)
                with m.If(self.burst.ready):
                    m.next = "look"
            with m.State("look"), m.If(self.beat.valid):
                m.d.sync += countdown.eq(self.interval)
                m.next = "pause"
                with m.If(word.valid & (word.round == rounds[latest])):
                    m.d.comb += sees.eq((1 << latest) & polled)
        m.d.comb += self.seen.eq(sees.any())
        return sees, word

    def _timeouts(self, m):
        """Look at one wait after another. Returns, per barrier, which end in this cycle."""
        barriers = len(self.waiting)
        m.submodules.begun = begun = memory.Memory(shape=32, depth=max(2, barriers), init=[])
        keep, look = begun.write_port(), begun.read_port(domain="comb")
        place, before = Signal.like(self.sync_id), Signal.like(self.sync_id)
        age, waited = Signal(32), Signal()
        expires = Signal(barriers)
        m.d.comb += [
            keep.en.eq(self.start),
            keep.addr.eq(self.sync_id),
            keep.data.eq(self.cycles),
            look.addr.eq(place),
        ]
        m.d.sync += [
            place.eq(Mux(place == barriers - 1, 0, place + 1)),
            before.eq(place),
            age.eq(self.cycles - look.data),
            waited.eq(self.waiting.bit_select(place, 1)),
        ]
        late = waited & (self.timeout != 0) & (age >= self.timeout)
        m.d.comb += expires.eq((late << before) & self.waiting)
        return expires


def _index(one_hot):
    """Number of the bit that is set."""
    return Cat(
        Cat(bit for index, bit in enumerate(one_hot) if index >> place & 1).any()
        for place in range(index_bits(len(one_hot)))
    )
