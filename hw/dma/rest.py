"""Whether a DMA engine has anything left to do."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import Config


class Rest(wiring.Component):
    """Ports
    -----
    idle : in, nothing is to be read or written
    looking : in, a command is looked at
    drained : out, ``idle``; ``quiet`` : out, no command is looked at either

    With ``fabric.registered`` both are a cycle late. The sequencer looks some cycles after it gave
    the segmenter something; for every other part the two together must have been idle.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__({"idle": In(1), "looking": In(1), "drained": Out(1), "quiet": Out(1)})

    def elaborate(self, platform):
        m = Module()
        if self._config.fabric.registered:
            was_quiet = Signal()
            m.d.sync += [self.drained.eq(self.idle), was_quiet.eq(self.idle & ~self.looking)]
            m.d.comb += self.quiet.eq(was_quiet & ~self.looking)
        else:
            m.d.comb += [self.drained.eq(self.idle), self.quiet.eq(self.idle & ~self.looking)]
        return m
