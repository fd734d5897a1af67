"""hw/isa/issue.py and wave_table.py: entries are given once, and stale answers are told apart."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover, ResetSignal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from cocotb_tests.support.formal import Claim
from hw.fabric.packets import header_of
from hw.isa.issue import Issue
from hw.isa.wave_table import WaveTable
from hw.spec.bits import index_bits
from hw.spec.config import load
from hw.spec.instruction import Opcode, ReduceOp, read_tag_layout

SMALL = load(
    "tiny",
    {
        "isa.waves": 2,
        "isa.wave_controllers": 1,
        "isa.block_formats": [],
        "isa.wave_bytes": 64,
        "fabric.max_payload_bytes": 64,
    },
)
WAVES = SMALL.isa.waves


class Allocation(wiring.Component):
    """Instructions of any length; waves are taken and freed, the oldest first, at any time."""

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        super().__init__({"length": In(9), "valid": In(1), "takes": In(1), "frees": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.issue = issue = Issue(SMALL, index=0)
        held, oldest, count = Signal(WAVES), Signal(range(WAVES)), Signal(range(WAVES + 2))
        instruction = issue.instruction.payload
        freed, issued = Signal(), Signal()
        entry = issue.read.payload.entry
        m.d.comb += [
            Assume(~ResetSignal()),
            issue.instruction.valid.eq(self.valid),
            instruction.opcode.eq(Opcode.COLLECTIVE),
            instruction.reduce_op.eq(ReduceOp.SUM),
            instruction.sources.eq(1),
            instruction.destinations.eq(1),
            instruction.length.eq(self.length << 1),
            issue.context_free.eq(1),
            issue.granted.eq(1),
            issue.is_oldest.eq(1),
            issue.read.ready.eq(self.takes),
            freed.eq(self.frees & (count != 0)),
            # The seeded bug: an entry is reported free that is not.
            issue.wave_freed.eq(self.frees if self._broken else freed),
            issued.eq(issue.read.valid & issue.read.ready),
            Assert(~issued | ~held.bit_select(entry, 1)),
            Assert(count <= WAVES),
            Cover(count == WAVES),
            Cover(issue.entry_wait & freed),
        ]
        m.d.sync += count.eq(count + issued - freed)
        with m.If(issued):
            m.d.sync += held.bit_select(entry, 1).eq(1)
        with m.If(freed):
            m.d.sync += [held.bit_select(oldest, 1).eq(0), oldest.eq(oldest + 1)]
        return m


class Generations(wiring.Component):
    """Any answers, while entries are expected, given up and expected again."""

    def __init__(self, *, broken: bool = False):
        self._broken = broken
        tag = read_tag_layout(SMALL)
        super().__init__(
            {
                "tag": In(16),
                "first": In(1),
                "last": In(1),
                "valid": In(1),
                "allocate": In(1),
                "free": In(1),
                "entry": In(index_bits(WAVES)),
                "generation": In(tag["generation"].width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.table = table = WaveTable(SMALL)
        tag_layout = read_tag_layout(SMALL)
        active = Signal(WAVES)
        generations = [
            Signal(tag_layout["generation"].width, name=f"generation_{e}") for e in range(WAVES)
        ]
        inside = Signal()
        header = header_of(table.i.payload)
        answer = data.View(tag_layout, header.tag)
        allocates = self.allocate & ~active.bit_select(self.entry, 1)
        frees = self.free & active.bit_select(self.entry, 1) & ~allocates
        m.d.comb += [
            Assume(~ResetSignal()),
            Assume(self.first == ~inside),
            table.i.valid.eq(self.valid),
            table.i.payload.first.eq(self.first),
            table.i.payload.last.eq(self.last),
            header.tag.eq(self.tag),
            header.length.eq(64),
            table.burst_reads.eq(0),
            table.allocate.valid.eq(allocates),
            table.allocate.payload.entry.eq(self.entry),
            table.allocate.payload.generation.eq(self.generation),
            table.allocate.payload.length.eq(64),
            table.free.valid.eq(frees),
            table.free.payload.entry.eq(self.entry),
            table.free.payload.abandon.eq(1),
        ]
        with m.If(self.valid):
            m.d.sync += inside.eq(~self.last)
        for number, generation in enumerate(generations):
            with m.If(allocates & (self.entry == number)):
                m.d.sync += [active[number].eq(1), generation.eq(self.generation)]
            with m.If(frees & (self.entry == number)):
                m.d.sync += active[number].eq(0)
        current = Signal.like(generations[0])
        for number, generation in enumerate(generations):
            with m.If(answer.entry == number):
                m.d.comb += current.eq(generation)
        fresh, was_fresh = Signal(), Signal()
        m.d.comb += fresh.eq(active.bit_select(answer.entry, 1) & (current == answer.generation))
        m.d.sync += was_fresh.eq(self.valid & self.first & fresh)
        # A use of an entry is answered by the last flit of an answer that came for this use.
        arriving, answered = Signal(WAVES), Signal(WAVES)
        for number in range(WAVES):
            ends = frees & (self.entry == number)
            mine = fresh & (answer.entry == number) & ~ends
            begun = Mux(self.first, mine, arriving[number])
            with m.If(self.valid):
                m.d.sync += arriving[number].eq(begun & ~self.last & ~ends)
                m.d.sync += answered[number].eq(answered[number] | (begun & self.last))
            with m.Elif(ends):
                m.d.sync += arriving[number].eq(0)
            with m.If(allocates & (self.entry == number)):
                m.d.sync += answered[number].eq(0)
        in_use = active.bit_select(self.entry, 1)
        # An entry that asked and was freed unanswered is owed an answer, which no entry takes.
        owed = Signal(8)
        gone = arriving | answered
        unpaid = frees & ~gone.bit_select(self.entry, 1)
        duplicate = (current == answer.generation) & answered.bit_select(answer.entry, 1)
        stale = self.valid & self.first & ~(fresh & ~(frees & (self.entry == answer.entry)))
        stale &= ~duplicate
        late, was_late, was_stale = Signal(), Signal(), Signal()
        m.d.comb += late.eq(stale & ((owed + unpaid) != 0))
        m.d.sync += [owed.eq(owed + unpaid - late), was_late.eq(late), was_stale.eq(stale)]
        if self._broken:
            # The seeded bug: the table is told another generation.
            m.d.comb += table.allocate.payload.generation.eq(self.generation ^ 1)
        m.d.comb += [
            # Judged in the cycle after the header came.
            Assert(~table.accepted.valid | was_fresh),
            table.rows.entry.eq(self.entry),
            Assert(~(table.rows.complete & in_use) | answered.bit_select(self.entry, 1)),
            Assert(table.late == was_late),
            Assert(~(was_stale & ~was_late) | table.stray.valid),
            Cover(table.accepted.valid),
            Cover(table.late),
            Cover(table.stray.valid),
            Cover(table.rows.complete & in_use),
        ]
        return m


CLAIMS = [
    Claim(
        "isa/issue.py",
        "no table entry is given to two waves, none is lost",
        Allocation,
        lambda: Allocation(broken=True),
        depth=14,
        cover_depth=14,
        full_depth=24,
    ),
    Claim(
        "isa/wave_table.py",
        "answers fill the use of an entry that asked for them; others are told apart, each once",
        Generations,
        lambda: Generations(broken=True),
        depth=8,
        cover_depth=8,
        full_depth=12,
    ),
]
