"""Small combinational arithmetic shared by the datapaths."""

from amaranth import Cat, Const, Mux, Signal
from amaranth.utils import ceil_log2

from hw.stream.delay import delayed


def maximum_of(values):
    while len(values) > 1:
        pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
        values = [Mux(p[0] > p[1], p[0], p[1]) if len(p) == 2 else p[0] for p in pairs]
    return values[0]


def pair_sums(numbers):
    """Sums of every two of ``numbers``, which are pairs (negated, value): that of the signed
    ``value``, or of its opposite.

    The first one's sign is left outside; the second is complemented if it differs, and what
    this lacks comes in as a carry, of a bit below that is dropped. So a sum is one carry chain,
    and synthesis makes no tree of full adders of several.
    """
    sums = []
    for i in range(0, len(numbers), 2):
        (negated, value), *second = numbers[i : i + 2]
        for other, term in second:
            differ = negated ^ other
            term = Cat(differ, term.as_unsigned() ^ differ.replicate(len(term))).as_signed()
            value = (Cat(Const(1, 1), value).as_signed() + term)[1:].as_signed()
        sums.append((negated, value))
    return sums


def signed_sum(numbers):
    """(negated, value) of all ``numbers``, which are such pairs too."""
    while len(numbers) > 1:
        numbers = pair_sums(numbers)
    return numbers[0]


def magnitude_of(value):
    """Of a signed value: one adder, and no choice after it."""
    negative = value[-1]
    return (value.as_unsigned() ^ negative.replicate(len(value))) + negative


def leading_zeros(m, value, name: str, *, register_at: int = 0):
    """Number of zeros above the highest one: counts of halves merged, all at once, or with a
    register where ``register_at`` parts are left, then a cycle later."""
    width = 1 << ceil_log2(len(value))
    # Padded below with ones, so that an all-zero value counts its own width.
    padding = width - len(value)
    rest = Cat(Const((1 << padding) - 1, padding), value)
    # Per part, from the lowest on: is it all zero, and how many zeros are above its highest one?
    parts = [(~bit, Const(0, 0)) for bit in rest]
    while len(parts) > 1:
        merged = []
        for index in range(0, len(parts), 2):
            (lower_empty, lower), (upper_empty, upper) = parts[index : index + 2]
            count = Signal(len(upper) + 1, name=f"{name}_count_{len(parts)}_{index}")
            m.d.comb += count.eq(Cat(Mux(upper_empty, lower, upper), upper_empty))
            merged.append((lower_empty & upper_empty, count))
        parts = merged
        if len(parts) == register_at:
            parts = [
                (delayed(m, empty, 1, f"{name}_empty_{i}"), delayed(m, count, 1, f"{name}_{i}"))
                for i, (empty, count) in enumerate(parts)
            ]
    return parts[0][1]


def shifted_to_top(value, shift, *, keep: int):
    """The highest ``keep`` bits of ``value << shift``, and whether there is a one below them.

    From the widest step on, no step moves a bit that the ones after it cannot bring to the top.
    """
    below = Const(0)
    for position in reversed(range(len(shift))):
        step, width = 1 << position, len(value)
        kept = min(width, keep + step - 1)
        room = width - kept
        lost = max(0, room - step)
        up = Cat(Const(0, max(0, step - room)), value)[lost:][:kept]
        below = below | Mux(shift[position], value[:lost].any(), value[:room].any())
        value = Mux(shift[position], up, value[room:])
    return value, below
