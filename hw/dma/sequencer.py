"""Takes commands in order, checks them, waits where they must wait, starts them."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.dma.check import CommandCheck
from hw.dma.hazard import Hazard
from hw.dma.jobs import ITEM_BITS, NUMBER_BITS
from hw.fabric.packets import node_id
from hw.spec.config import Config
from hw.spec.dma import Command, Compare, DmaOpcode
from hw.spec.packet import ADDRESS_BITS, WORD_BITS
from hw.spec.status import Status

STARTED_LAYOUT = data.StructLayout(
    {"command": Command.layout(), "number": ITEM_BITS, "descending": 1}
)


class Sequencer(wiring.Component):
    """Parameters: ``identity``, id of the endpoint, 0 … 15, or a value that holds it.

    Ports
    -----
    i : stream in, commands
    o : stream out, checked copies and words to write, each with its number
    poll : stream out, addresses to look at; ``word``, ``word_valid``, ``word_error`` : in,
        what was found
    drained : in, every write of the commands given out is visible, nothing is under way
    halt : in, start nothing more
    failure, number : out, OK or why command ``number`` failed
    started : pulse, a command was begun; ``busy`` : out, one is being looked at

    At most ``2 ** ITEM_BITS - 1`` commands are begun before everything is visible once, so that
    the low bits of its number tell which of them failed.

    A command is given out 3 cycles after it is taken, unless it reads what an earlier one
    still writes, or a malformed command waits for all before it. Polls look every
    ``interval`` cycles, and from one look to the next at least a memory latency.
    """

    def __init__(self, config: Config, *, identity: ValueLike):
        self._config = config
        self._identity = node_id(identity)
        super().__init__(
            {
                "i": In(stream.Signature(Command.layout())),
                "o": Out(stream.Signature(STARTED_LAYOUT)),
                "poll": Out(stream.Signature(ADDRESS_BITS)),
                "word": In(WORD_BITS),
                "word_valid": In(1),
                "word_error": In(1),
                "drained": In(1),
                "halt": In(1),
                "flush": In(1),
                "failure": Out(Status),
                "number": Out(NUMBER_BITS),
                "started": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        command = Signal(Command.layout())
        number = Signal(NUMBER_BITS)
        m.submodules.check = check = CommandCheck(self._config, identity=self._identity)
        m.submodules.hazard = hazard = Hazard(self._config)
        status, descending = Signal(Status), Signal()
        m.d.comb += [
            check.command.eq(command),
            hazard.command.eq(command),
            hazard.drained.eq(self.drained),
            self.o.payload.command.eq(command),
            self.o.payload.number.eq(self.number),
            self.o.payload.descending.eq(descending),
            self.number.eq(number - 1),
            self.poll.payload.eq(command.source),
        ]
        countdown = Signal(16)
        poll_left = Signal(32)
        met = self._compare(m, command)
        with m.If(self.flush):
            m.d.sync += number.eq(0)
        # Commands begun since everything was visible.
        unsettled = Signal(ITEM_BITS)
        settled = Signal()

        with m.FSM() as states:
            with m.State("idle"):
                m.d.comb += [
                    settled.eq(self.drained & ~hazard.busy),
                    self.i.ready.eq(~self.halt & ~hazard.busy & ~unsettled.all()),
                ]
                m.d.sync += unsettled.eq(Mux(settled, 0, unsettled) + self.started)
                with m.If(self.i.valid & self.i.ready):
                    m.d.comb += self.started.eq(1)
                    m.d.sync += [command.eq(self.i.payload), number.eq(number + 1)]
                    m.next = "check"
            with m.State("check"):
                m.d.comb += hazard.measure.eq(1)
                m.d.sync += [
                    status.eq(check.status),
                    descending.eq(check.descending),
                    poll_left.eq(command.timeout),
                    countdown.eq(0),
                ]
                m.next = "start"
            with m.State("start"):
                self._start(m, command, status, hazard)
            self._poll(m, command, met, countdown, poll_left)
        polling = states.ongoing("pause") | states.ongoing("ask") | states.ongoing("look")
        m.d.comb += self.busy.eq(~states.ongoing("idle"))
        with m.If(polling & (poll_left != 0)):
            m.d.sync += poll_left.eq(poll_left - 1)
        return m

    def _start(self, m, command, status, hazard):
        with m.If(self.halt):
            m.next = "idle"
        with m.Elif(status != Status.OK):
            # What was well formed before it is carried out first.
            with m.If(self.drained):
                m.d.comb += self.failure.eq(status)
                m.next = "idle"
        with m.Elif(command.opcode == DmaOpcode.NOP):
            m.next = "idle"
        with m.Elif(command.opcode == DmaOpcode.POLL):
            m.next = "pause"
        with m.Elif(~hazard.conflict):
            m.d.comb += [self.o.valid.eq(1), hazard.add.eq(self.o.ready)]
            with m.If(self.o.ready):
                m.next = "idle"

    def _poll(self, m, command, met, countdown, poll_left):
        """Look again and again, until the condition is ``met`` or no cycle is left."""
        with m.State("pause"):
            m.d.sync += countdown.eq(countdown - 1)
            with m.If(self.halt):
                m.next = "idle"
            with m.Elif(countdown == 0):
                m.next = "ask"
        with m.State("ask"):
            m.d.comb += self.poll.valid.eq(1)
            with m.If(self.poll.ready):
                m.next = "look"
        with m.State("look"), m.If(self.word_valid):
            m.d.sync += countdown.eq(command.interval)
            m.next = "pause"
            with m.If(self.word_error):
                m.d.comb += self.failure.eq(Status.POISONED)
                m.next = "idle"
            with m.Elif(met):
                m.next = "idle"
            with m.Elif((command.timeout != 0) & (poll_left == 0)):
                m.d.comb += self.failure.eq(Status.POLL_TIMEOUT)
                m.next = "idle"

    def _compare(self, m, command):
        found = self.word & command.mask
        less, equal, met = Signal(), Signal(), Signal()
        m.d.comb += [less.eq(found < command.operand), equal.eq(found == command.operand)]
        with m.Switch(command.compare):
            with m.Case(Compare.ALWAYS):
                m.d.comb += met.eq(1)
            with m.Case(Compare.LESS):
                m.d.comb += met.eq(less)
            with m.Case(Compare.LESS_EQUAL):
                m.d.comb += met.eq(less | equal)
            with m.Case(Compare.EQUAL):
                m.d.comb += met.eq(equal)
            with m.Case(Compare.NOT_EQUAL):
                m.d.comb += met.eq(~equal)
            with m.Case(Compare.GREATER_EQUAL):
                m.d.comb += met.eq(~less)
            with m.Case(Compare.GREATER):
                m.d.comb += met.eq(~less & ~equal)
        return met
