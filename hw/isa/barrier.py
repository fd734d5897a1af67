"""Barriers: which endpoints have arrived, and for which round."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.fabric.packets import header_of
from hw.spec.bits import index_bits
from hw.spec.config import MAX_ENDPOINTS, Config
from hw.spec.packet import ROUND_BITS, ROUNDS_AHEAD, WORD_BYTES, Operation, flit_layout
from hw.stream.connect import event

SLOT_BITS = exact_log2(ROUNDS_AHEAD)


def arrival_layout(config: Config) -> data.StructLayout:
    """An endpoint's arrival: at which barrier, and for which round."""
    return data.StructLayout({"sync_id": index_bits(config.isa.sync_ids), "round": ROUND_BITS})


class Arrival(wiring.Component):
    """Take arrivals (atomic adds with INC set) off one port.

    Ports: ``i``, flit stream in, always ready; ``o``, event out, see :func:`arrival_layout`;
    ``stray``, pulse: a packet that is no arrival at a barrier that is there. Both come one cycle
    after the header flit.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(flit_layout(config))),
                "o": Out(event(arrival_layout(config))),
                "stray": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        header = header_of(self.i.payload)
        begins, known = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(1),
            begins.eq(self.i.valid & self.i.payload.first),
            known.eq(
                (header.operation == Operation.ATOMIC_ADD)
                & (header.address % WORD_BYTES == 0)
                & (header.address < WORD_BYTES * self._config.isa.sync_ids)
                & (header.tag < 1 << ROUND_BITS)
            ),
        ]
        m.d.sync += [
            self.o.valid.eq(begins & known),
            self.stray.eq(begins & ~known),
            self.o.payload.sync_id.eq(header.address >> 3),
            self.o.payload.round.eq(header.tag),
        ]
        return m


class BarrierUser(wiring.Signature):
    """Between a wave controller and the barriers, seen from the controller.

    ``sync_id``, ``round`` and ``participants`` are those of its instruction, and stay while it
    holds a round. ``claim`` (pulse): it is to wait for that round; in the next cycle ``held``
    tells whether it may. ``end`` (pulse): its instruction passes, has failed, or was refused
    without a claim; ``ended``: the round is over by this ``end``, because it was held, or was open
    and no other instruction's. ``met``: held, and every participant has arrived; ``missing``:
    those that have not.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "sync_id": Out(index_bits(config.isa.sync_ids)),
                "round": Out(ROUND_BITS),
                "participants": Out(MAX_ENDPOINTS),
                "claim": Out(1),
                "end": Out(1),
                "held": In(1),
                "ended": In(1),
                "met": In(1),
                "missing": In(config.system.endpoints),
            }
        )


class BarrierState(wiring.Signature):
    """What the barriers show to the registers and are told by them, seen from the barriers.

    ``begin``, ``begin_round``: pulse per barrier: forget all arrivals there, this round is
    current. ``waited_at``: per barrier, a controller holds one of its rounds. ``current``,
    ``over``: per barrier, its oldest open round, and a bit per open round, from that one on:
    it is over. ``late``, ``doubled``, ``stray``: how many arrivals of the cycle before were for
    a round that is over, had been made before, or were too far ahead; ``stray`` also: had been
    made for a round that has ended now without naming that endpoint.
    """

    def __init__(self, config: Config):
        ports, controllers = config.system.endpoints, config.isa.wave_controllers
        barriers = config.isa.sync_ids
        # Each endpoint, and each controller for every endpoint, may report one in a cycle.
        most = ports * (1 + controllers)
        super().__init__(
            {
                "begin": In(barriers),
                "begin_round": In(ROUND_BITS),
                "waited_at": Out(barriers),
                "current": Out(ROUND_BITS).array(barriers),
                "over": Out(ROUNDS_AHEAD).array(barriers),
                "late": Out(range(ports + 1)),
                "doubled": Out(range(ports + 1)),
                "stray": Out(range(most + 1)),
            }
        )


class Barrier(wiring.Component):
    """Barrier manager: per barrier the rounds that are open, and the arrivals for each.

    Ports
    -----
    arrival : event in per endpoint, see :func:`arrival_layout`
    user : per controller, see :class:`BarrierUser`
    state : see :class:`BarrierState`

    Of each barrier ``ROUNDS_AHEAD`` rounds are open, from the current one on. One controller
    at most holds a round. When its instruction ends there, in whatever way, the round is over:
    what was gathered for it is gone, and later arrivals for it are late. A round that is over
    leaves the window at one end, one a cycle, and the next opens at the other end. ``met``
    follows an arrival by one cycle.

    The published design counts arrivals; one bit per endpoint tells which is missing and cannot
    be fooled by an endpoint that arrives twice. Golden twin: ``models/isa/barrier.py``.
    """

    def __init__(self, config: Config):
        self._config = config
        ports, controllers = config.system.endpoints, config.isa.wave_controllers
        super().__init__(
            {
                "arrival": In(event(arrival_layout(config))).array(ports),
                "user": In(BarrierUser(config)).array(controllers),
                "state": Out(BarrierState(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        barriers, ports = self._config.isa.sync_ids, self._config.system.endpoints
        size = ROUNDS_AHEAD * ports
        # By the low bits of the round.
        present = Array(Signal(size, name=f"present_{s}") for s in range(barriers))
        over = Array(Signal(ROUNDS_AHEAD, name=f"over_{s}") for s in range(barriers))
        # Rounds that end, and bits that are set, in this cycle.
        ending = Array(Signal(ROUNDS_AHEAD, name=f"ending_{s}") for s in range(barriers))
        arriving = [Signal(size, name=f"arriving_{s}") for s in range(barriers)]
        left_over = self._rounds_end(m, present, over, ending)
        self._arrivals(m, present, over, ending, arriving, left_over)
        for s, current in enumerate(self.state.current):
            oldest = current[:SLOT_BITS]
            leaves = over[s].bit_select(oldest, 1)
            m.d.comb += self.state.over[s].eq(Cat(over[s], over[s]) >> oldest)
            m.d.sync += [
                over[s].eq((over[s] & ~(leaves << oldest)) | ending[s]),
                current.eq(current + leaves),
                present[s].eq(
                    (present[s] | arriving[s]) & ~Cat(bit.replicate(ports) for bit in ending[s])
                ),
            ]
            with m.If(self.state.begin[s]):
                m.d.sync += [over[s].eq(0), current.eq(self.state.begin_round), present[s].eq(0)]
        return m

    def _rounds_end(self, m, present, over, ending):
        """Claims and ends of the controllers. Returns, per controller, the endpoints that had
        arrived for the round that it ends, but are not among its participants."""
        ports, current = self._config.system.endpoints, Array(self.state.current)
        users = list(self.user)
        left_over = []
        for c, user in enumerate(users):
            slot = user.round[:SLOT_BITS]
            here = present[user.sync_id].word_select(slot, ports)
            is_open = Signal(name=f"is_open_{c}")

            def same(other, user=user):
                return (other.sync_id == user.sync_id) & (other.round == user.round)

            held, claimed = (
                Cat(
                    getattr(other, name) & same(other) for other in users if other is not user
                ).any()
                for name in ("held", "claim")
            )
            earlier_claim, earlier_end = (
                Cat(getattr(other, name) & same(other) for other in users[:c]).any()
                for name in ("claim", "end")
            )
            begins = self.state.begin.bit_select(user.sync_id, 1)
            m.d.comb += [
                is_open.eq(
                    ((user.round - current[user.sync_id])[:ROUND_BITS] < ROUNDS_AHEAD)
                    & ~over[user.sync_id].bit_select(slot, 1)
                    & ~held
                ),
                # An instruction that was refused ends its round unless that is another's.
                user.ended.eq(user.end & (user.held | (is_open & ~claimed & ~earlier_end))),
                user.missing.eq(user.participants & ~here),
                user.met.eq(user.held & (user.missing == 0)),
            ]
            with m.If(user.end):
                m.d.sync += user.held.eq(0)
            with m.Elif(user.claim):
                m.d.sync += user.held.eq(is_open & ~earlier_claim & ~begins)
            for s in range(len(ending)):
                with m.If(user.ended & (user.sync_id == s)):
                    m.d.comb += ending[s].bit_select(slot, 1).eq(1)
                with m.If(user.held & (user.sync_id == s)):
                    m.d.comb += self.state.waited_at[s].eq(1)
            left_over.append(Mux(user.ended, here & ~user.participants[:ports], 0))
        return left_over

    def _arrivals(self, m, present, over, ending, arriving, left_over):
        """Tell arrivals in time from all others, and count those."""
        ports = self._config.system.endpoints
        current = Array(self.state.current)
        late, doubled = Signal(ports), Signal(ports)
        stray = Signal(ports * (1 + len(left_over)))
        for port in range(ports):
            arrival = self.arrival[port].payload
            sync_id, number = arrival.sync_id, arrival.round
            slot = number[:SLOT_BITS]
            ahead = Signal(ROUND_BITS, name=f"ahead_{port}")
            there, is_over, begins = (
                Signal(name=f"{name}_{port}") for name in ("there", "is_over", "begins")
            )
            m.d.comb += [
                ahead.eq(number - current[sync_id]),
                there.eq(present[sync_id].word_select(slot, ports)[port]),
                is_over.eq((over[sync_id] | ending[sync_id]).bit_select(slot, 1)),
                begins.eq(self.state.begin.bit_select(sync_id, 1)),
            ]
            with m.If(self.arrival[port].valid):
                with m.If(begins):
                    m.d.comb += stray[port].eq(1)
                with m.Elif(ahead < ROUNDS_AHEAD):
                    m.d.comb += [doubled[port].eq(there), late[port].eq(is_over & ~there)]
                    for s, bits in enumerate(arriving):
                        for k in range(ROUNDS_AHEAD):
                            with m.If((sync_id == s) & (slot == k) & ~is_over):
                                m.d.comb += bits[k * ports + port].eq(1)
                with m.Else():
                    passed = ahead[-1]
                    m.d.comb += [late[port].eq(passed), stray[port].eq(~passed)]
        m.d.comb += stray[ports:].eq(Cat(*left_over))
        for total, events in (
            (self.state.late, late),
            (self.state.doubled, doubled),
            (self.state.stray, stray),
        ):
            before = Signal.like(events)
            m.d.sync += before.eq(events)
            m.d.comb += total.eq(sum(before))
