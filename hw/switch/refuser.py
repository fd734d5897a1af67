"""Answers in place of endpoints that are absent or dead."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.fabric.packets import drive_header
from hw.spec.checks import below, one_of
from hw.spec.config import MAX_ENDPOINTS, TAG_BITS, Config
from hw.spec.packet import MessageClass, Operation, flit_layout
from hw.spec.status import Status
from hw.switch.route import ANSWER_CLASS, REFUSAL_LAYOUT

ANSWER_OPERATION = {
    MessageClass.READ_REQUEST: Operation.READ,
    MessageClass.WRITE_REQUEST: Operation.WRITE,
}
"""What a response says of its request, as endpoints do."""


class Refuser(wiring.Component):
    """Make responses with status UNREACHABLE of what :class:`hw.switch.route.Route` refuses.

    Parameters: ``message_class`` of the requests; ``port`` that they came from, below
    ``system.endpoints``.

    Ports
    -----
    i : stream in, ``REFUSAL_LAYOUT``
    o : flit stream out, responses towards the port the requests came from, a flit each

    One refusal is kept; the next is taken when all its responses have left, and until then the
    input that it comes from waits. A response depends on nothing but room for responses, so
    refusals add no cycle of dependencies between message classes. A response leaves the cycle
    after its refusal came, or for the nth bit of ``copies``, n cycles after.
    """

    def __init__(self, config: Config, *, message_class: MessageClass, port: int):
        self._class = one_of("message_class", message_class, ANSWER_CLASS)
        self._port = below("port", port, config.system.endpoints)
        super().__init__(
            {
                "i": In(stream.Signature(REFUSAL_LAYOUT)),
                "o": Out(stream.Signature(flit_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        copies, busy, tag = Signal(MAX_ENDPOINTS), Signal(), Signal(TAG_BITS)
        m.d.comb += [
            busy.eq(copies.any()),
            self.i.ready.eq(~busy),
            self.o.valid.eq(copies[0]),
            *drive_header(
                self.o.payload,
                message_class=ANSWER_CLASS[self._class],
                operation=ANSWER_OPERATION[self._class],
                status=Status.UNREACHABLE,
                source=self._port,
                destination=self._port,
                tag=tag,
            ),
        ]
        with m.If(~busy):
            m.d.sync += tag.eq(self.i.payload.tag)
            with m.If(self.i.valid):
                m.d.sync += copies.eq(self.i.payload.copies)
        with m.Elif(~copies[0] | self.o.ready):
            m.d.sync += copies.eq(copies >> 1)
        return m
