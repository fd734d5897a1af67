"""Instructions, commands and registers with any bits: what is wrong gets the golden status."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cocotb_tests.system.bench import FOUR_ON_BOARDS, collective, open_system, quantized
from hw.spec.dma import ENGINE, Command, Compare, DmaOpcode
from hw.spec.formats import block_formats
from hw.spec.instruction import Instruction, Opcode
from hw.spec.registers import ENDPOINT, SWITCH
from hw.spec.status import Status
from models.dma.engine import EngineModel
from models.endpoint.endpoint import Window
from scin.errors import RefusedError
from scin.host import dma_commands as dma
from scin.host.dma_commands import Place
from scin.host.dma_engine import EngineDriver

SIZE = 1 << 14
ROUNDS = 150
END = 1000
ALL_ONES = (1 << 32) - 1
SHORT_CYCLES = 200
BUILT = {"a row a cycle": {}, "as on boards": FOUR_ON_BOARDS}
built = pytest.mark.parametrize("built", BUILT.values(), ids=BUILT)


def any_bits(rng: np.random.Generator, bits: int) -> int:
    """As many ones as zeros, or hardly any of either."""
    dense = rng.choice([0.03, 0.5, 0.97])
    return sum(int(bit) << n for n, bit in enumerate(rng.random(bits) < dense))


def spoiled(rng: np.random.Generator, good, wild, names: tuple[str, ...]):
    """``good`` with some of the fields ``names`` as in ``wild``."""
    wrong = {name: getattr(wild, name) for name in names if rng.random() < 2 / len(names)}
    return replace(good, **wrong)


FIELDS = ("opcode", "data_type", "reduce_op", "quantize", "sync_id", "participants", "sources")
FIELDS += ("destinations", "length", "addresses", "fence", "notify")


@built
def test_instructions(built):
    """A few fields of each are wild. None waits at a barrier, for no endpoint arrives."""
    rng = np.random.default_rng(11)
    system = open_system(**built)
    config, width = system.config, Instruction.layout(system.config).size
    outcomes = set()
    with system.simulator:
        system.fill(rng, SIZE)
        for number in range(ROUNDS):
            wild = Instruction.unpack(any_bits(rng, width), config)
            wild = replace(wild, addresses=tuple(address & ~0xF for address in wild.addresses))
            length = int(rng.choice([16, 512, 2048]))
            good, scales = collective(config, length, identifier=number), None
            if number % 2:
                entry = block_formats(config)[number // 2 % len(block_formats(config))]
                good, scales = quantized(
                    config, entry.code, 4, scale_address=SIZE // 2, identifier=number
                )
                scales = spoiled(rng, scales, wild, ("length", "addresses", "opcode"))
            wrong = spoiled(rng, good, wild, FIELDS)
            if wrong.opcode == Opcode.NOP or not wrong.quantize:
                scales = None
            if scales is not None and scales.opcode != Opcode.SCALES:
                scales = None
            expected = system.expect(wrong, scales)
            parts = [wrong] if scales is None else [wrong, scales]
            # Also ends a quantized instruction that is without its scales.
            parts.append(Instruction(identifier=END, fence=1))
            for part in parts:
                system.driver.submit(part, number % config.isa.wave_controllers)
            statuses = {}
            while END not in statuses or number not in statuses:
                record = system.driver.wait_completion()
                statuses[record.identifier] = record.status
            assert statuses[number] == expected, (number, wrong, scales)
            outcomes.add(expected)
            if expected not in (Status.OK, Status.WINDOW_VIOLATION):
                system.check_memories()
            system.fill(rng, SIZE)
    assert {Status.OK, Status.WINDOW_VIOLATION, Status.BAD_MASK} <= outcomes


def test_windows():
    """Every bit of every window can be written and read; a closed window opens nothing."""
    rng = np.random.default_rng(12)
    with (system := open_system()).simulator:
        driver, count = system.driver, ENDPOINT["WINDOW"].words * system.config.endpoint.windows
        # An engine that is at work keeps its copy of the windows up to date.
        engine = EngineDriver(driver, 0, 0, system.simulator.memory[0])
        engine.submit([dma.poll(Place(0, 0), Compare.EQUAL, 1)])
        ones = [0] * count
        for dense in (0, ALL_ONES, None, None, 0):
            for endpoint in range(system.config.system.endpoints):
                words = [any_bits(rng, 32) if dense is None else dense for _ in range(count)]
                for index, word in enumerate(words):
                    driver.write_endpoint(endpoint, "WINDOW", word, index)
                found = [driver.read_endpoint(endpoint, "WINDOW", i) for i in range(count)]
                # What is not kept reads zero; all else reads back, ones and zeros.
                assert all(kept & ~word == 0 for kept, word in zip(found, words, strict=True))
                ones = [kept | before for kept, before in zip(found, ones, strict=True)]
        # Base and length of a window in two words each, the high ones with what is refused.
        assert min(word.bit_count() for word in ones[0::2]) == 32
        assert sum(word.bit_count() for word in ones) > count * 24
        system.fill(rng, SIZE)
        for model in system.models:
            model.windows = []
        instruction = collective(system.config, 512)
        assert system.run(instruction).status == system.expect(instruction)


STARTS = ("DOORBELL", "TRAFFIC_CONTROL", "FAULT", "WINDOW")
"""Registers that start something, or have a test of their own."""


NEVER_ZERO = ("TRAFFIC_BYTES",)
"""Registers that refuse zero; every other one accepts it."""


def test_plain_registers():
    """What a register accepts reads back whole; what it does not is refused and changes nothing;
    many accept any word."""
    rng = np.random.default_rng(13)
    with (system := open_system()).simulator:
        driver = system.driver
        engine = EngineDriver(driver, 0, 0, system.simulator.memory[0])
        # It is at work: one that rests looks at nothing.
        engine.submit([dma.poll(Place(0, 0), Compare.EQUAL, 1)])
        blocks = [(SWITCH, driver.switch_address), (ENGINE, engine.address)]
        for endpoint in range(system.config.system.endpoints):
            blocks.append((ENDPOINT, partial(driver.endpoint_address, endpoint)))
        whole, present = 0, dict.fromkeys(("SYNC_REFUSED", "ROUND"), system.config.isa.sync_ids)
        for registers, address in blocks:
            for register in registers.values():
                if register.access != "rw" or register.name in STARTS:
                    continue
                for index in range(present.get(register.name, register.count)):
                    where, refusals = address(register.name, index), 0
                    kept = driver.bus.read(where)
                    for value in (0, ALL_ONES, any_bits(rng, 32), any_bits(rng, 32), 0):
                        try:
                            driver.bus.write(where, value)
                            kept = value
                        except RefusedError:
                            assert value != 0 or register.name in NEVER_ZERO, register.name
                            refusals += 1
                        assert driver.bus.read(where) == kept, register.name
                    whole += refusals == 0
        assert whole > 10


WORDS = ("opcode", "signal_kind", "targets", "length", "source_node", "destination_node")
WORDS += ("second_node", "signal_node", "source", "destination", "second", "signal")
WORDS += ("operand", "mask")


@built
def test_commands(built):
    """DMA commands, one at a time; the engine is reset after each that fails."""
    rng = np.random.default_rng(14)
    system = open_system(**built)
    endpoints = system.config.system.endpoints
    width = Command.layout().size
    outcomes = set()

    def new_memories() -> EngineModel:
        system.fill(rng, SIZE)
        for model in system.models:
            model.windows = [Window(0, SIZE)]
        return EngineModel(system.config, 0, system.models)

    with system.simulator as simulator:
        golden = new_memories()
        for endpoint in range(endpoints):
            system.driver.set_window(endpoint, 0, Window(0, SIZE))
        engine = EngineDriver(system.driver, 0, 0, simulator.memory[0])
        for number in range(ROUNDS):
            wild = Command.unpack(any_bits(rng, width))
            good = Command(
                opcode=list(DmaOpcode)[number % len(DmaOpcode)],
                targets=1,
                length=int(rng.choice([8, 100, 600])),
                destination_node=int(rng.integers(endpoints)),
                second_node=int(rng.integers(endpoints)),
                destination=4096,
                second=8192,
                signal=12288,
                # A poll looks a few times, then gives up.
                compare=number % 7,
                interval=number % 16,
                timeout=SHORT_CYCLES,
            )
            # What is long is only long to wait for.
            wild = replace(wild, length=wild.length & 0xFFFF)
            names = [n for n in WORDS if good.opcode != DmaOpcode.POLL or n != "source"]
            command = spoiled(rng, good, wild, tuple(names))
            expected = golden.execute([command])
            found = engine.run([command])
            outcomes.add(expected.status)
            assert found.status == expected.status, (number, command)
            if found.status != Status.OK:
                engine.reset()
                golden = new_memories()
    assert {Status.OK, Status.WINDOW_VIOLATION, Status.BAD_MASK, Status.MISALIGNED} <= outcomes
