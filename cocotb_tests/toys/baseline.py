"""An All-Reduce through the root: everyone sends to it, and it sends to everyone."""

from models.baselines.algorithms import Baseline
from models.baselines.fabric import Fabric
from models.baselines.parameters import Parameters


def seconds(fabric: Fabric, given: Parameters, size: int) -> float:
    others = fabric.accelerators - 1
    adding = given.adding(others * size)
    data = 2 * others * size / fabric.rate()
    return 2 * fabric.step(given.fence) + data + adding + given.software


def link_bytes(fabric: Fabric, _: Parameters, size: int) -> int:
    return (fabric.accelerators - 1) * size


STAR = Baseline(seconds, link_bytes)
