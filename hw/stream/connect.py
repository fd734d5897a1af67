"""Connect streams, and refuse to where only the widths agree."""

from amaranth.lib import data, stream


def event(shape) -> stream.Signature:
    """Of an item that is taken in the cycle in which it is offered: nothing can hold it up."""
    return stream.Signature(shape, always_ready=True)


def connect_stream(m, source, sink) -> None:
    """Wire ``source`` to ``sink``; payload shapes must be equal, not just as wide, and an event
    cannot be held up.

    ``wiring.connect`` accepts any two payloads of one width, so two layouts that happen
    to be equally wide would be joined in silence.
    """
    left, right = source.payload.shape(), sink.payload.shape()
    if isinstance(left, data.Layout) and isinstance(right, data.Layout) and left != right:
        raise TypeError(f"cannot connect a stream of {left!r} to one of {right!r}")
    m.d.comb += [sink.payload.eq(source.payload), sink.valid.eq(source.valid)]
    if not source.signature.always_ready:
        m.d.comb += source.ready.eq(sink.ready)
    elif not sink.signature.always_ready:
        raise TypeError("cannot connect an event to a stream that may not be ready")


def register_stage(m, name, source, kind):
    """``source`` behind a ``kind`` of :mod:`hw.stream.queue`, the submodule ``name``."""
    m.submodules[name] = part = kind(source.payload.shape())
    connect_stream(m, source, part.i)
    return part.o
