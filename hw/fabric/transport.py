"""Transport layer: channels, queues and credits at one end of a link."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.link import LinkEvents, LinkLayer
from hw.fabric.phy import wire_signature
from hw.spec.config import Config
from hw.spec.link import link_parameters
from hw.spec.packet import (
    CREDIT_BITS,
    Channel,
    QueueSet,
    credit_layout,
    flit_layout,
    link_flit_layout,
    queue_flits,
    queue_set,
)
from hw.stream.arbiter import RoundRobin, select
from hw.stream.connect import connect_stream, through
from hw.stream.queue import LightRegister, Queue
from hw.stream.shared_queues import SharedQueues

TRANSPORT_CYCLES = 1 + Queue.LATENCY
"""From a stream of the sender to that of the receiver, without the physical layer."""


class Transmitter(wiring.Component):
    """Send flits of several channels over one link.

    Parameters: ``channels`` that this end sends.

    Ports
    -----
    i : one flit stream per channel, in the order of ``channels``
    link : link out, registered; with a physical layer that is always ready a flit per cycle
    grant : credits the far end has returned (valid, per-channel counts)
    owed, take_owed : credits this end owes the far end, and that they leave this cycle
    owed_urgent : there are some that should leave even if flits wait
    credits : out, credits held, per channel
    credited : out, one bit per channel of ``channels``: any are held
    given_up : out, the far end took no flit of some channel for ``link.patience_cycles``: from
        now until reset what is sent there is dropped, so that it blocks nobody else

    Per cycle one flit leaves whose channel holds a credit. The link alternates between the
    two queue sets while both have something to send (paper, 3.2: round robin on TX), and
    between classes within a set, flit by flit: a channel that stalls, or a long packet,
    delays no other. Owed credits leave whenever the link would idle, or when urgent.
    Latency 1 cycle.
    """

    def __init__(self, config: Config, channels: tuple[Channel, ...]):
        self._config = config
        self._channels = channels
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
                "given_up": Out(1),
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

        chosen = Signal(count)
        sets = [
            [i for i, channel in enumerate(self._channels) if queue_set(channel) == which]
            for which in QueueSet
        ]
        turns = []
        for which, members in zip(QueueSet, sets, strict=True):
            turn = RoundRobin(len(members))
            m.submodules[f"turn_{which.name.lower()}"] = turn
            m.d.comb += turn.requests.eq(Cat(eligible[i] for i in members))
            turns.append(turn)
        m.submodules.turn_set = turn_set = RoundRobin(len(QueueSet))
        m.d.comb += turn_set.requests.eq(Cat(turn.requests.any() for turn in turns))
        for which, members in enumerate(sets):
            m.d.comb += turns[which].advance.eq(turn_set.grant[which] & turn_set.advance)
            for position, i in enumerate(members):
                m.d.comb += chosen[i].eq(turn_set.grant[which] & turns[which].grant[position])

        goes, free = Signal(), Signal()
        m.d.comb += [
            free.eq(~self.link.valid | self.link.ready),
            self.take_owed.eq(
                free & (self.owed_urgent | (self.owed_any & (~eligible.any() | self.given_up)))
            ),
            goes.eq(free & ~self.owed_urgent & ~self.given_up),
            turn_set.advance.eq(goes),
            sent.eq(Mux(goes, chosen, 0)),
        ]
        for index, source in enumerate(self.i):
            m.d.comb += source.ready.eq(sent[index] | self.given_up)
        self._lose_patience(m, Cat(source.valid for source in self.i) & ~sent)

        flit = Signal(flit_layout(self._config))
        m.d.comb += flit.eq(select(chosen, [s.payload for s in self.i]))
        with m.If(free):
            m.d.sync += [
                self.link.valid.eq((eligible.any() & ~self.given_up) | self.owed_any),
                self.link.payload.credit.eq(self.take_owed),
                self.link.payload.channel.eq(
                    select(chosen, [channel.value for channel in self._channels])
                ),
                self.link.payload.flit.eq(flit),
            ]
        with m.If(self.take_owed):
            m.d.sync += self.link.payload.flit.data.eq(self.owed)
        return m

    def _lose_patience(self, m, waiting):
        """One channel is watched until it moves, or is given up with the whole link."""
        watched = Signal(len(waiting), init=1)
        patience = self._config.link.patience_cycles
        waited = Signal(range(patience + 1))
        with m.If((watched & waiting).any()):
            m.d.sync += waited.eq(waited + 1)
            with m.If(waited == patience):
                m.d.sync += self.given_up.eq(1)
        with m.Else():
            m.d.sync += [waited.eq(0), watched.eq(watched.rotate_left(1))]


class Receiver(wiring.Component):
    """Receive flits into one queue per channel and owe a credit for each flit consumed.

    Ports
    -----
    link : link in
    o : one flit stream per channel, in the order of ``channels``
    grant_valid, grant : credits received, for this end's transmitter
    owed, owed_any, owed_urgent, take_owed : see :class:`Transmitter`
    held : out, flits in the queue, per channel
    overflow : out, a flit came for which there was no room: it is lost

    Credits become urgent when half a queue's worth is owed, so a queue that is to sustain
    the full rate needs twice a round trip of depth at most. Queues cannot overflow: the
    sender holds one credit per place. Latency ``Queue.LATENCY``, or 4 cycles with
    ``fabric.registered``.
    """

    def __init__(self, config: Config, channels: tuple[Channel, ...]):
        self._config = config
        self._channels = channels
        super().__init__(
            {
                "link": In(stream.Signature(link_flit_layout(config))),
                "o": Out(stream.Signature(flit_layout(config))).array(len(channels)),
                "grant_valid": Out(1),
                "grant": Out(credit_layout()),
                "owed": Out(credit_layout()),
                "owed_any": Out(1),
                "owed_urgent": Out(1),
                "take_owed": In(1),
                "held": Out(credit_layout()),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        link = self.link
        m.d.comb += [
            link.ready.eq(1),
            self.grant_valid.eq(link.valid & link.payload.credit),
            self.grant.eq(link.payload.flit.data[: data.Layout.cast(credit_layout()).size]),
        ]
        count = len(self._channels)
        urgent, consumed, lost = Signal(count), Signal(count), Signal(count)
        depths = [queue_flits(self._config, channel) for channel in self._channels]
        enters = Signal(count)
        m.d.comb += [
            enters[index].eq(link.valid & ~link.payload.credit & (link.payload.channel == channel))
            for index, channel in enumerate(self._channels)
        ]
        queues = self._queues(m, depths, enters)
        for index, channel in enumerate(self._channels):
            depth, (out, level, full) = depths[index], queues[index]
            connect_stream(m, out, self.o[index])
            owed = Signal(CREDIT_BITS, name=f"owed_{channel.name.lower()}")
            limit = depth // 2
            m.d.sync += owed.eq(Mux(self.take_owed, 0, owed) + consumed[index])
            goes_on = (owed >= limit) | ((owed == limit - 1) & consumed[index])
            starts_over = consumed[index] & (limit == 1)
            m.d.comb += [
                consumed[index].eq(out.valid & out.ready),
                self.owed[channel.value].eq(owed),
                self.held[channel.value].eq(level),
                lost[index].eq(enters[index] & full),
                urgent[index].eq(Mux(self.take_owed, starts_over, goes_on)),
            ]
        # Both are known beside the counts, not from them.
        m.d.sync += [
            self.owed_any.eq(consumed.any() | (self.owed_any & ~self.take_owed)),
            self.owed_urgent.eq(urgent.any()),
        ]
        m.d.comb += self.overflow.eq(lost.any())
        return m

    def _queues(self, m, depths, enters):
        """Output, level and fullness of each queue; ``fabric.registered``: all in one memory."""
        shape, flit = flit_layout(self._config), self.link.payload.flit
        if self._config.fabric.registered:
            m.submodules.queues = shared = SharedQueues(shape, depths=depths)
            m.d.comb += [shared.payload.eq(flit), shared.enters.eq(enters)]
            return [
                (out, level, level == depth)
                for out, level, depth in zip(shared.o, shared.level, depths, strict=True)
            ]
        queues = []
        for index, channel in enumerate(self._channels):
            m.submodules[f"queue_{channel.name.lower()}"] = queue = Queue(
                shape, depth=depths[index]
            )
            m.d.comb += [queue.i.payload.eq(flit), queue.i.valid.eq(enters[index])]
            queues.append((queue.o, queue.level, ~queue.i.ready))
        return queues


class TransportCounts(data.Struct):
    """Pulses: a flit left or came, credits included; one that is no header or credit. What a
    link layer adds or repeats does not count."""

    transmitted: 1
    received: 1
    payload_transmitted: 1
    payload_received: 1


class Transport(wiring.Component):
    """Both directions at one end of a link.

    Parameters: ``transmit``, ``receive``: the channels sent and received here; ``buffered``:
    those sent whose source is no register.

    Ports
    -----
    transmit, receive : arrays of flit streams
    link_out, link_in : link out and in; with ``link.reliable`` behind a link layer
    counts : out, see :class:`TransportCounts`
    events : out, of the link layer; without one the link is always up
    given_up : out, see :class:`Transmitter`

    With ``fabric.registered`` what ``buffered`` names passes a register more.
    """

    def __init__(
        self,
        config: Config,
        *,
        transmit: tuple[Channel, ...],
        receive: tuple[Channel, ...],
        buffered: tuple[Channel, ...] = (),
    ):
        self._config = config
        self._buffered = buffered
        self._transmit = transmit
        self._receive = receive
        flits = stream.Signature(flit_layout(config))
        super().__init__(
            {
                "transmit": In(flits).array(len(transmit)),
                "receive": Out(flits).array(len(receive)),
                "link_out": Out(wire_signature(config)),
                "link_in": In(wire_signature(config)),
                "counts": Out(TransportCounts),
                "events": Out(LinkEvents),
                "given_up": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.transmitter = transmitter = Transmitter(self._config, self._transmit)
        m.submodules.receiver = receiver = Receiver(self._config, self._receive)
        for index, (outer, inner) in enumerate(zip(self.transmit, transmitter.i, strict=True)):
            source = outer
            if self._config.fabric.registered and self._transmit[index] in self._buffered:
                source = through(m, f"transmit_{index}", outer, LightRegister)
            connect_stream(m, source, inner)
        for inner, outer in zip(receiver.o, self.receive, strict=True):
            connect_stream(m, inner, outer)
        if self._config.link.reliable:
            m.submodules.link = link = LinkLayer(link_parameters(self._config))
            connect_stream(m, transmitter.link, link.transmit)
            connect_stream(m, link.o, self.link_out)
            connect_stream(m, self.link_in, link.i)
            connect_stream(m, link.receive, receiver.link)
            m.d.comb += self.events.eq(link.events)
        else:
            connect_stream(m, transmitter.link, self.link_out)
            connect_stream(m, self.link_in, receiver.link)
            m.d.comb += self.events.up.eq(1)
        for link, name in ((transmitter.link, "transmitted"), (receiver.link, "received")):
            moves, flit = link.valid & link.ready, link.payload
            m.d.comb += [
                self.counts[name].eq(moves),
                self.counts[f"payload_{name}"].eq(moves & ~flit.credit & ~flit.flit.first),
            ]
        m.d.comb += [
            self.given_up.eq(transmitter.given_up),
            transmitter.grant_valid.eq(receiver.grant_valid),
            transmitter.grant.eq(receiver.grant),
            transmitter.owed.eq(receiver.owed),
            transmitter.owed_any.eq(receiver.owed_any),
            transmitter.owed_urgent.eq(receiver.owed_urgent),
            receiver.take_owed.eq(transmitter.take_owed),
        ]
        return m
