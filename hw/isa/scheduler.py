"""Which wave is reduced next, and row by row when."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.isa.jobs import release_layout, scale_share, wave_layout, write_job_layout
from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.spec.formats import block_formats
from hw.spec.instruction import ReduceOp
from hw.spec.timing import average_lead, lead_cycles, longest_block
from hw.stream.arbiter import RoundRobin, select
from hw.stream.connect import event


class Scheduler(wiring.Component):
    """Take waves from the controllers, in order within each, and start their rows.

    Ports
    -----
    wave : stream in per controller, oldest wave; taken when its last row has started
    timed_out : in per controller, give its wave up
    streaming : in, start a row as soon as every table has it; otherwise whole waves
    wave_now : out, while ``busy``: the wave being reduced; ``controller_now``: its controller
    index : out, the next slice of the wave; ``slices_left`` : out, how many of its block follow
    row : out, the row it is part of
    asked : out, the last row of that block, which decides whether it can start
    available, complete, failed : in, answers of the port tables for that wave and row
    has_room : in, per port, the write-back can take the rows of a block
    start : out, the slice enters the reduction
    reserve : out per port, a row, of elements or scales, is on its way to the write-back there
    start_scales, slot : out, after the last row of a quantized wave: row ``slot`` of its new
        scales is to follow, where the row would be
    free : event out, the entry of ``wave_now`` is free in the tables of its sources
    job : stream out, write-back work; precedes the first row it is about

    A wave of *r* rows and *s* rows of scales takes *r* x ``cycles_per_row`` + *s* + 1 cycles. The
    slices of a row or block start in consecutive cycles, once its last row is there. The
    reduction of averages takes longer than that of other ordinary rows, that of quantized ones
    longer still: a shorter one begins only when it cannot overtake. A wave of a failed
    instruction is discarded once its answers are in; one that fails half-way is completed, with
    undefined rows, so that the packets already begun end; its instruction's status tells.
    """

    def __init__(self, config: Config):
        self._config = config
        ports, controllers = config.system.endpoints, config.isa.wave_controllers
        super().__init__(
            {
                "wave": In(stream.Signature(wave_layout(config))).array(controllers),
                "timed_out": In(controllers),
                "streaming": In(1),
                "wave_now": Out(wave_layout(config)),
                "controller_now": Out(controllers),
                "busy": Out(1),
                "index": Out(index_bits(config.slices_per_wave)),
                "slices_left": Out(index_bits(longest_block(config))),
                "row": Out(index_bits(config.rows_per_wave)),
                "asked": Out(index_bits(config.rows_per_wave)),
                "available": In(ports),
                "complete": In(ports),
                "failed": In(ports),
                "has_room": In(ports),
                "start": Out(1),
                "reserve": Out(ports),
                "start_scales": Out(1),
                "slot": Out(index_bits(config.scale_rows_per_wave)),
                "free": Out(event(release_layout(config))),
                "job": Out(stream.Signature(write_job_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        controllers = config.isa.wave_controllers
        flit_shift = exact_log2(config.fabric.flit_bytes)
        wave = self.wave_now
        m.submodules.turn = turn = RoundRobin(controllers)
        chosen = Signal(controllers)
        last = Signal(index_bits(config.slices_per_wave))
        fold = exact_log2(config.isa.cycles_per_row)
        abandon = Signal()
        available = Signal()
        complete = Signal()
        ready = Signal()
        room = Signal()
        of_scales = Signal()
        job = self.job.payload
        scale_offset = scale_share(config, wave.data_type, wave.offset)
        scale_length = scale_share(config, wave.data_type, wave.length)
        failing = Signal()
        answers = [
            failing.eq((self.failed & wave.sources).any()),
            available.eq(((self.available | ~wave.sources).all()) | abandon),
            complete.eq((self.complete | ~wave.sources).all() | abandon),
            room.eq((self.has_room | ~wave.destinations).all()),
        ]
        asks, known = Signal(), Signal()
        if config.fabric.registered:
            # Answers are about what was asked a cycle ago: a start, or another wave, asks anew.
            fresh = Signal()
            m.d.sync += [*answers, fresh.eq(~asks)]
            m.d.comb += known.eq(fresh)
        else:
            m.d.comb += [*answers, known.eq(1)]
        begins = self.start & (self.index[:fold] == 0)
        m.d.comb += [
            turn.requests.eq(Cat(source.valid for source in self.wave)),
            self.controller_now.eq(chosen),
            abandon.eq((self.timed_out & chosen).any()),
            ready.eq(Mux(self.streaming, available, complete) & known),
            self.reserve.eq(Mux(begins | self.start_scales, wave.destinations, 0)),
            self.free.payload.entry.eq(wave.entry),
            self.free.payload.abandon.eq(abandon),
            job.ports.eq(wave.destinations),
            job.context.eq(wave.context),
            job.generation.eq(wave.generation),
            job.scales.eq(of_scales),
            job.more.eq(wave.quantize & ~of_scales),
            job.offset.eq(Mux(of_scales, scale_offset, wave.offset)),
            job.length.eq(Mux(of_scales, scale_length, wave.length)),
        ]
        waves = [source.payload for source in self.wave]
        failed_now = Cat(source.payload.failed for source in self.wave) & chosen

        # The slices of a block wait for its last row, then start without a pause.
        block_mask = Signal.like(self.slices_left)
        for entry in block_formats(config):
            slices = entry.slices_per_block(config.slice_bytes)
            with m.If(wave.quantize & (wave.data_type == entry.code)):
                m.d.comb += block_mask.eq(slices - 1)
        run_mask = block_mask | (config.isa.cycles_per_row - 1)
        position = self.index[: len(block_mask)] & block_mask
        goes_on = (self.index & run_mask) != 0
        m.d.comb += [
            self.slices_left.eq(block_mask - position),
            self.row.eq(self.index >> fold),
            self.asked.eq((self.index | run_mask) >> fold),
        ]

        # By how many cycles the wave's results come later than those of a sum, and those that
        # are on their way: none may overtake.
        leads = lead_cycles(config), average_lead(config)
        lead = Signal(range(max(leads) + 1))
        overtake = Signal.like(lead)
        with m.If(wave.quantize):
            m.d.comb += lead.eq(lead_cycles(config))
        with m.Elif(wave.reduce_op == ReduceOp.AVG):
            m.d.comb += lead.eq(average_lead(config))
        with m.If(self.start | self.start_scales):
            m.d.sync += overtake.eq(lead)
        with m.Elif(overtake != 0):
            m.d.sync += overtake.eq(overtake - 1)
        clear = overtake <= lead

        # A cycle behind the wave: scales come later than that.
        last_slot = Signal.like(self.slot)
        m.d.sync += last_slot.eq((scale_length - 1) >> flit_shift)

        def finish():
            m.d.comb += self.free.valid.eq(1)
            for index, source in enumerate(self.wave):
                m.d.comb += source.ready.eq(chosen[index])
            m.next = "select"

        def end():
            with m.If(wave.quantize):
                m.d.sync += self.slot.eq(0)
                m.next = "scales"
            with m.Elif(complete & known):
                finish()
            with m.Else():
                m.next = "finish"

        with m.If(self.start | self.start_scales):
            m.d.comb += asks.eq(1)
        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("select"):
                m.d.comb += [turn.advance.eq(1), self.busy.eq(0), asks.eq(1)]
                m.d.sync += [
                    chosen.eq(turn.grant),
                    wave.eq(select(turn.grant, waves)),
                    last.eq(
                        Cat(
                            Const((1 << fold) - 1, fold),
                            (select(turn.grant, [w.payload.length for w in self.wave]) - 1)
                            >> flit_shift,
                        )
                    ),
                    self.index.eq(0),
                ]
                with m.If(turn.requests.any()):
                    m.next = "begin"
            with m.State("begin"):
                with m.If(failed_now.any() | (failing & known) | abandon):
                    m.next = "discard"
                with m.Elif(ready & room & clear):
                    m.d.comb += self.job.valid.eq(1)
                    with m.If(self.job.ready):
                        m.d.comb += self.start.eq(1)
                        m.d.sync += self.index.eq(1)
                        m.next = "rows"
                        with m.If(last == 0):
                            end()
                with m.Elif(known & ~(ready & room) & (turn.requests & ~chosen).any()):
                    # Another controller's wave may be ready: do not wait for this one. But one
                    # that only must not overtake keeps its turn, or quantized waves take all.
                    m.next = "select"
            with m.State("rows"), m.If(goes_on | (available & room & known)):
                m.d.comb += self.start.eq(1)
                m.d.sync += self.index.eq(self.index + 1)
                with m.If(self.index == last):
                    end()
            with m.State("scales"):
                m.d.comb += [
                    of_scales.eq(1),
                    self.job.valid.eq(room & known & (self.slot == 0)),
                ]
                with m.If(room & known & (self.job.ready | (self.slot != 0))):
                    m.d.comb += self.start_scales.eq(1)
                    m.d.sync += self.slot.eq(self.slot + 1)
                    with m.If(self.slot == last_slot):
                        m.next = "finish"
                        with m.If(complete & known):
                            finish()
            with m.State("finish"), m.If(complete & known):
                finish()
            with m.State("discard"), m.If(complete & known):
                finish()
        return m
