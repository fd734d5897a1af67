"""Fetches commands from a ring in memory ahead of their execution."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.memory.axi import BURST_LAYOUT, read_beat_layout
from hw.spec.config import Config
from hw.spec.dma import COMMAND_BYTES, MAX_RING_COMMANDS, Command
from hw.spec.packet import ADDRESS_BITS
from hw.spec.status import Status
from hw.stream.queue import Queue


class Ring(wiring.Component):
    """Commands from the ring, and whole ones from the doorbell, in order of arrival.

    Ports
    -----
    base, size : in, the ring: address, and commands (a power of two)
    doorbell : in, commands ever put into the ring; ``ring`` : pulse, it was just written
    inline, inline_valid : in, a command from the doorbell
    o : stream out, commands
    fetched : out, commands ever taken out of the ring
    burst, beat : AXI4 read bursts of one command each, and their data
    failure : out, OK or why the engine must halt: BAD_RING, RING_OVERRUN, POISONED
    flush : in, forget everything and zero the pointers; ``idle`` : out, no read under way
    halt : in, ask for nothing more
    lost : out, a command came for which there was no room; never, as is proved

    ``prefetch`` commands are asked for ahead, one burst each. From doorbell to ``burst`` 1
    cycle, from the last beat to ``o`` 3; an inline command takes 3. The ring is only ever
    read; a host may fill a place again once ``fetched`` has passed it.
    """

    def __init__(self, config: Config):
        self._config = config
        self._beats = COMMAND_BYTES // config.fabric.flit_bytes
        super().__init__(
            {
                "base": In(ADDRESS_BITS),
                "size": In(32),
                "doorbell": In(32),
                "ring": In(1),
                "inline": In(Command.layout()),
                "inline_valid": In(1),
                "o": Out(stream.Signature(Command.layout())),
                "fetched": Out(32),
                "burst": Out(stream.Signature(BURST_LAYOUT)),
                "beat": In(stream.Signature(read_beat_layout(config))),
                "failure": Out(Status),
                "flush": In(1),
                "idle": Out(1),
                "halt": In(1),
                "lost": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = self._config.dma.prefetch
        # One place more than there is room for: an item on its way to the output takes two.
        m.submodules.queue = queue = Queue(Command.layout(), depth=depth + 1)
        room = Signal(range(depth + 1), init=depth)
        asked = Signal(32)
        below_size, malformed = self._check(m)
        wanted, offered = self._ask(m, room, asked, below_size, malformed)
        parts, bad, whole = self._collect(m)
        waiting, taken = self._take(m, queue, room, parts, bad, whole)

        left = Signal()
        m.d.comb += [
            self.o.valid.eq(queue.o.valid),
            self.o.payload.eq(queue.o.payload),
            queue.o.ready.eq(self.o.ready | self.flush),
            self.idle.eq((asked == self.fetched) & ~whole & ~waiting & ~offered & (room == depth)),
        ]
        m.d["sync" if self._config.fabric.registered else "comb"] += left.eq(
            queue.o.valid & queue.o.ready
        )
        m.d.sync += room.eq(room + left + (whole & bad) - wanted - taken)
        with m.If(self.flush & (asked == self.fetched) & ~whole & ~offered):
            m.d.sync += [asked.eq(0), self.fetched.eq(0)]
        return m

    def _check(self, m):
        """What the host says of the ring. Returns its size less one, and whether the ring is
        malformed."""
        below_size = Signal(32)
        malformed = Signal()
        ahead = Signal(32)
        m.d.sync += malformed.eq(
            (self.size == 0)
            | (self.size > MAX_RING_COMMANDS)
            | (self.size & below_size).any()
            | (self.base % COMMAND_BYTES != 0)
        )
        m.d.comb += [
            below_size.eq(self.size - 1),
            ahead.eq(self.doorbell - self.fetched),
        ]
        checked, overrun = Signal(), Signal()
        m.d.sync += [checked.eq(self.ring), overrun.eq(ahead > self.size)]
        with m.If(checked & malformed):
            m.d.comb += self.failure.eq(Status.BAD_RING)
        with m.Elif(checked & overrun):
            m.d.comb += self.failure.eq(Status.RING_OVERRUN)
        return below_size, malformed

    def _ask(self, m, room, asked, below_size, malformed):
        """For as many commands as there is room for. Returns whether the next one is wanted, and
        whether its burst has been offered and not taken yet."""
        place = (asked & below_size)[: exact_log2(MAX_RING_COMMANDS)]
        issued, wanted, offered = Signal(), Signal(), Signal()
        m.d.sync += offered.eq(self.burst.valid & ~self.burst.ready)
        m.d.comb += [
            wanted.eq(
                ~self.halt
                & (asked != self.doorbell)
                & ~offered
                # An inline command of this cycle takes a place, too.
                & (room > self.inline_valid)
                & (self.failure == Status.OK)
                & ~malformed
            ),
            self.burst.valid.eq(wanted | offered),
            self.burst.payload.address.eq(self.base + (place << (COMMAND_BYTES.bit_length() - 1))),
            self.burst.payload.beats.eq(self._beats),
            issued.eq(self.burst.valid & self.burst.ready),
        ]
        m.d.sync += asked.eq(asked + issued)
        return wanted, offered

    def _collect(self, m):
        """Beats into commands. Returns the beats of one, whether one of them is an error, and
        whether all are there."""
        beats = self._beats
        parts = [Signal(self._config.flit_bits, name=f"part_{i}") for i in range(beats)]
        count = Signal(range(beats))
        bad, whole = Signal(), Signal()
        m.d.comb += self.beat.ready.eq(1)
        m.d.sync += whole.eq(0)
        with m.If(self.beat.valid):
            m.d.sync += count.eq(count + 1)
            for index, part in enumerate(parts):
                with m.If(count == index):
                    m.d.sync += part.eq(self.beat.payload.data)
            m.d.sync += bad.eq(bad | self.beat.payload.error)
            with m.If(count == beats - 1):
                m.d.sync += [count.eq(0), whole.eq(1)]
        with m.If(whole):
            m.d.sync += [self.fetched.eq(self.fetched + 1), bad.eq(0)]
            with m.If(bad):
                m.d.comb += self.failure.eq(Status.POISONED)
        return parts, bad, whole

    def _take(self, m, queue, room, parts, bad, whole):
        """An inline command waits where it was written while one from memory goes first. Returns
        whether one waits, and whether one is taken."""
        waiting = Signal()
        push_inline = Signal()
        refused = Signal()
        m.d.comb += [
            push_inline.eq(waiting & ~whole),
            refused.eq(self.inline_valid & ((room == 0) | (waiting & whole))),
            queue.i.valid.eq((whole & ~bad) | push_inline),
            queue.i.payload.eq(self.inline),
            self.lost.eq(queue.i.valid & ~queue.i.ready),
        ]
        with m.If(whole):
            m.d.comb += queue.i.payload.eq(Cat(*parts))
        with m.If(refused):
            m.d.comb += self.failure.eq(Status.RING_OVERRUN)
        taken = self.inline_valid & ~refused
        with m.If(taken):
            m.d.sync += waiting.eq(1)
        with m.Elif(push_inline):
            m.d.sync += waiting.eq(0)
        return waiting, taken
