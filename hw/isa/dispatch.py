"""From the controllers and the scheduler to the ports: contexts, waves to read, rows to write."""

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.isa.jobs import (
    allocation_layout,
    expectation_layout,
    operand_layout,
    operands_layout,
    read_job_layout,
    release_layout,
    write_job_layout,
)
from hw.spec.config import Config
from hw.stream.arbiter import StreamArbiter
from hw.stream.connect import connect_stream, event, register_stage
from hw.stream.queue import LightRegister


class StartDispatch(wiring.Component):
    """Tell every port of a context that begins: where its operand lies, and the generation of
    its tags. Of several controllers that begin one in the same cycle, the highest goes first.

    Ports: ``i``, stream in per controller; ``o``, event out per port.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "i": In(stream.Signature(operands_layout(config))).array(
                    config.isa.wave_controllers
                ),
                "o": Out(event(operand_layout(config))).array(config.system.endpoints),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for c, start in enumerate(self.i):
            m.d.comb += start.ready.eq(~Cat(other.valid for other in self.i[c + 1 :]).any())
            with m.If(start.valid):
                for index, port in enumerate(self.o):
                    m.d.comb += [
                        port.valid.eq(1),
                        port.payload.opening.eq(start.payload.opening),
                        port.payload.address.eq(start.payload.addresses[index]),
                        port.payload.scale_address.eq(start.payload.scale_addresses[index]),
                    ]
        return m


class ReadDispatch(wiring.Component):
    """Hand the waves to read to the ports that they are read from, the controllers in turn.

    Ports
    -----
    i : stream in per controller
    o : stream out per port, see :class:`ToPorts`
    allocate : event out per port, the wave's entry there is to expect these bytes; no later than
        the job, and long before the first answer
    """

    def __init__(self, config: Config):
        self._config = config
        jobs, ports = stream.Signature(read_job_layout(config)), config.system.endpoints
        super().__init__(
            {
                "i": In(jobs).array(config.isa.wave_controllers),
                "o": Out(jobs).array(ports),
                "allocate": Out(event(allocation_layout(config))).array(ports),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layout, registered = read_job_layout(self._config), self._config.fabric.registered
        m.submodules.turn = turn = StreamArbiter(layout, count=len(self.i))
        for source, sink in zip(self.i, turn.i, strict=True):
            connect_stream(m, source, sink)
        jobs = turn.o
        reserved, entry = Signal(len(self.o)), Signal(layout)
        # The scheduler sees a wave no earlier than its entry, and its answers come later yet.
        m.d["sync" if registered else "comb"] += [
            reserved.eq(Mux(turn.o.valid & turn.o.ready, turn.o.payload.ports, 0)),
            entry.eq(turn.o.payload),
        ]
        if registered:
            jobs = register_stage(m, "buffer", turn.o, LightRegister)
        m.submodules.ports = ports = ToPorts(layout)
        connect_stream(m, jobs, ports.i)
        for index, (out, allocate) in enumerate(zip(self.o, self.allocate, strict=True)):
            connect_stream(m, ports.o[index], out)
            m.d.comb += [
                allocate.valid.eq(reserved[index]),
                *(
                    allocate.payload[name].eq(entry[name])
                    for name, _ in allocation_layout(self._config)
                ),
            ]
        return m


class ReleaseDispatch(wiring.Component):
    """Tell the ports that a wave was read from that its entry is free again.

    Ports: ``i``, event in, and ``sources``, the wave's ports; ``o``, event out per port. With
    ``fabric.registered`` a cycle late: an entry is allocated again two cycles later at the
    earliest.
    """

    def __init__(self, config: Config):
        self._config = config
        ports, releases = config.system.endpoints, event(release_layout(config))
        super().__init__({"i": In(releases), "sources": In(ports), "o": Out(releases).array(ports)})

    def elaborate(self, platform):
        m = Module()
        release, freed = self.i.payload, Signal(len(self.o))
        late = Signal.like(release)
        m.d["sync" if self._config.fabric.registered else "comb"] += [
            freed.eq(Mux(self.i.valid, self.sources, 0)),
            late.eq(release),
        ]
        for index, port in enumerate(self.o):
            m.d.comb += [port.valid.eq(freed[index]), port.payload.eq(late)]
        return m


class WriteDispatch(wiring.Component):
    """Hand waves to write and completion flags to the ports that they are written to.

    Ports
    -----
    wave : stream in, from the scheduler
    notify : stream in per controller, flags; each goes behind the data of waves that came before
    coalesce : in, one write response answers for a whole wave instead of each packet
    o : stream out per port, see :class:`ToPorts`
    expect : event out per port, write responses that will come; with ``fabric.registered`` a cycle
        late: a response takes longer than this to come, and a wave to be freed
    """

    def __init__(self, config: Config):
        self._config = config
        jobs, ports = stream.Signature(write_job_layout(config)), config.system.endpoints
        super().__init__(
            {
                "wave": In(jobs),
                "notify": In(jobs).array(config.isa.wave_controllers),
                "coalesce": In(1),
                "o": Out(jobs).array(ports),
                "expect": Out(event(expectation_layout(config))).array(ports),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layout, registered = write_job_layout(self._config), self._config.fabric.registered
        m.submodules.turn = turn = StreamArbiter(layout, count=1 + len(self.notify))
        wave, late = self.wave, 0
        if registered:
            wave = register_stage(m, "wave_buffer", self.wave, LightRegister)
            late = wave.valid
        connect_stream(m, wave, turn.i[0])
        for c, flags in enumerate(self.notify):
            if registered:
                flags = register_stage(m, f"notify_buffer_{c}", flags, LightRegister)
            m.submodules[f"behind_{c}"] = behind = Behind(layout)
            connect_stream(m, flags, behind.i)
            connect_stream(m, behind.o, turn.i[1 + c])
            m.d.comb += behind.held.eq(late)
        m.submodules.ports = ports = ToPorts(layout)
        connect_stream(m, turn.o, ports.i)
        for index, out in enumerate(self.o):
            connect_stream(m, ports.o[index], out)
        self._expect(m)
        return m

    def _expect(self, m):
        limit = self._config.fabric.max_payload_bytes
        wave = self.wave.payload
        packets = (wave.length + (limit - 1)) >> exact_log2(limit)
        ports, expected = Signal(len(self.expect)), Signal(expectation_layout(self._config))
        m.d["sync" if self._config.fabric.registered else "comb"] += [
            ports.eq(Mux(self.wave.valid & self.wave.ready, wave.ports, 0)),
            expected.context.eq(wave.context),
            expected.count.eq(Mux(self.coalesce, ~wave.more, packets)),
        ]
        for index, port in enumerate(self.expect):
            m.d.comb += [port.valid.eq(ports[index]), port.payload.eq(expected)]


class Behind(wiring.Component):
    """A stream that waits while it is ``held``; what it has offered stays offered.

    Parameters: ``shape`` of an item. Ports: ``i``, ``o``, streams in and out; ``held``, in.
    """

    def __init__(self, shape):
        items = stream.Signature(shape)
        super().__init__({"i": In(items), "o": Out(items), "held": In(1)})

    def elaborate(self, platform):
        m = Module()
        offered, goes = Signal(), Signal()
        m.d.comb += [
            goes.eq(~self.held | offered),
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & goes),
            self.i.ready.eq(self.o.ready & goes),
        ]
        m.d.sync += offered.eq(self.o.valid & ~self.o.ready)
        return m


class ToPorts(wiring.Component):
    """Hand each item to all of its ports in the same cycle, which is when all of them are ready.

    Parameters: ``layout`` of an item, with a bit per port in ``ports``.

    Ports: ``i``, stream in; ``o``, stream out per port. ``ready`` of a port must not depend on
    ``valid``, which depends on those of all ports.
    """

    def __init__(self, layout):
        items = stream.Signature(layout)
        super().__init__(
            {"i": In(items), "o": Out(items).array(Shape.cast(layout["ports"].shape).width)}
        )

    def elaborate(self, platform):
        m = Module()
        ports = self.i.payload.ports
        ready = Cat(port.ready | ~ports[index] for index, port in enumerate(self.o))
        m.d.comb += self.i.ready.eq(ready.all())
        for index, port in enumerate(self.o):
            m.d.comb += [
                port.valid.eq(self.i.valid & self.i.ready & ports[index]),
                port.payload.eq(self.i.payload),
            ]
        return m
