"""The in-switch accelerator: how its parts are wired."""

from amaranth import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.csr.bus import CsrBus
from hw.isa.answers import Answers
from hw.isa.barrier import Barrier
from hw.isa.controller import WaveController
from hw.isa.csr import IsaRegisters
from hw.isa.dispatch import ReadDispatch, ReleaseDispatch, StartDispatch, WriteDispatch
from hw.isa.failures import Failures
from hw.isa.port import IsaPort
from hw.isa.reduction import Reduction
from hw.isa.scheduler import Scheduler
from hw.spec.config import Config
from hw.spec.packet import flit_layout
from hw.spec.registers import FEATURE_BITS
from hw.spec.status import Status
from hw.stream.connect import connect_stream


class Isa(wiring.Component):
    """Read every source, reduce row by row, write every destination.

    Parameters: ``gated``: see :class:`hw.isa.reduction.Reduction`.

    Ports: ``bus`` (registers); per port flit streams ``read_request``, ``write_request``
    out and ``arrivals``, ``read_response``, ``write_response`` in; ``dead_peers`` (a bit per
    port) and ``misrouted`` (events of the switch core, counted here); ``reducing`` and
    ``quantizing`` out.

    Order of reading: controller (issue) -> dispatch -> read_request -> wave_table -> scheduler
    -> reduction -> writeback -> write_tracker -> answers -> controller (retire). Latency of each
    step: ``docs/microarchitecture.md``.
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
                "dead_peers": In(ports),
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
        m.submodules.scheduler = scheduler = Scheduler(config)
        m.submodules.reduction = reduction = Reduction(config, gated=self._gated)
        for index, port in enumerate(ports):
            m.submodules[f"port_{index}"] = port
        for index, controller in enumerate(controllers):
            m.submodules[f"controller_{index}"] = controller
        feature = {name: registers.features[bit] for bit, name in enumerate(FEATURE_BITS)}
        wiring.connect(m, wiring.flipped(self.bus), registers.bus)
        self._connect_channels(m, ports)
        self._connect_settings(m, registers, controllers, ports, feature)
        self._connect_barriers(m, registers, controllers, ports)
        self._connect_dispatch(m, controllers, ports, scheduler, feature)
        self._connect_scheduler(m, controllers, ports, scheduler, feature)
        self._connect_reduction(m, ports, scheduler, reduction)
        self._connect_answers(m, controllers, ports)
        self._connect_failures(m, registers, controllers, ports, scheduler)
        return m

    def _connect_channels(self, m, ports):
        for index, port in enumerate(ports):
            for source, sink in (
                (self.arrivals[index], port.arrivals),
                (self.read_response[index], port.read_response),
                (self.write_response[index], port.write_response),
                (port.read_request, self.read_request[index]),
                (port.write_request, self.write_request[index]),
            ):
                connect_stream(m, source, sink)

    def _connect_settings(self, m, registers, controllers, ports, feature):
        for port in ports:
            m.d.comb += [
                port.settings.burst_reads.eq(feature["burst_reads"]),
                port.settings.coalesce.eq(feature["coalesced_write_responses"]),
                port.settings.flag_base.eq(registers.flag_base),
            ]
        for c, controller in enumerate(controllers):
            connect_stream(m, registers.instruction[c], controller.instruction)
            connect_stream(m, controller.completion, registers.completion[c])
            m.d.comb += [
                controller.cycles.eq(registers.cycles),
                controller.timeout.eq(registers.timeout),
                controller.barrier_timeout.eq(registers.barrier_timeout),
                controller.sync_refused.eq(registers.sync_refused[c]),
                controller.fused_notify.eq(feature["fused_notify"]),
            ]

    def _connect_barriers(self, m, registers, controllers, ports):
        m.submodules.barrier = barrier = Barrier(self._config)
        for port, arrival in zip(ports, barrier.arrival, strict=True):
            connect_stream(m, port.arrival, arrival)
        for controller, user in zip(controllers, barrier.user, strict=True):
            wiring.connect(m, controller.barrier, user)
        wiring.connect(m, barrier.state, registers.barrier)

    def _connect_dispatch(self, m, controllers, ports, scheduler, feature):
        """From controllers and scheduler to the ports."""
        m.submodules.start = start = StartDispatch(self._config)
        m.submodules.read = read = ReadDispatch(self._config)
        m.submodules.write = write = WriteDispatch(self._config)
        m.submodules.release = release = ReleaseDispatch(self._config)
        for c, controller in enumerate(controllers):
            connect_stream(m, controller.open, start.i[c])
            connect_stream(m, controller.read, read.i[c])
            connect_stream(m, controller.notify, write.notify[c])
        connect_stream(m, scheduler.job, write.wave)
        connect_stream(m, scheduler.free, release.i)
        m.d.comb += [
            write.coalesce.eq(feature["coalesced_write_responses"]),
            release.sources.eq(scheduler.wave_now.sources),
        ]
        for index, port in enumerate(ports):
            for source, sink in (
                (start.o[index], port.start),
                (read.o[index], port.read),
                (read.allocate[index], port.allocate),
                (write.o[index], port.write),
                (write.expect[index], port.expect),
                (release.o[index], port.free),
            ):
                connect_stream(m, source, sink)
            m.d.comb += port.abandon.eq(Cat(controller.abandon for controller in controllers))

    def _connect_scheduler(self, m, controllers, ports, scheduler, feature):
        for c, controller in enumerate(controllers):
            connect_stream(m, controller.wave, scheduler.wave[c])
            m.d.comb += [
                scheduler.timed_out[c].eq(controller.wave_timed_out),
                controller.started.eq(scheduler.start & scheduler.controller_now[c]),
            ]
        m.d.comb += [
            scheduler.streaming.eq(feature["streaming_reduction"]),
            scheduler.available.eq(Cat(port.table.available for port in ports)),
            scheduler.complete.eq(Cat(port.table.complete for port in ports)),
            scheduler.failed.eq(Cat(port.table.failure != Status.OK for port in ports)),
            scheduler.has_room.eq(Cat(port.rows.has_room for port in ports)),
        ]

    def _connect_reduction(self, m, ports, scheduler, reduction):
        """Rows from the tables through the datapaths to the write-back."""
        wave = scheduler.wave_now
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
                reduction.rows[i].eq(port.table.data),
                reduction.scale_rows[i].eq(port.table.scale_data),
                port.rows.reserve.eq(scheduler.reserve[i]),
                port.rows.row_valid.eq(reduction.arriving[i]),
                port.rows.row.eq(reduction.result),
            ]
        m.d.comb += [
            self.reducing.eq(reduction.reducing),
            self.quantizing.eq(reduction.quantizing),
        ]

    def _connect_answers(self, m, controllers, ports):
        m.submodules.answers = answers = Answers(self._config)
        for controller, end in zip(controllers, answers.controller, strict=True):
            wiring.connect(m, controller.answers, end)
        for port, end in zip(ports, answers.port, strict=True):
            wiring.connect(m, port.answers, end)

    def _connect_failures(self, m, registers, controllers, ports, scheduler):
        m.submodules.failures = failures = Failures(self._config)
        m.d.comb += [
            failures.busy.eq(scheduler.busy),
            failures.controller_now.eq(scheduler.controller_now),
            failures.wave.eq(scheduler.wave_now),
        ]
        for port, end in zip(ports, failures.port, strict=True):
            wiring.connect(m, port.failures, end)
        for c, controller in enumerate(controllers):
            connect_stream(m, failures.strays[c], controller.stray)
            for fault, sink in zip(failures.faults[c], controller.faults, strict=True):
                connect_stream(m, fault, sink)
        m.d.comb += [
            registers.no_arrivals.eq(sum(port.no_arrival for port in ports)),
            registers.late.eq(sum(port.table_late + port.tracker_late for port in ports)),
            registers.stray.eq(
                sum(port.failures.stray.valid + port.failures.write.valid for port in ports)
            ),
            registers.misrouted.eq(self.misrouted),
            registers.dead_peers.eq(self.dead_peers),
        ]
