"""Small combinational arithmetic shared by the datapaths."""

from amaranth import Cat, Const, Mux, Signal


def maximum_of(values):
    while len(values) > 1:
        pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
        values = [Mux(p[0] > p[1], p[0], p[1]) if len(p) == 2 else p[0] for p in pairs]
    return values[0]


def adder_tree(values):
    while len(values) > 1:
        pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
        values = [p[0] + p[1] if len(p) == 2 else p[0] for p in pairs]
    return values[0]


def magnitude_of(value):
    """Of a signed value: one adder, and no choice after it."""
    negative = value[-1]
    return (value.as_unsigned() ^ negative.replicate(len(value))) + negative


def leading_zeros(m, value, name: str):
    """Number of zeros above the highest one: counts of halves merged, all at once."""
    width = 1 << (len(value) - 1).bit_length()
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
    return parts[0][1]
