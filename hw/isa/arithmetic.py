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


def leading_zeros(m, value, name: str):
    """Number of zeros above the highest one, by halving."""
    width = 1 << (len(value) - 1).bit_length()
    # Padded below with ones, so that an all-zero value counts its own width.
    padding = width - len(value)
    rest = Cat(Const((1 << padding) - 1, padding), value)
    bits = []
    while width > 1:
        width //= 2
        upper, lower = rest[width:], rest[:width]
        empty = Signal(name=f"{name}_empty_{width}")
        following = Signal(width, name=f"{name}_rest_{width}")
        m.d.comb += [empty.eq(upper == 0), following.eq(Mux(empty, lower, upper))]
        bits.insert(0, empty)
        rest = following
    return Cat(*bits)
