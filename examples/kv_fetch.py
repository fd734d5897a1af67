"""Fetch a paged KV cache out of another endpoint's memory, on RTL, three ways.

Blocks lie scattered in endpoint 1's memory, as a paged cache keeps them, and are gathered into
scattered pages of endpoint 0's memory: with a doorbell and a signal for each copy, back to back
with one of each, and back to back, launched ahead behind a poll. Every byte is compared.
Run it with `make kv-example`.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from hw.spec.config import load
from hw.spec.dma import Compare
from models.dma.timing import FETCHES, Fetch
from scin.collectives.dma_plans import Layout
from scin.collectives.dma_runner import SETTLE_CYCLES, DmaRunner, Waiter
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place, Signal
from scin.host.driver import Driver
from scin.host.simulator import Simulator
from scin.host.timeline import Timeline

HERE, THERE = 0, 1
BLOCKS = 32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="fpga4")
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--sizes", default="1024,16384,131072", help="bytes per block")
    options = parser.parse_args()
    config = load(options.config)
    wrong = 0
    with Simulator(config) as simulator:
        driver = Driver(simulator, config)
        driver.configure()
        runner = DmaRunner(config, simulator, driver)
        print(f"{options.blocks} scattered blocks from endpoint {THERE} to {HERE}, {config.name}")
        print("   block (B)  how                      cycles   speed-up  #wrong")
        for size in map(int, options.sizes.split(",")):
            reference = None
            for how in FETCHES:
                cycles, errors = fetch(runner, size, options.blocks, how)
                reference = reference or cycles
                wrong += errors
                print(f"{size:12}  {how.name:20} {cycles:10} {reference / cycles:10.2f} {errors:7}")
    return int(wrong != 0)


def fetch(runner: DmaRunner, size: int, count: int, how: Fetch) -> tuple[int, int]:
    """Cycles from the first command, or the release, until the host has seen the last signal;
    bytes that are wrong."""
    config, layout = runner.config, Layout.of(runner.config)
    rng = np.random.default_rng(size)
    pages = layout.room // size
    sources, targets = (rng.permutation(pages)[:count] * size for _ in range(2))
    memory = runner.simulator.memory
    memory[THERE][: layout.room] = rng.integers(0, 256, layout.room, dtype=np.uint8)
    signals = 1 if how.chained else count
    runner.store(HERE, layout.signal(0), signals)
    runner.store(HERE, layout.release, 0)
    engine = runner.engines[HERE, 0]
    done = Signal(Place(HERE, layout.signal(0)))
    commands = [
        dma.copy(Place(THERE, int(source)), Place(HERE, int(target)), size)
        for source, target in zip(sources, targets, strict=True)
    ]
    if how.chained:
        commands[-1] = dma.with_signal(commands[-1], done)
    else:
        commands = [dma.with_signal(command, done) for command in commands]
    cost = runner.host.command_cycles(config)
    if how.prelaunch:
        release = dma.poll(Place(HERE, layout.release), Compare.EQUAL, 1)
        engine.submit([release, *commands])
        runner.simulator.step(SETTLE_CYCLES)
    timeline = Timeline(runner.simulator)
    launched = 0.0
    if how.prelaunch:
        launched = runner.host.access_cycles(config)
        timeline.at(launched, lambda: runner.store(HERE, layout.release, 1))
    elif how.chained:
        launched = cost * count
        timeline.at(launched, lambda: engine.submit(commands))
    else:
        for command in commands:
            launched += cost
            timeline.at(launched, lambda command=command: engine.submit([command]))
    waiter = Waiter(runner, timeline, HERE, [layout.signal(0)])
    waiter.start(launched + waiter.interval)
    timeline.run(limit=1 << 40)
    wrong = sum(
        int((memory[HERE][t : t + size] != memory[THERE][s : s + size]).sum())
        for s, t in zip(sources, targets, strict=True)
    )
    return round(waiter.finished), wrong


if __name__ == "__main__":
    sys.exit(main())
