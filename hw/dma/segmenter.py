"""Cuts a copy into segments: what to read, and what to write where."""

from dataclasses import dataclass

from amaranth import Const, Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.dma.jobs import JobKind, read_layout, segment_bits, write_job_layout
from hw.dma.sequencer import STARTED_LAYOUT
from hw.fabric.packets import node_id
from hw.memory.windows import WindowCheck, window_layout
from hw.spec.config import MAX_ENDPOINTS, Config
from hw.spec.dma import COPIES, DmaOpcode, SignalKind
from hw.spec.packet import ADDRESS_BITS, LENGTH_BITS, NODE_BITS, TENANT_BITS, WORD_BITS
from hw.spec.status import Status
from hw.stream.connect import connect_stream
from hw.stream.queue import LightRegister


@dataclass(frozen=True)
class Turn:
    """Whose turn it is: ``issuing``, of a job; ``on_second``, for a segment's second destination;
    ``on_word``, for a word."""

    on_second: Signal
    on_word: Signal
    issuing: Signal


class Segmenter(wiring.Component):
    """Parameters: ``identity``, id of the endpoint, 0 … 15, or a value that holds it.

    Ports
    -----
    i : stream in, commands from the sequencer
    read : stream out, segments to read
    job : stream out, what to write, in the order it must be written
    word : out, operand of the word or addition among the jobs; there is one at most
    word_done : pulse, it is visible or was given up
    clock : in, what a timestamp writes
    windows : in, memory windows: the engine keeps to them in its own memory too
    tenant : in, of the commands
    stop : in, a level: leave the rest of the command, at most one more segment and its second
        destination are handed out; ``busy`` : out

    A segment never crosses a multiple of the largest payload in its source, so reading it is
    one packet, or one AXI4 burst; the last segments come first where a copy moves up over
    itself. One cycle per segment and one per destination. A read and its job leave together, so
    a consumer that is ready for one must stay so until it comes. A second destination is a second
    job; a swap reads both sides and writes both.
    """

    def __init__(self, config: Config, *, identity: ValueLike):
        self._config = config
        self._identity = node_id(identity)
        super().__init__(
            {
                "i": In(stream.Signature(STARTED_LAYOUT)),
                "read": Out(stream.Signature(read_layout(config))),
                "job": Out(stream.Signature(write_job_layout(config))),
                "word": Out(WORD_BITS),
                "word_done": In(1),
                "clock": In(WORD_BITS),
                "windows": In(data.ArrayLayout(window_layout(config), config.endpoint.windows)),
                "tenant": In(TENANT_BITS),
                "stop": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        limit = self._config.fabric.max_payload_bytes
        started = Signal(STARTED_LAYOUT)
        command = started.command
        remaining, offset = Signal(32), Signal(32)
        length = Signal(range(limit + 1))
        source, destination, second = (
            Signal(ADDRESS_BITS, name=f"{name}_here")
            for name in ("source", "destination", "second")
        )
        now, here = self._measure(m, started, remaining, offset)
        on_second, on_word, issuing = Signal(), Signal(), Signal()
        turn = Turn(on_second, on_word, issuing)
        given, held = self._hand_on(m)
        two, signals = self._issue(m, given, started, length, (source, destination, second), turn)
        issued = Signal()
        m.d.comb += issued.eq(issuing & given.ready)
        word_pending = self._keep_word(m, command, issued, on_word)

        with m.FSM() as states:
            with m.State("idle"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [
                        started.eq(self.i.payload),
                        remaining.eq(self.i.payload.command.length),
                        offset.eq(0),
                    ]
                    m.next = "word"
                    with m.If(self.i.payload.command.opcode.matches(*COPIES)):
                        m.next = "measure"
            if self._config.fabric.registered:
                # What is measured passes registers, see `_measure`.
                begins = Signal.like(here)
                for state, following in (
                    ("measure", "limit"),
                    ("limit", "begin"),
                    ("begin", "place"),
                ):
                    with m.State(state):
                        m.d.sync += begins.eq(here)
                        m.next = following
                        with m.If(self.stop):
                            m.next = "idle"
                here = begins
            with m.State("place" if self._config.fabric.registered else "measure"):
                m.d.sync += [
                    length.eq(now),
                    source.eq(command.source + here),
                    destination.eq(command.destination + here),
                    second.eq(command.second + here),
                    remaining.eq(remaining - now),
                    offset.eq(offset + now),
                ]
                m.next = "first"
                with m.If(self.stop):
                    m.next = "idle"
            self._go_on(m, issued, remaining, two, signals)
            with m.State("word"):
                with m.If(issued | self.stop):
                    m.next = "idle"
        m.d.comb += [
            self.busy.eq(~states.ongoing("idle") | held),
            on_second.eq(states.ongoing("second")),
            on_word.eq(states.ongoing("word")),
            issuing.eq(
                states.ongoing("first") | on_second | (on_word & ~word_pending & ~self.stop)
            ),
        ]
        return m

    def _measure(self, m, started, remaining, offset):
        """Length of the next segment, and how far into the copy it begins.

        With ``fabric.registered`` the former takes two cycles, for the latter to begin with.
        """
        limit = self._config.fabric.max_payload_bytes
        command, low = started.command, exact_log2(limit)
        swaps = command.opcode == DmaOpcode.SWAP
        to_source, to_destination, room, now = (
            Signal(range(limit + 1), name=name)
            for name in ("to_source", "to_destination", "room", "now")
        )
        here = Signal(32)
        last = (command.source + remaining - 1)[:low]
        m.d["sync" if self._config.fabric.registered else "comb"] += [
            to_source.eq(
                Mux(started.descending, last + 1, limit - (command.source + offset)[:low])
            ),
            to_destination.eq(limit - (command.destination + offset)[:low]),
            now.eq(Mux(remaining <= room, remaining, room)),
        ]
        m.d.comb += [
            room.eq(Mux(swaps & (to_destination < to_source), to_destination, to_source)),
            here.eq(Mux(started.descending, remaining - now, offset)),
        ]
        return now, here

    def _issue(self, m, given, started, length, addresses, turn):
        """Drive reads and jobs; tells whether there is a second destination, and a signal."""
        command = started.command
        opcode = command.opcode
        source, destination, second = addresses
        on_second, on_word = turn.on_second, turn.on_word
        own = Signal.like(command.targets)
        m.d.comb += own.eq(Const(1) << self._identity)
        swaps = opcode == DmaOpcode.SWAP
        others = Signal.like(command.targets)
        spreads, two, signals = Signal(), Signal(), Signal()
        copies = opcode.matches(*COPIES)
        m.d.comb += [
            others.eq(command.targets & ~own),
            spreads.eq((opcode == DmaOpcode.MULTICAST) & others.any()),
            two.eq(
                swaps
                | (opcode == DmaOpcode.BROADCAST)
                | (spreads & command.targets.bit_select(self._identity, 1))
            ),
            signals.eq(copies & (command.signal_kind != SignalKind.NONE)),
        ]

        self._drive_read(m, given, started, length, (source, destination), turn)
        # What follows the data: a word, or an addition.
        adds = Mux(copies, command.signal_kind == SignalKind.ADD, opcode == DmaOpcode.ATOMIC_ADD)
        wide = adds | (opcode == DmaOpcode.TIMESTAMP)
        node, address = Signal(MAX_ENDPOINTS), Signal(ADDRESS_BITS)
        size = Signal(LENGTH_BITS)
        apart, local = Signal(), Signal()
        with m.If(on_word):
            m.d.comb += [
                node.eq(Mux(copies, command.signal_node, command.destination_node)),
                address.eq(Mux(copies, command.signal, command.destination)),
                size.eq(Mux(wide, 8, 4)),
            ]
        with m.Else():
            m.d.comb += [
                node.eq(command.destination_node),
                address.eq(destination),
                size.eq(length),
            ]
            with m.If(opcode == DmaOpcode.MULTICAST):
                m.d.comb += [
                    apart.eq(spreads & ~on_second),
                    node.eq(Mux(apart, others, self._identity)),
                ]
            with m.Elif(on_second):
                m.d.comb += [
                    node.eq(Mux(swaps, command.source_node, command.second_node)),
                    address.eq(Mux(swaps, source, second)),
                ]
        job = given.payload.job
        m.d.comb += [
            local.eq((node == self._identity) & ~apart),
            job.kind.eq(Mux(on_word, Mux(adds, JobKind.ADD, JobKind.WORD), JobKind.DATA)),
            job.local.eq(local),
            job.multicast.eq(apart),
            job.node.eq(node),
            job.address.eq(address),
            job.length.eq(size),
            job.command.eq(started.number),
            job.offset.eq(Mux(swaps & on_second, destination, source)),
            job.whole.eq(started.descending | swaps),
            job.paired.eq(swaps & ~on_second),
            job.follows.eq(swaps & on_second),
            job.release.eq(swaps | on_second | ~two),
        ]
        return two, signals

    def _drive_read(self, m, given, started, length, addresses, turn):
        """The segment of a job; the second destination of a broadcast shares the first one's."""
        config, command, read = self._config, started.command, given.payload.read
        source, destination = addresses
        on_second, on_word, issuing = turn.on_second, turn.on_word, turn.issuing
        swaps = command.opcode == DmaOpcode.SWAP
        segment = Signal(segment_bits(config))
        previous = Signal.like(segment)
        node, address = Signal(NODE_BITS), Signal(ADDRESS_BITS)
        reads, local = Signal(), Signal()
        m.d.comb += [
            given.valid.eq(issuing),
            given.payload.reads.eq(reads),
            reads.eq(~on_word & (~on_second | swaps)),
            node.eq(Mux(on_second, command.destination_node, command.source_node)),
            local.eq(node == self._identity),
            address.eq(Mux(on_second, destination, source)),
            read.node.eq(node),
            read.local.eq(local),
            read.address.eq(address),
            read.length.eq(length),
            read.segment.eq(segment),
            read.command.eq(started.number),
            given.payload.job.segment.eq(Mux(reads, segment, previous)),
        ]
        with m.If(issuing & given.ready & reads):
            m.d.sync += [segment.eq(segment + 1), previous.eq(segment)]

    def _hand_on(self, m):
        """A stream that takes a job together with the segment it reads, if it reads one, checks
        both against the windows and hands them on in the same cycle; and whether one is held."""
        config = self._config
        layout = data.StructLayout(
            {"read": read_layout(config), "job": write_job_layout(config), "reads": 1}
        )
        given = stream.Signature(layout).create(path=("given",))
        checked = stream.Signature(layout).create(path=("checked",))
        source, taken, held = given, checked, Signal()
        if config.fabric.registered:
            m.submodules.given = before = LightRegister(layout)
            m.submodules.checked = after = LightRegister(layout)
            connect_stream(m, given, before.i)
            connect_stream(m, checked, after.i)
            source, taken = before.o, after.o
            m.d.comb += held.eq(source.valid | taken.valid)
        connect_stream(m, source, checked)
        for name, writes in (("read", 0), ("job", 1)):
            item = source.payload[name]
            m.submodules[f"{name}_check"] = check = WindowCheck(config)
            m.d.comb += [
                check.windows.eq(self.windows),
                check.address.eq(item.address),
                check.length.eq(item.length),
                check.write.eq(writes),
                check.requester.source.eq(self._identity),
                check.requester.tenant.eq(self.tenant),
            ]
            with m.If(item.local & ~check.allowed):
                m.d.comb += checked.payload[name].status.eq(Status.WINDOW_VIOLATION)
        reads = taken.payload.reads
        m.d.comb += [
            self.read.payload.eq(taken.payload.read),
            self.job.payload.eq(taken.payload.job),
            self.read.valid.eq(taken.valid & reads & self.job.ready),
            self.job.valid.eq(taken.valid & (~reads | self.read.ready)),
            taken.ready.eq(self.job.valid & self.job.ready),
        ]
        return given, held

    def _keep_word(self, m, command, issued, on_word):
        """The operand until it is written. Returns whether one is kept."""
        word_pending = Signal()
        operand, stamps = Signal(WORD_BITS), Signal()
        m.d.comb += self.word.eq(Mux(stamps, self.clock, operand))
        with m.If(issued & on_word):
            m.d.sync += [
                word_pending.eq(1),
                operand.eq(command.operand),
                stamps.eq(command.opcode == DmaOpcode.TIMESTAMP),
            ]
        with m.Elif(self.word_done):
            m.d.sync += word_pending.eq(0)
        return word_pending

    def _go_on(self, m, issued, remaining, two, signals):
        """After a destination: to the second one, the next segment, or the signal."""
        with m.State("first"), m.If(issued):
            m.next = "measure"
            with m.If(two):
                m.next = "second"
            with m.Elif(remaining == 0):
                m.next = "idle"
                with m.If(signals):
                    m.next = "word"
        with m.State("second"), m.If(issued):
            m.next = "measure"
            with m.If(remaining == 0):
                m.next = "idle"
                with m.If(signals):
                    m.next = "word"
