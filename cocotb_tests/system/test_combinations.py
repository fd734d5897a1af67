"""Every format with every size, mask, option and kind of memory, one instruction at a time."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from cocotb_tests.system.bench import System, collective, feature_set, quantized
from hw.spec.config import load
from hw.spec.fault import Disturbance
from hw.spec.formats import FORMATS, block_format, block_formats
from hw.spec.instruction import ReduceOp
from hw.spec.status import Status
from scin.host.driver import Driver
from scin.host.simulator import Simulator

SIZE = 1 << 15
SCALES = 1 << 14
STALLS = ({}, {"jitter": 30, "stall": 30}, {"faults": {Disturbance.STALL: 1e-4}})
MASKS = (0b0100, 0b1010, 0b1111)
"""One endpoint, some, all."""
WAVES = 3


def cases(config):
    """Format, length, sources, destinations, options: all pairs of format and length, format and
    masks, kind and options."""
    flit, packet = config.fabric.flit_bytes, config.fabric.max_payload_bytes
    wave = config.isa.wave_bytes
    lengths = (flit // 2, flit, packet, wave, WAVES * wave)
    shares = list(itertools.product(MASKS, MASKS))
    options = [
        dict(zip(("barrier", "notify", "fence"), bits, strict=True))
        for bits in itertools.product((0, 1), repeat=3)
    ]
    units = dict.fromkeys(FORMATS, 2) | {
        entry.code: entry.block_bytes for entry in block_formats(config)
    }
    for code, unit in units.items():
        rounded = [max(1, length // unit) * unit for length in lengths]
        for number in range(max(len(shares), len(options))):
            sources, destinations = shares[number % len(shares)]
            length = rounded[number % len(rounded)]
            yield code, length, sources, destinations, options[number % len(options)]


@pytest.mark.parametrize("features", range(16))
def test_combinations(features):
    """With each set of improvements; memories that answer evenly, at random, or freeze, in turn."""
    config = load("tiny", {"system.endpoints": 4} | feature_set(features))
    rng = np.random.default_rng(features)
    stalls = STALLS[features % len(STALLS)]
    with Simulator(config, seed=features + 1, report=lambda text: None, **stalls) as simulator:
        system = System(simulator, Driver(simulator, config))
        system.driver.configure()
        system.driver.open_whole_memory()
        for number, (code, length, sources, destinations, options) in enumerate(cases(config)):
            system.fill(rng, SIZE)
            if code in FORMATS:
                operation = ReduceOp((number + features) % 3)
                parts = [collective(config, length, data_type=code, reduce_op=operation)]
            else:
                blocks = length // block_format(config, code).block_bytes
                parts = list(quantized(config, code, blocks, scale_address=SCALES))
                system.place_blocks(rng, tuple(parts))
            parts[0] = replace(parts[0], sources=sources, destinations=destinations, **options)
            assert system.expect(*parts) == Status.OK
            for part in parts:
                system.driver.submit(part)
            if options["barrier"]:
                for endpoint in range(4):
                    system.driver.arrive(endpoint, 0)
            assert system.driver.wait_completion().status == Status.OK
            if options["barrier"]:
                if not options["notify"]:
                    # An endpoint that arrived goes on at a flag.
                    flag = collective(config, length & ~1, notify=1)
                    assert system.run(flag).status == system.expect(flag) == Status.OK
                for endpoint in range(4):
                    assert system.driver.wait_flag(endpoint) == Status.OK
            system.check_memories()
