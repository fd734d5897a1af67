"""scin/host/rounds.py: which round a host gives to an instruction, and to an arrival."""

from hw.spec.packet import ROUND_BITS
from scin.host.rounds import REMEMBERED, BarrierRounds, ahead

ROUNDS = 1 << ROUND_BITS
EVERYONE = 0b11


class Register:
    """ROUND of a barrier, as the switch would show it."""

    def __init__(self, current=0, over=0):
        self.current, self.over = current, over

    def __call__(self):
        return self.current | self.over << 16


def test_distance():
    assert [ahead(n, 5) for n in (5, 6, 4, 5 + 1023)] == [0, 1, -1, 1023]
    assert ahead(1, ROUNDS - 1) == 2
    assert ahead(ROUNDS - 1, 1) == -2


def test_in_order():
    """Each for the oldest round that is open and that it has not arrived for."""
    register = Register(7)
    rounds = BarrierRounds(register)
    assert [rounds.submit(EVERYONE) for _ in range(3)] == [7, 8, 9]
    assert [rounds.arrive(0) for _ in range(3)] == [7, 8, 9]
    assert rounds.arrive(1) == 7
    register.current = 8
    assert [rounds.arrive(1) for _ in range(2)] == [8, 9]
    assert rounds.latest() == 9


def test_early():
    """Before there is an instruction: for the next one, then for the one behind it."""
    rounds = BarrierRounds(Register(3))
    assert [rounds.arrive(0) for _ in range(2)] == [3, 4]
    assert rounds.submit(EVERYONE) == 3
    assert rounds.arrive(1) == 3
    assert rounds.arrive(0) == 5
    assert rounds.submit(EVERYONE) == 4
    assert rounds.arrive(1) == 4


def test_late():
    """For the one that ended without it, once; not if it was not named."""
    register = Register()
    rounds = BarrierRounds(register)
    rounds.submit(EVERYONE)
    rounds.arrive(0)
    register.current = 1
    assert rounds.arrive(1) == 0
    assert rounds.arrive(1) == 1
    assert rounds.submit(0b01) == 1
    assert rounds.submit(EVERYONE) == 2
    assert rounds.arrive(1) == 2


def test_over_out_of_order():
    """Rounds that are over ahead of the current one are over."""
    register = Register(2045, 0b0110)
    rounds = BarrierRounds(register)
    assert rounds.next == 2045
    assert [rounds.submit(EVERYONE) for _ in range(4)] == [2045, 2046, 2047, 0]
    assert [rounds.arrive(0) for _ in range(2)] == [2045, 0]
    # Both that are left were over without it: the later one first.
    assert [rounds.arrive(0) for _ in range(2)] == [2047, 2046]
    assert BarrierRounds(Register(5, 0b0011)).next == 7


def test_given_and_begun_anew():
    rounds = BarrierRounds(Register())
    assert rounds.submit(EVERYONE, 9) == 9
    assert rounds.submit(EVERYONE) == 10
    assert rounds.arrive(0, 10) == 10
    assert rounds.arrive(0) == 9
    rounds.restart(100)
    assert rounds.latest() == rounds.arrive(0) == rounds.submit(EVERYONE) == 100


def test_memory_is_bounded():
    register = Register()
    rounds = BarrierRounds(register)
    for number in range(3 * ROUNDS):
        register.current = number % ROUNDS
        assert rounds.submit(EVERYONE) == register.current
        assert rounds.arrive(0) == register.current
    assert len(rounds._submitted) == REMEMBERED
    assert not rounds._early
