"""Wave controller: runs one stream of instructions."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.isa.check import Check
from hw.isa.jobs import index_bits, read_job_layout, wave_layout, write_job_layout
from hw.isa.watchdog import Watchdog
from hw.spec.config import MAX_ENDPOINTS, Config
from hw.spec.instruction import Completion, Opcode, instruction_layout, read_tag_layout
from hw.spec.packet import ADDRESS_BITS, LENGTH_BITS, NODE_BITS
from hw.spec.status import Status
from hw.stream.queue import Queue


class FaultReport(data.Struct):
    """Something went wrong at an endpoint."""

    valid: 1
    status: Status
    endpoint: NODE_BITS


class WaveController(wiring.Component):
    """Fetch, wait at the barrier, cut into waves, issue their reads, retire.

    Parameters: ``index``, number of this controller.

    Ports
    -----
    instruction : stream in
    open, open_context, addresses : a context starts; operand addresses to keep
    open_granted : in, they are kept in this cycle
    open_generation : generation of the context's write tags
    barrier_query, barrier_participants, barrier_met, barrier_missing, barrier_take :
        see :class:`hw.isa.barrier.Barrier`
    read : stream out, a wave whose table entry is reserved
    wave : stream out, the same wave for the scheduler; taken when its entry is free again
    wave_timed_out : out, the wave at ``wave`` will not complete
    started : in, a row of the wave at ``wave`` entered the reduction
    notify : stream out, completion flags
    fault_context, fault : in, an error of one of this controller's contexts
    stray : in, an error that names no context; charged to the oldest
    outstanding : in per context, write responses are to come
    answered, answered_context : in, one came
    abandon : out per context, see :class:`hw.isa.write_tracker.WriteTracker`
    reads_waiting, writes_waiting : in per endpoint, who is to answer, for the watchdog
    progress : in, something arrived
    completion : stream out, one record per instruction, in order

    Up to ``isa.instructions_in_flight`` instructions overlap: while one drains, the next
    issues. They retire in order. An error stops the issue, discards the waves in flight
    and ends the instruction with its status; the watchdog does so when nothing moves.
    """

    def __init__(self, config: Config, *, index: int):
        self._config = config
        self._index = index
        ports = config.system.endpoints
        slots = config.isa.instructions_in_flight
        slot_bits = index_bits(slots)
        super().__init__(
            {
                "cycles": In(32),
                "fused_notify": In(1),
                "timeout": In(32),
                "barrier_timeout": In(32),
                "instruction": In(stream.Signature(instruction_layout(config))),
                "open": Out(1),
                "open_granted": In(1),
                "open_context": Out(index_bits(config.contexts)),
                "open_generation": Out(wave_layout(config)["generation"].width),
                "addresses": Out(data.ArrayLayout(ADDRESS_BITS, ports)),
                "barrier_query": Out(index_bits(config.isa.sync_ids)),
                "barrier_participants": Out(MAX_ENDPOINTS),
                "barrier_met": In(1),
                "barrier_missing": In(ports),
                "barrier_take": Out(1),
                "read": Out(stream.Signature(read_job_layout(config))),
                "wave": Out(stream.Signature(wave_layout(config))),
                "wave_timed_out": Out(1),
                "started": In(1),
                "notify": Out(stream.Signature(write_job_layout(config))),
                "fault": In(FaultReport),
                "fault_context": In(slot_bits),
                "stray": In(FaultReport),
                "outstanding": In(slots),
                "answered": In(1),
                "answered_context": In(slot_bits),
                "abandon": Out(slots),
                "oldest": Out(slot_bits),
                "reads_waiting": In(ports),
                "writes_waiting": In(ports),
                "progress": In(1),
                "completion": Out(stream.Signature(Completion)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        slots = config.isa.instructions_in_flight
        slot_bits = index_bits(slots)
        waves = config.waves_per_controller

        def per_context(shape, name):
            return Array(Signal(shape, name=f"{name}_{k}") for k in range(slots))

        # What is known of each instruction in flight.
        live = per_context(1, "live")
        issued = per_context(1, "issued")
        timed_out = per_context(1, "timed_out")
        status = per_context(Status, "status")
        culprit = per_context(NODE_BITS, "culprit")
        info = per_context(_context_layout(config), "info")
        pending = per_context(range(waves + 1), "pending")
        record = per_context(_times_layout(), "times")
        generation = per_context(self.open_generation.shape(), "generation")

        newest = Signal(slot_bits)
        oldest = self.oldest
        following = Signal(slot_bits)
        m.d.comb += following.eq(newest + 1)

        # Fetch.
        m.submodules.check = check = Check(config)
        instruction = Signal(instruction_layout(config))
        issuing = Signal(slot_bits)
        offset = Signal(32)
        wave_length = Signal(LENGTH_BITS)
        left = Signal(32)
        last_wave = Signal()
        at_barrier = Signal()
        failed = status[issuing] != Status.OK
        m.d.comb += [
            check.instruction.eq(instruction),
            self.addresses.eq(instruction.addresses),
            self.barrier_query.eq(instruction.sync_id),
            self.barrier_participants.eq(instruction.participants),
            last_wave.eq(left <= config.isa.wave_bytes),
            wave_length.eq(Mux(last_wave, left, config.isa.wave_bytes)),
        ]

        slot = Signal(range(waves)) if waves > 1 else Signal(1)
        read_generation = Signal(read_tag_layout(config)["generation"].width)
        entry = Signal(index_bits(config.isa.waves))
        m.submodules.queue = queue = Queue(_queued_layout(config), depth=max(2, waves))
        in_use = Signal(range(waves + 1))
        free = Signal()
        issue = Signal()
        released = Signal()
        m.d.comb += [
            entry.eq(slot + self._index * waves),
            free.eq((in_use != waves) & queue.i.ready),
            issue.eq(self.read.valid & self.read.ready),
            released.eq(self.wave.valid & self.wave.ready),
            self.read.payload.ports.eq(instruction.sources),
            self.read.payload.context.eq(issuing + self._index * slots),
            self.read.payload.entry.eq(entry),
            self.read.payload.generation.eq(read_generation),
            self.read.payload.offset.eq(offset),
            self.read.payload.length.eq(wave_length),
            queue.i.valid.eq(issue),
            queue.i.payload.slot.eq(issuing),
            queue.i.payload.entry.eq(entry),
            queue.i.payload.offset.eq(offset),
            queue.i.payload.length.eq(wave_length),
        ]
        m.d.sync += in_use.eq(in_use + issue - released)

        with m.FSM(name="issue_state"):
            with m.State("fetch"), m.If(self.instruction.valid & ~live[newest]):
                m.d.comb += self.instruction.ready.eq(1)
                m.d.sync += [
                    instruction.eq(self.instruction.payload),
                    issuing.eq(newest),
                    newest.eq(following),
                    live[newest].eq(1),
                    issued[newest].eq(0),
                    timed_out[newest].eq(0),
                    status[newest].eq(Status.OK),
                    culprit[newest].eq(0),
                    pending[newest].eq(0),
                    record[newest].eq(0),
                    record[newest].fetched.eq(self.cycles),
                    generation[newest].eq(generation[newest] + 1),
                    info[newest].identifier.eq(self.instruction.payload.identifier),
                    info[newest].notify.eq(self.instruction.payload.notify),
                    info[newest].sync_id.eq(self.instruction.payload.sync_id),
                    info[newest].participants.eq(self.instruction.payload.participants),
                    info[newest].sources.eq(self.instruction.payload.sources),
                    info[newest].destinations.eq(self.instruction.payload.destinations),
                    info[newest].data_type.eq(self.instruction.payload.data_type),
                    info[newest].reduce_op.eq(self.instruction.payload.reduce_op),
                ]
                m.next = "check"
            with m.State("check"):
                m.d.comb += [
                    self.open.eq(1),
                    self.open_context.eq(issuing + self._index * slots),
                    self.open_generation.eq(generation[issuing]),
                ]
                m.d.sync += [offset.eq(0), left.eq(instruction.length)]
                with m.If(~self.open_granted):
                    pass
                with m.Elif(check.status != Status.OK):
                    m.d.sync += [
                        status[issuing].eq(check.status),
                        issued[issuing].eq(1),
                    ]
                    m.next = "fetch"
                with m.Elif(instruction.opcode == Opcode.NOP):
                    m.d.sync += issued[issuing].eq(1)
                    m.next = "fetch"
                with m.Else():
                    m.next = "wait"
            with m.State("wait"):
                fenced = instruction.fence & (oldest != issuing)
                m.d.comb += at_barrier.eq(instruction.barrier & ~fenced)
                with m.If(failed):
                    m.d.sync += issued[issuing].eq(1)
                    m.next = "fetch"
                with m.Elif(~fenced & (~instruction.barrier | self.barrier_met)):
                    m.d.comb += self.barrier_take.eq(instruction.barrier)
                    m.d.sync += record[issuing].barrier_met.eq(self.cycles)
                    m.next = "issue"
            with m.State("issue"):
                with m.If(failed):
                    m.d.sync += issued[issuing].eq(1)
                    m.next = "fetch"
                with m.Elif(free):
                    m.d.comb += self.read.valid.eq(1)
                    with m.If(self.read.ready):
                        m.d.sync += [
                            offset.eq(offset + wave_length),
                            left.eq(left - wave_length),
                            slot.eq(slot + 1 if waves > 1 else 0),
                        ]
                        with m.If(slot == waves - 1):
                            m.d.sync += read_generation.eq(read_generation + 1)
                        with m.If(offset == 0):
                            m.d.sync += record[issuing].first_read.eq(self.cycles)
                        with m.If(last_wave):
                            m.d.sync += issued[issuing].eq(1)
                            m.next = "fetch"
                with m.Else():
                    m.d.sync += record[issuing].table_wait.eq(record[issuing].table_wait + 1)

        # The oldest wave, for the scheduler.
        head = queue.o.payload
        context = info[head.slot]
        m.d.comb += [
            self.wave.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.wave.ready),
            self.wave.payload.sources.eq(context.sources),
            self.wave.payload.destinations.eq(context.destinations),
            self.wave.payload.context.eq(head.slot + self._index * slots),
            self.wave.payload.entry.eq(head.entry),
            self.wave.payload.generation.eq(generation[head.slot]),
            self.wave.payload.data_type.eq(context.data_type),
            self.wave.payload.reduce_op.eq(context.reduce_op),
            self.wave.payload.offset.eq(head.offset),
            self.wave.payload.length.eq(head.length),
            self.wave.payload.failed.eq(status[head.slot] != Status.OK),
            self.wave_timed_out.eq(timed_out[head.slot]),
        ]
        for k in range(slots):
            more = issue & (issuing == k)
            less = released & (head.slot == k)
            with m.If(more | less):
                m.d.sync += pending[k].eq(pending[k] + more - less)
            m.d.comb += self.abandon[k].eq(timed_out[k] & live[k])
        with m.If(self.started):
            m.d.sync += record[head.slot].last_write.eq(self.cycles)
        with m.If(self.answered):
            m.d.sync += record[self.answered_context].last_response.eq(self.cycles)

        # Errors: the first one of an instruction counts.
        m.submodules.watchdog = watchdog = Watchdog()
        m.d.comb += [
            watchdog.running.eq(live[oldest]),
            watchdog.at_barrier.eq(at_barrier & (issuing == oldest)),
            watchdog.progress.eq(self.progress | released | issue | self.started),
            watchdog.limit.eq(self.timeout),
            watchdog.barrier_limit.eq(self.barrier_timeout),
        ]
        with m.If(self.fault.valid & (status[self.fault_context] == Status.OK)):
            m.d.sync += [
                status[self.fault_context].eq(self.fault.status),
                culprit[self.fault_context].eq(self.fault.endpoint),
            ]
        with m.If(live[oldest] & (status[oldest] == Status.OK)):
            with m.If(self.stray.valid):
                m.d.sync += [
                    status[oldest].eq(self.stray.status),
                    culprit[oldest].eq(self.stray.endpoint),
                ]
            with m.Elif(watchdog.barrier_expired):
                m.d.sync += [
                    status[oldest].eq(Status.BARRIER_TIMEOUT),
                    culprit[oldest].eq(_lowest_index(self.barrier_missing)),
                ]
            with m.Elif(watchdog.expired):
                m.d.sync += [
                    status[oldest].eq(Status.TIMEOUT),
                    culprit[oldest].eq(
                        _lowest_index(
                            Mux(self.reads_waiting.any(), self.reads_waiting, self.writes_waiting)
                        )
                    ),
                ]
        with m.If(watchdog.expired & live[oldest]):
            m.d.sync += timed_out[oldest].eq(1)

        # Retire, in order.
        drained = live[oldest] & issued[oldest] & (pending[oldest] == 0)
        answered = (self.outstanding.bit_select(oldest, 1) == 0) | timed_out[oldest]
        notified = Signal()
        earlier_error = Signal(Status)
        outcome = Mux(status[oldest] != Status.OK, status[oldest], earlier_error)
        m.d.comb += [
            self.notify.payload.ports.eq(info[oldest].participants),
            self.notify.payload.notify.eq(1),
            self.notify.payload.context.eq(oldest + self._index * slots),
            self.notify.payload.offset.eq(info[oldest].sync_id << 3),
            self.notify.payload.identifier.eq(info[oldest].identifier),
            self.notify.payload.status.eq(outcome),
        ]
        done = self.completion.payload
        m.d.comb += [
            done.identifier.eq(info[oldest].identifier),
            done.status.eq(status[oldest]),
            done.endpoint.eq(culprit[oldest]),
            done.controller.eq(self._index),
            done.done.eq(self.cycles),
            *(done[name].eq(record[oldest][name]) for name, _ in _times_layout()),
        ]
        with m.FSM(name="retire_state"):
            with m.State("drain"), m.If(drained):
                with m.If(info[oldest].notify & ~notified & (self.fused_notify | answered)):
                    m.d.comb += self.notify.valid.eq(1)
                    with m.If(self.notify.ready):
                        m.d.sync += notified.eq(1)
                with m.Elif(answered):
                    m.next = "report"
            with m.State("report"):
                m.d.comb += self.completion.valid.eq(1)
                with m.If(self.completion.ready):
                    m.d.sync += [
                        live[oldest].eq(0),
                        oldest.eq(oldest + 1),
                        notified.eq(0),
                        earlier_error.eq(Mux(info[oldest].notify, Status.OK, outcome)),
                    ]
                    m.next = "drain"
        return m


def _context_layout(config: Config) -> data.StructLayout:
    source = dict(iter(instruction_layout(config)))
    names = ("identifier", "notify", "sync_id", "participants", "sources", "destinations")
    return data.StructLayout(
        {name: source[name].shape for name in (*names, "data_type", "reduce_op")}
    )


def _times_layout() -> data.StructLayout:
    names = ("fetched", "barrier_met", "first_read", "table_wait", "last_write", "last_response")
    return data.StructLayout(dict.fromkeys(names, 32))


def _queued_layout(config: Config) -> data.StructLayout:
    return data.StructLayout(
        {
            "slot": index_bits(config.isa.instructions_in_flight),
            "entry": index_bits(config.isa.waves),
            "offset": 32,
            "length": LENGTH_BITS,
        }
    )


def _lowest_index(mask):
    index = 0
    for position in reversed(range(len(mask))):
        index = Mux(mask[position], position, index)
    return index
