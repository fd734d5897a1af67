"""Sending end of a link: credits, and which channel goes next."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import covers, subset
from hw.spec.config import Config
from hw.spec.packet import (
    Channel,
    QueueSet,
    credit_layout,
    flit_layout,
    link_flit_layout,
    queue_flits,
    queue_set,
)
from hw.stream.arbiter import RoundRobin, select


class Transmitter(wiring.Component):
    """Send flits of several channels over one link.

    Parameters: ``channels`` that this end sends, each once, at least one of each queue set.

    Ports
    -----
    i : one flit stream per channel, in the order of ``channels``
    link : link out, registered; with a physical layer that is always ready a flit per cycle
    grant : credits the far end has returned (valid, per-channel counts)
    owed, take_owed : credits this end owes the far end, and that they leave this cycle
    owed_urgent : there are some that should leave even if flits wait
    credits : out, credits held, per channel
    credited : out, one bit per channel of ``channels``: any are held
    chosen : out, one-hot, the channel of ``channels`` whose flit leaves next; zero if none waits
    peer_dead : out, the far end took no flit of some channel for ``link.dead_peer_cycles``: from
        now until reset what is sent there is dropped, so that it blocks nothing else

    Per cycle one flit leaves whose channel holds a credit. The link alternates between the
    two queue sets while both have something to send (paper, 3.2: round robin on TX), and
    between classes within a set, flit by flit: a channel that stalls, or a long packet,
    delays no other. Owed credits leave whenever the link would idle, or when urgent.
    Latency 1 cycle; with ``fabric.registered`` 2, and from one channel a flit every second cycle.
    """

    def __init__(self, config: Config, channels: tuple[Channel, ...]):
        self._config = config
        subset("channels", channels, Channel)
        self._channels = covers("channels", channels, queue_set, QueueSet)
        super().__init__(
            {
                "i": In(stream.Signature(flit_layout(config))).array(len(channels)),
                "link": Out(stream.Signature(link_flit_layout(config))),
                "grant_valid": In(1),
                "grant": In(credit_layout()),
                "owed": In(credit_layout()),
                "owed_any": In(1),
                "owed_urgent": In(1),
                "take_owed": Out(1),
                "credits": Out(credit_layout()),
                "credited": Out(len(channels)),
                "chosen": Out(len(channels)),
                "peer_dead": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        count = len(self._channels)
        eligible = Signal(count)
        sent = Signal(count)
        for index, channel in enumerate(self._channels):
            depth = queue_flits(self._config, channel)
            credits = Signal(range(depth + 1), init=depth, name=f"credits_{channel.name.lower()}")
            returned = Mux(self.grant_valid, self.grant[channel.value], 0)
            # Whether any are left is known beside the count, not from it.
            some = Signal(init=1, name=f"some_{channel.name.lower()}")
            m.d.sync += [
                credits.eq(credits + returned - sent[index]),
                some.eq(returned.any() | (credits > 1) | ((credits == 1) & ~sent[index])),
            ]
            m.d.comb += [
                eligible[index].eq(self.i[index].valid & some),
                self.credited[index].eq(some),
                self.credits[channel.value].eq(credits),
            ]

        # With a register between choice and departure, a channel whose flit leaves does not ask.
        registered = self._config.fabric.registered
        choice, chosen = Signal(count), self.chosen
        asking = Signal(count)
        m.d.comb += asking.eq(eligible & ~(chosen if registered else 0))
        sets = [
            [i for i, channel in enumerate(self._channels) if queue_set(channel) == which]
            for which in QueueSet
        ]
        turns = []
        for which, members in zip(QueueSet, sets, strict=True):
            turn = RoundRobin(len(members))
            m.submodules[f"turn_{which.name.lower()}"] = turn
            m.d.comb += turn.requests.eq(Cat(asking[i] for i in members))
            turns.append(turn)
        m.submodules.turn_set = turn_set = RoundRobin(len(QueueSet))
        m.d.comb += turn_set.requests.eq(Cat(turn.requests.any() for turn in turns))
        for which, members in enumerate(sets):
            m.d.comb += turns[which].advance.eq(turn_set.grant[which] & turn_set.advance)
            for position, i in enumerate(members):
                m.d.comb += choice[i].eq(turn_set.grant[which] & turns[which].grant[position])

        goes, free = Signal(), Signal()
        if registered:
            m.d.comb += turn_set.advance.eq(goes | ~chosen.any())
            with m.If(turn_set.advance):
                m.d.sync += chosen.eq(choice)
        else:
            m.d.comb += [turn_set.advance.eq(goes), chosen.eq(choice)]
        m.d.comb += [
            free.eq(~self.link.valid | self.link.ready),
            self.take_owed.eq(
                free & (self.owed_urgent | (self.owed_any & (~chosen.any() | self.peer_dead)))
            ),
            goes.eq(free & ~self.owed_urgent & ~self.peer_dead),
            sent.eq(Mux(goes, chosen, 0)),
        ]
        for index, source in enumerate(self.i):
            m.d.comb += source.ready.eq(sent[index] | self.peer_dead)
        self._watch_peer(m, Cat(source.valid for source in self.i) & ~sent)

        flit = Signal(flit_layout(self._config))
        m.d.comb += flit.eq(select(chosen, [s.payload for s in self.i]))
        with m.If(free):
            m.d.sync += [
                self.link.valid.eq((chosen.any() & ~self.peer_dead) | self.owed_any),
                self.link.payload.credit.eq(self.take_owed),
                self.link.payload.channel.eq(
                    select(chosen, [channel.value for channel in self._channels])
                ),
                self.link.payload.flit.eq(flit),
            ]
        with m.If(self.take_owed):
            m.d.sync += self.link.payload.flit.data.eq(self.owed)
        return m

    def _watch_peer(self, m, waiting):
        """One channel at a time is watched until it moves, or the peer is declared dead."""
        watched = Signal(len(waiting), init=1)
        limit = self._config.link.dead_peer_cycles
        waited = Signal(range(limit + 1))
        with m.If((watched & waiting).any()):
            m.d.sync += waited.eq(waited + 1)
            with m.If(waited == limit):
                m.d.sync += self.peer_dead.eq(1)
        with m.Else():
            m.d.sync += [waited.eq(0), watched.eq(watched.rotate_left(1))]
