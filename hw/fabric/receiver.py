"""Receiving end of a link: a queue per channel, and the credits owed for it."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.checks import some, subset
from hw.spec.config import Config
from hw.spec.packet import (
    CREDIT_BITS,
    Channel,
    credit_layout,
    flit_layout,
    link_flit_layout,
    queue_flits,
)
from hw.stream.connect import connect_stream
from hw.stream.queue import Queue
from hw.stream.shared_queues import SharedQueues


class Receiver(wiring.Component):
    """Receive flits into one queue per channel and owe a credit for each flit consumed.

    Parameters: ``channels`` that this end receives, at least one, each once.

    Ports
    -----
    link : link in
    o : one flit stream per channel, in the order of ``channels``
    grant_valid, grant : credits received, for this end's transmitter
    owed, owed_any, owed_urgent, take_owed : see
        :class:`hw.fabric.transmitter.Transmitter`
    held : out, flits in the queue, per channel
    overflow : out, a flit came for which there was no room: it is lost
    unknown : pulse out, a flit came of a channel that is not received here: it is dropped

    Credits become urgent when half a queue's worth is owed, so a queue that is to sustain
    the full rate needs twice a round trip of depth at most. Queues cannot overflow: the
    sender holds one credit per place. Latency ``Queue.LATENCY``, or 5 cycles with
    ``fabric.registered``.
    """

    def __init__(self, config: Config, channels: tuple[Channel, ...]):
        self._config = config
        self._channels = some("channels", subset("channels", channels, Channel))
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
                "unknown": Out(1),
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
        m.d.comb += [
            self.overflow.eq(lost.any()),
            self.unknown.eq(link.valid & ~link.payload.credit & ~enters.any()),
        ]
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
