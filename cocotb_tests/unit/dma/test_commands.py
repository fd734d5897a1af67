"""scin/host/dma_commands.py: commands hold what was asked for, or are refused."""

import pytest

from hw.spec.dma import Command, SignalKind
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place, Signal

PLACE = Place(1, 0x40)


@pytest.mark.parametrize("operand", [0, 1, -1, -(1 << 63), (1 << 64) - 1])
def test_operands_of_additions(operand):
    command = dma.atomic_add(PLACE, operand)
    assert command.operand == operand % (1 << 64)
    assert Command.unpack(command.pack()) == command


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dma.atomic_add(PLACE, 1 << 64), "operand: must be .* not 18446744073709551616"),
        (lambda: dma.atomic_add(PLACE, -(1 << 63) - 1), "operand: must be"),
        (lambda: dma.fence(PLACE, 1 << 32), "value: must be 0 … 4294967295, not 4294967296"),
        (lambda: dma.fence(PLACE, -1), "value: must be"),
        (lambda: Signal(PLACE, 1 << 32, SignalKind.WRITE), "operand: must be 0 … 4294967295"),
        (lambda: Signal(PLACE, 1 << 64), "operand: must be"),
        (lambda: dma.copy(PLACE, PLACE, 1 << 32).pack(), "length = 4294967296: must be between"),
        (lambda: dma.copy(Place(64, 0), PLACE, 1).pack(), "source_node = 64: must be between"),
        (lambda: dma.copy(Place(0, 1 << 48), PLACE, 1).pack(), "source = .*: must be between"),
        (lambda: Command(length=-1).pack(), "length = -1: must be between"),
    ],
)
def test_nothing_is_cut(build, message):
    with pytest.raises(ValueError, match=message):
        build()
