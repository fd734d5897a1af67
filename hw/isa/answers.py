"""Which answers the instructions of a wave controller still wait for."""

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.bits import index_bits
from hw.spec.config import Config
from hw.stream.connect import event


class ContextAnswers(wiring.Signature):
    """What a wave controller learns of answers, seen from the controller.

    ``oldest``: its oldest context. ``outstanding``, ``answered``: per context, write responses
    are to come; one came. ``reads_waiting``, ``writes_waiting``: per endpoint, it has yet to
    answer a read, or a write of the oldest context. ``progress``: something arrived.
    """

    def __init__(self, config: Config):
        slots, ports = config.isa.instructions_in_flight, config.system.endpoints
        super().__init__(
            {
                "oldest": Out(index_bits(slots)),
                "outstanding": In(slots),
                "answered": In(slots),
                "reads_waiting": In(ports),
                "writes_waiting": In(ports),
                "progress": In(1),
            }
        )


class PortAnswers(wiring.Signature):
    """What a port tells of answers, seen from the port.

    ``outstanding``: per context, write responses are to come; ``answered``: event, one came in this
    context. ``waiting``: per controller, one of its entries expects packets; ``accepted``: event,
    a packet came for this entry.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "outstanding": Out(config.contexts),
                "answered": Out(event(index_bits(config.contexts))),
                "waiting": Out(config.isa.wave_controllers),
                "accepted": Out(event(index_bits(config.isa.waves))),
            }
        )


class Answers(wiring.Component):
    """Sort what the ports tell of answers by wave controller. Combinational.

    Ports: ``port`` per port, see :class:`PortAnswers`; ``controller`` per controller, see
    :class:`ContextAnswers`.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "port": In(PortAnswers(config)).array(config.system.endpoints),
                "controller": In(ContextAnswers(config)).array(config.isa.wave_controllers),
            }
        )

    def elaborate(self, platform):
        m = Module()
        slots = self._config.isa.instructions_in_flight
        waves = self._config.waves_per_controller
        ports = [port.answered for port in self.port]
        for c, controller in enumerate(self.controller):
            contexts = range(c * slots, (c + 1) * slots)
            outstanding = [port.outstanding[c * slots : (c + 1) * slots] for port in self.port]
            accepted = Cat(
                port.accepted.valid & ((port.accepted.payload // waves) == c) for port in self.port
            )
            m.d.comb += [
                controller.outstanding.eq(_any_of(outstanding)),
                *(
                    answered.eq(Cat(p.valid & (p.payload == context) for p in ports).any())
                    for answered, context in zip(controller.answered, contexts, strict=True)
                ),
                controller.progress.eq(accepted.any() | controller.answered.any()),
                controller.reads_waiting.eq(Cat(port.waiting[c] for port in self.port)),
                controller.writes_waiting.eq(
                    Cat(bits.bit_select(controller.oldest, 1) for bits in outstanding)
                ),
            ]
        return m


def _any_of(masks):
    result = masks[0]
    for mask in masks[1:]:
        result = result | mask
    return result
