"""Brings a serial transceiver out of reset, and back in when the wire falls silent."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hw.spec.checks import at_least


class TransceiverReset(wiring.Component):
    """Parameters: ``settle_cycles``, how long a level must last to be believed, at least 1.

    Ports
    -----
    transmit_unlocked, receive_unlocked, silent : in, asynchronous: the transmitter's PLL and the
        receiver's clock recovery have no lock, no signal is seen
    transmit_reset, recovery_reset, receive_reset : out, registers: of the transmitter, the
        recovery of the clock, and what comes behind it

    The order is that of Lattice's FPGA-TN-02206: first the transmitter's PLL locks; when a
    signal is there the recovery is let go, when that has locked the receiver. Loss of lock or
    signal starts the receiver over; so does a recovery without lock after ``16 settle_cycles``.
    """

    def __init__(self, *, settle_cycles: int):
        self._settle = at_least("settle_cycles", settle_cycles, 1)
        super().__init__(
            {
                "transmit_unlocked": In(1),
                "receive_unlocked": In(1),
                "silent": In(1),
                "transmit_reset": Out(1, init=1),
                "recovery_reset": Out(1, init=1),
                "receive_reset": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        levels = {}
        for name in ("transmit_unlocked", "receive_unlocked", "silent"):
            levels[name] = level = Signal(init=1, name=f"{name}_here")
            m.submodules[f"cross_{name}"] = FFSynchronizer(getattr(self, name), level, init=1)
        transmits = self._lasts(m, ~levels["transmit_unlocked"], "transmit")
        heard = self._lasts(m, ~levels["silent"], "heard")
        locked = self._lasts(m, ~self.recovery_reset & ~levels["receive_unlocked"], "locked")
        waited = Signal(range(16 * self._settle + 1))
        tired = waited == 16 * self._settle
        with m.If(self.recovery_reset | locked):
            m.d.sync += waited.eq(0)
        with m.Elif(~tired):
            m.d.sync += waited.eq(waited + 1)
        m.d.sync += [
            self.transmit_reset.eq(~transmits),
            self.recovery_reset.eq(~heard | tired),
            self.receive_reset.eq(~heard | ~locked | tired),
        ]
        return m

    def _lasts(self, m, level, name):
        """True when ``level`` has held for ``settle_cycles``, until it falls."""
        count = Signal(range(self._settle + 1), name=f"{name}_for")
        lasting = count == self._settle
        with m.If(~level):
            m.d.sync += count.eq(0)
        with m.Elif(~lasting):
            m.d.sync += count.eq(count + 1)
        return lasting
