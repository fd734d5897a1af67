"""Which instruction an error belongs to."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.isa.context import Fault
from hw.isa.jobs import stray_layout, wave_layout, write_error_layout
from hw.spec.config import Config
from hw.spec.status import Status
from hw.stream.connect import event


class PortFailures(wiring.Signature):
    """What a port tells of errors, seen from the port.

    ``failure``: status of the entry of the wave being reduced. ``stray``: event, a read response
    that no entry waits for. ``write``: event, a write response that is or carries an error.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "failure": Out(Status),
                "stray": Out(event(stray_layout(config))),
                "write": Out(event(write_error_layout(config))),
            }
        )


class Failures(wiring.Component):
    """Charge the errors of all ports to the contexts and controllers that they belong to.

    Ports
    -----
    busy, controller_now, wave : in, the wave being reduced, see :class:`hw.isa.scheduler.Scheduler`
    port : per port, see :class:`PortFailures`
    faults : event out per controller and context of it
    strays : event out per controller, an error that names no context

    Several contexts may fail in one cycle. Of one context a single error is reported: a failed
    read goes before a failed write, and the first port goes first. With ``fabric.registered``
    failed reads and strays are reported a cycle late: a wave is discarded later than this.
    """

    def __init__(self, config: Config):
        self._config = config
        ports, controllers = config.system.endpoints, config.isa.wave_controllers
        slots = config.isa.instructions_in_flight
        super().__init__(
            {
                "busy": In(1),
                "controller_now": In(controllers),
                "wave": In(wave_layout(config)),
                "port": In(PortFailures(config)).array(ports),
                "faults": Out(event(Fault)).array(controllers, slots),
                "strays": Out(event(Fault)).array(controllers),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for c, (faults, strays) in enumerate(zip(self.faults, self.strays, strict=True)):
            self._writes(m, c, faults)
            self._reads(m, c, faults)
            self._strays(m, c, strays)
        return m

    def _writes(self, m, c, faults):
        first = c * len(faults)
        for i, error in self._last_first("write"):
            for slot, fault in enumerate(faults):
                with m.If(error.valid & (error.payload.context == first + slot)):
                    m.d.comb += _report(fault, error.payload.status, i)

    def _reads(self, m, c, faults):
        slots = len(faults)
        failing_now = self.busy & self.controller_now[c]
        for i, failure in self._last_first("failure"):
            failed, status = Signal(name=f"failed_{c}_{i}"), Signal(Status, name=f"status_{c}_{i}")
            slot_now = Signal(range(slots), name=f"slot_{c}_{i}")
            m.d[self._late] += [
                failed.eq(failing_now & self.wave.sources[i] & (failure != Status.OK)),
                status.eq(failure),
                slot_now.eq(self.wave.context % slots),
            ]
            for slot, fault in enumerate(faults):
                with m.If(failed & (slot_now == slot)):
                    m.d.comb += _report(fault, status, i)

    def _strays(self, m, c, strays):
        waves = self._config.waves_per_controller
        stray = event(Fault).create(path=(f"stray_{c}",))
        m.d[self._late] += [strays.valid.eq(stray.valid), strays.payload.eq(stray.payload)]
        for i, port in self._last_first("stray"):
            with m.If(port.valid & ((port.payload.entry // waves) == c)):
                m.d.comb += _report(stray, port.payload.status, i)

    def _last_first(self, name: str):
        """Of all ports; what is assigned last, for the first one, counts."""
        return reversed([(i, getattr(port, name)) for i, port in enumerate(self.port)])

    @property
    def _late(self) -> str:
        return "sync" if self._config.fabric.registered else "comb"


def _report(target, status, endpoint: int) -> list:
    return [
        target.valid.eq(1),
        target.payload.status.eq(status),
        target.payload.endpoint.eq(endpoint),
    ]
