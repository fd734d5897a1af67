"""The in-switch accelerator: how its parts are wired."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.csr.bus import CsrBus
from hw.isa.barrier import Barrier
from hw.isa.context import FaultReport
from hw.isa.controller import WaveController
from hw.isa.csr import IsaRegisters
from hw.isa.jobs import read_job_layout, write_job_layout
from hw.isa.port import IsaPort
from hw.isa.reduction import Reduction
from hw.isa.scheduler import Scheduler
from hw.spec.config import Config
from hw.spec.packet import flit_layout
from hw.spec.registers import FEATURE_BITS
from hw.spec.status import Status
from hw.stream.arbiter import StreamArbiter
from hw.stream.connect import connect_stream, register_stage
from hw.stream.queue import LightRegister


class Isa(wiring.Component):
    """Read every source, reduce row by row, write every destination.

    Parameters: ``gated``: see :class:`hw.isa.reduction.Reduction`.

    Ports: ``bus`` (registers); per port flit streams ``read_request``, ``write_request``
    out and ``arrivals``, ``read_response``, ``write_response`` in; ``dead_peers`` (a bit per
    port) and ``misrouted`` (events
    of the switch core, counted here); ``reducing`` and
    ``quantizing`` out.

    Order of reading: controller (issue) -> read_request -> wave_table -> scheduler -> reduction
    -> writeback -> write_tracker -> controller (retire). Latency of each step:
    ``docs/microarchitecture.md``.
    """

    def __init__(self, config: Config, *, gated: bool = False):
        self._gated = gated
        self._config = config
        flits = stream.Signature(flit_layout(config))
        ports = config.system.endpoints
        super().__init__(
            {
                "bus": In(CsrBus()),
                "read_request": Out(flits).array(ports),
                "write_request": Out(flits).array(ports),
                "arrivals": In(flits).array(ports),
                "read_response": In(flits).array(ports),
                "write_response": In(flits).array(ports),
                "misrouted": In(8),
                "dead_peers": In(config.system.endpoints),
                "reducing": Out(1),
                "quantizing": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        ports = [IsaPort(config, port=i) for i in range(config.system.endpoints)]
        controllers = [WaveController(config, index=c) for c in range(config.isa.wave_controllers)]
        m.submodules.registers = registers = IsaRegisters(config)
        m.submodules.barrier = barrier = Barrier(config)
        m.submodules.scheduler = scheduler = Scheduler(config)
        m.submodules.reduction = reduction = Reduction(config, gated=self._gated)
        m.d.comb += [
            self.reducing.eq(reduction.reducing),
            self.quantizing.eq(reduction.quantizing),
        ]
        for index, port in enumerate(ports):
            m.submodules[f"port_{index}"] = port
        for index, controller in enumerate(controllers):
            m.submodules[f"controller_{index}"] = controller
        feature = {name: registers.features[bit] for bit, name in enumerate(FEATURE_BITS)}

        wiring.connect(m, wiring.flipped(self.bus), registers.bus)
        for index, port in enumerate(ports):
            connect_stream(m, port.read_request, self.read_request[index])
            connect_stream(m, port.write_request, self.write_request[index])
            connect_stream(m, self.arrivals[index], port.arrivals)
            connect_stream(m, self.read_response[index], port.read_response)
            connect_stream(m, self.write_response[index], port.write_response)
            m.d.comb += [
                port.reads.burst_reads.eq(feature["burst_reads"]),
                port.table.burst_reads.eq(feature["burst_reads"]),
                port.writes.coalesce.eq(feature["coalesced_write_responses"]),
                port.writes.flag_base.eq(registers.flag_base),
            ]
        self._wire_barrier(m, registers, controllers, ports, barrier)
        self._wire_controllers(m, registers, controllers, feature)
        self._wire_contexts(m, controllers, ports)
        self._wire_reads(m, controllers, ports)
        self._wire_reduction(m, controllers, ports, scheduler, reduction, feature)
        self._wire_write_jobs(m, controllers, ports, scheduler, feature)
        self._wire_errors(m, registers, controllers, ports, scheduler)
        return m

    def _wire_barrier(self, m, registers, controllers, ports, barrier):
        for index, port in enumerate(ports):
            m.d.comb += [
                getattr(barrier, name)[index].eq(getattr(port.arrival, name))
                for name in ("arrived", "sync_id", "round")
            ]
        for controller, user in zip(controllers, barrier.user, strict=True):
            wiring.connect(m, controller.barrier, user)
        wiring.connect(m, barrier.state, registers.barrier)
        no_arrivals = sum(port.arrival.stray for port in ports)
        m.d.comb += registers.no_arrivals.eq(no_arrivals)

    def _wire_controllers(self, m, registers, controllers, feature):
        for c, controller in enumerate(controllers):
            connect_stream(m, controller.completion, registers.completion[c])
            connect_stream(m, registers.instruction[c], controller.instruction)
            m.d.comb += [
                controller.cycles.eq(registers.cycles),
                controller.timeout.eq(registers.timeout),
                controller.sync_refused.eq(registers.sync_refused[c]),
                controller.barrier_timeout.eq(registers.barrier_timeout),
                controller.fused_notify.eq(feature["fused_notify"]),
            ]

    def _wire_contexts(self, m, controllers, ports):
        """Keep the operand addresses of an instruction at its ports."""
        slots = self._config.isa.instructions_in_flight
        # Of several controllers that open a context in one cycle, the highest goes first.
        for c, controller in enumerate(controllers):
            higher = Cat(other.open for other in controllers[c + 1 :])
            m.d.comb += controller.open_granted.eq(~higher.any())
        for index, port in enumerate(ports):
            for c, controller in enumerate(controllers):
                with m.If(controller.open):
                    m.d.comb += [
                        port.open.eq(1),
                        port.open_context.eq(controller.open_context),
                        port.address.eq(controller.addresses[index]),
                        port.scale_address.eq(controller.scale_addresses[index]),
                        port.tracker.open.eq(1),
                        port.tracker.open_context.eq(controller.open_context),
                        port.tracker.open_generation.eq(controller.open_generation),
                    ]
                first = c * slots
                m.d.comb += port.tracker.abandon[first : first + slots].eq(controller.abandon)

    def _wire_reads(self, m, controllers, ports):
        m.submodules.read_turn = turn = StreamArbiter(
            read_job_layout(self._config), count=len(controllers)
        )
        for c, controller in enumerate(controllers):
            connect_stream(m, controller.read, turn.i[c])
        registered = self._config.fabric.registered
        jobs = turn.o
        # The scheduler sees a wave no earlier than its entry, and its answers come later yet.
        reserved = Signal(len(ports))
        entry = Signal(read_job_layout(self._config))
        m.d["sync" if registered else "comb"] += [
            reserved.eq(Mux(turn.o.valid & turn.o.ready, turn.o.payload.ports, 0)),
            entry.eq(turn.o.payload),
        ]
        if registered:
            jobs = register_stage(m, "read_buffer", turn.o, LightRegister)
        job = jobs.payload
        all_ready = Cat(port.reads.job.ready | ~job.ports[i] for i, port in enumerate(ports))
        m.d.comb += jobs.ready.eq(all_ready.all())
        for i, port in enumerate(ports):
            m.d.comb += [
                port.reads.job.valid.eq(jobs.valid & jobs.ready & job.ports[i]),
                port.reads.job.payload.eq(job),
                port.table.allocate.eq(reserved[i]),
                port.table.allocate_entry.eq(entry.entry),
                port.table.allocate_generation.eq(entry.generation),
                port.table.allocate_length.eq(entry.length),
                port.table.allocate_scale_length.eq(entry.scale_length),
            ]

    def _wire_reduction(self, m, controllers, ports, scheduler, reduction, feature):
        for c, controller in enumerate(controllers):
            connect_stream(m, controller.wave, scheduler.wave[c])
            m.d.comb += [
                scheduler.timed_out[c].eq(controller.wave_timed_out),
                controller.started.eq(scheduler.start & scheduler.controller_now[c]),
            ]
        wave = scheduler.wave_now
        m.d.comb += [
            scheduler.streaming.eq(feature["streaming_reduction"]),
            scheduler.available.eq(Cat(port.table.available for port in ports)),
            scheduler.complete.eq(Cat(port.table.complete for port in ports)),
            scheduler.failed.eq(Cat(port.table.failure != Status.OK for port in ports)),
            scheduler.has_room.eq(Cat(port.writes.has_room for port in ports)),
        ]

        # What is free is allocated again two cycles later at the earliest.
        freed = Signal(len(ports))
        free_entry, abandon = Signal.like(wave.entry), Signal()
        m.d["sync" if self._config.fabric.registered else "comb"] += [
            freed.eq(Mux(scheduler.free, wave.sources, 0)),
            free_entry.eq(wave.entry),
            abandon.eq(scheduler.free_abandon),
        ]
        first = scheduler.index[: exact_log2(self._config.isa.cycles_per_row)] == 0
        begins = (scheduler.start & first) | scheduler.start_scales
        targets = Mux(begins, scheduler.start_destinations, 0)
        for name in ("start", "start_scales", "slot", "index", "slices_left"):
            m.d.comb += getattr(reduction, name).eq(getattr(scheduler, name))
        for name in ("sources", "destinations", "data_type", "reduce_op", "quantize"):
            m.d.comb += getattr(reduction, name).eq(wave[name])
        for i, port in enumerate(ports):
            m.d.comb += [
                port.table.entry.eq(wave.entry),
                port.table.asked.eq(scheduler.asked),
                port.table.row.eq(scheduler.row),
                port.table.scale_row.eq(reduction.scale_row),
                port.table.free.eq(freed[i]),
                port.table.free_entry.eq(free_entry),
                port.table.abandon.eq(abandon),
                reduction.rows[i].eq(port.table.data),
                reduction.scale_rows[i].eq(port.table.scale_data),
                port.writes.reserve.eq(targets[i]),
                port.writes.row_valid.eq(reduction.arriving[i]),
                port.writes.row.eq(reduction.result),
            ]

    def _wire_write_jobs(self, m, controllers, ports, scheduler, feature):
        """Waves from the scheduler and flags from the controllers, in order of issue."""
        limit = self._config.fabric.max_payload_bytes
        m.submodules.write_turn = turn = StreamArbiter(
            write_job_layout(self._config), count=1 + len(controllers)
        )
        wave_job, late = scheduler.job, Signal()
        if self._config.fabric.registered:
            wave_job = register_stage(m, "job_buffer", scheduler.job, LightRegister)
            m.d.comb += late.eq(wave_job.valid)
        connect_stream(m, wave_job, turn.i[0])
        for c, controller in enumerate(controllers):
            # A flag goes behind the data of waves that came before it; once offered it stays.
            notify, sink = controller.notify, turn.i[1 + c]
            if self._config.fabric.registered:
                notify = register_stage(m, f"notify_{c}", notify, LightRegister)
            offered, goes = Signal(name=f"offered_{c}"), Signal(name=f"goes_{c}")
            m.d.comb += [
                goes.eq(~late | offered),
                sink.payload.eq(notify.payload),
                sink.valid.eq(notify.valid & goes),
                notify.ready.eq(sink.ready & goes),
            ]
            m.d.sync += offered.eq(sink.valid & ~sink.ready)
        job = turn.o.payload
        all_ready = Cat(port.writes.job.ready | ~job.ports[i] for i, port in enumerate(ports))
        wave = scheduler.job.payload
        expects = Signal(len(ports))
        context, count = Signal.like(wave.context), Signal.like(ports[0].tracker.expect_count)
        packets = (wave.length + (limit - 1)) >> exact_log2(limit)
        # A response takes longer than this to come, and a wave to be freed.
        m.d["sync" if self._config.fabric.registered else "comb"] += [
            expects.eq(Mux(scheduler.job.valid & scheduler.job.ready, wave.ports, 0)),
            context.eq(wave.context),
            count.eq(Mux(feature["coalesced_write_responses"], ~wave.more, packets)),
        ]
        m.d.comb += turn.o.ready.eq(all_ready.all())
        for i, port in enumerate(ports):
            begins = turn.o.valid & turn.o.ready & job.ports[i]
            m.d.comb += [
                port.writes.job.valid.eq(begins),
                port.writes.job.payload.eq(job),
                port.tracker.expect.eq(expects[i]),
                port.tracker.expect_context.eq(context),
                port.tracker.expect_count.eq(count),
            ]

    def _wire_errors(self, m, registers, controllers, ports, scheduler):
        config = self._config
        slots, waves = config.isa.instructions_in_flight, config.waves_per_controller
        wave = scheduler.wave_now
        late = sum(port.table.late + port.tracker.late for port in ports)
        stray = sum(port.table.stray + port.tracker.error for port in ports)
        m.d.comb += [
            registers.late.eq(late),
            registers.stray.eq(stray),
            registers.misrouted.eq(self.misrouted),
            registers.dead_peers.eq(self.dead_peers),
        ]
        # An answer that nothing waits for may be reported a cycle late.
        strays = [Signal(FaultReport, name=f"stray_{c}") for c in range(len(controllers))]
        for controller, stray in zip(controllers, strays, strict=True):
            m.d["sync" if config.fabric.registered else "comb"] += controller.stray.eq(stray)
        for c, controller in enumerate(controllers):
            contexts = range(c * slots, (c + 1) * slots)
            # Several contexts may fail in one cycle. Of one context a single error is reported.
            for i, port in reversed(list(enumerate(ports))):
                tracker = port.tracker
                for slot, context in enumerate(contexts):
                    with m.If(tracker.error & (tracker.error_context == context)):
                        m.d.comb += _report(controller.faults[slot], tracker.error_status, i)
            for i, port in reversed(list(enumerate(ports))):
                failing = (
                    scheduler.busy
                    & scheduler.controller_now[c]
                    & wave.sources[i]
                    & (port.table.failure != Status.OK)
                )
                read_failed, status = Signal(), Signal(Status)
                slot_now = Signal(range(slots))
                # The wave is discarded later than this, with ``fabric.registered`` too.
                m.d["sync" if config.fabric.registered else "comb"] += [
                    read_failed.eq(failing),
                    status.eq(port.table.failure),
                    slot_now.eq(wave.context % slots),
                ]
                for slot in range(slots):
                    with m.If(read_failed & (slot_now == slot)):
                        m.d.comb += _report(controller.faults[slot], status, i)
                table = port.table
                with m.If(table.stray & ((table.stray_entry // waves) == c)):
                    m.d.comb += _report(strays[c], table.stray_status, i)
            here = slice(c * slots, (c + 1) * slots)
            outstanding = [port.tracker.outstanding[here] for port in ports]
            m.d.comb += [
                controller.outstanding.eq(_any_of(outstanding)),
                *(
                    answered.eq(
                        Cat(
                            port.tracker.answered & (port.tracker.answered_context == context)
                            for port in ports
                        ).any()
                    )
                    for answered, context in zip(controller.answered, contexts, strict=True)
                ),
                controller.progress.eq(
                    Cat(
                        port.table.accepted & ((port.table.arriving_entry // waves) == c)
                        for port in ports
                    ).any()
                    | controller.answered.any()
                ),
                controller.reads_waiting.eq(Cat(port.table.waiting[c] for port in ports)),
                controller.writes_waiting.eq(
                    Cat(bits.bit_select(controller.oldest, 1) for bits in outstanding)
                ),
            ]


def _report(target: FaultReport, status, endpoint: int) -> list:
    return [target.valid.eq(1), target.status.eq(status), target.endpoint.eq(endpoint)]


def _any_of(masks):
    result = masks[0]
    for mask in masks[1:]:
        result = result | mask
    return result
