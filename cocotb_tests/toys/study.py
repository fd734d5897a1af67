"""A study of the payload of a packet."""

from collections.abc import Iterator

from hw.spec.config import Config
from models.prediction import SCIN
from scin.commands.study import Point, Study, predicted, with_fields


def points(config: Config) -> Iterator[Point]:
    for payload in (64, 128):
        changed = with_fields(config, "fabric", max_payload_bytes=payload)
        yield Point("scin", payload, predicted(changed, SCIN, 1 << 16))


PAYLOAD = Study(
    "payload of a packet, at 64 KiB",
    "payload (B)",
    "time (us)",
    points,
    lambda point: point.microseconds,
    varies=("fabric.max_payload_bytes",),
)
