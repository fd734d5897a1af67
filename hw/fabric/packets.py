"""Look at a flit as a header, and make a flit from one."""

from amaranth import Cat, Const, Shape, Value
from amaranth.hdl import ValueCastable, ValueLike
from amaranth.lib import data

from hw.spec.checks import below
from hw.spec.config import MAX_ENDPOINTS
from hw.spec.packet import Header


def header_of(flit) -> data.View:
    """The header in the low bits of ``flit`` (meaningful when ``flit.first``)."""
    return data.View(Header.layout(), flit.data[: Header.layout().size])


def node_id(identity: ValueLike, *, number: bool = False) -> ValueLike:
    """``identity`` of an endpoint: a number that is checked or, unless it must be a ``number``, a
    value that holds one."""
    if not number and isinstance(identity, Value | ValueCastable):
        return identity
    return below("identity", identity, MAX_ENDPOINTS)


def destination_of(header, endpoints: int) -> Value:
    """One-hot: the endpoint a unicast packet goes to; none if there is no such endpoint."""
    return Cat(header.destination == endpoint for endpoint in range(endpoints))


def drive_header(flit, *, last=1, **fields) -> list:
    """Statements that make ``flit`` a header flit; fields left out are zero."""
    layout = Header.layout()
    parts = []
    for name, item in layout:
        width = Shape.cast(item.shape).width
        value = fields.pop(name, 0)
        parts.append(_sized(value, width))
    if fields:
        raise KeyError(f"{', '.join(fields)}: no such header field")
    return [
        flit.data.eq(Cat(*parts)),
        flit.first.eq(1),
        flit.last.eq(last),
        flit.poison.eq(0),
    ]


def _sized(value, width: int):
    if hasattr(value, "as_value"):
        value = value.as_value()
    if isinstance(value, int):
        return Const(value, width)
    if hasattr(value, "value") and isinstance(value.value, int):
        return Const(value.value, width)
    if len(value) < width:
        return Cat(value, Const(0, width - len(value)))
    return value[:width]
