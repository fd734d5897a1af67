"""Golden twin of how the switch forwards ordinary packets, and of what it refuses."""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec.config import MAX_ENDPOINTS
from hw.spec.packet import Header, MessageClass, Operation
from hw.spec.status import Status

ANSWERS = {
    MessageClass.READ_REQUEST: (MessageClass.READ_RESPONSE, Operation.READ),
    MessageClass.WRITE_REQUEST: (MessageClass.WRITE_RESPONSE, Operation.WRITE),
}


@dataclass(frozen=True)
class Routing:
    """What becomes of a packet: ``targets`` get it, ``missing`` are its destinations that are
    absent or dead, ``refusals`` are the headers of the responses that the switch gives for
    these."""

    targets: tuple[int, ...]
    missing: int
    refusals: tuple[Header, ...]


def route(message_class: MessageClass, header: Header, *, port: int, alive: set[int]) -> Routing:
    """``header``: fields of a packet that came in at ``port``; ``alive``: endpoints that are
    present and have not been declared dead."""
    multicast = message_class == MessageClass.WRITE_REQUEST
    destination = header.destination
    if not header.multicast:
        named = [destination]
    elif multicast:
        named = [node for node in range(MAX_ENDPOINTS) if destination >> node & 1]
    else:
        named = []
    targets = tuple(node for node in named if node in alive)
    # A packet that names no endpoint misses one destination: it must not vanish unanswered.
    missing = max(1, len(named)) - len(targets)
    answered = message_class == MessageClass.READ_REQUEST or (multicast and header.acknowledge)
    if not answered:
        return Routing(targets, missing, ())
    response_class, operation = ANSWERS[message_class]
    refusal = Header(
        message_class=response_class,
        operation=operation,
        status=Status.UNREACHABLE,
        source=port,
        destination=port,
        tag=header.tag,
    )
    return Routing(targets, missing, (refusal,) * missing)
