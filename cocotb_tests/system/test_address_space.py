"""Operands, scales, flags, rings and traffic anywhere in the 48 bits of an address.

The memories repeat through the address space, so that bits above their size choose no other
bytes; windows tell if one of them is wrong.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cocotb_tests.support.dma import CLOCK_BYTES, Traffic
from cocotb_tests.system.bench import FOUR_ON_BOARDS, collective, open_system
from cocotb_tests.system.test_quantized import INSTRUCTIONS, REGION, SCALE_REGION, random_pair
from hw.endpoint.traffic import SEQUENCE_BITS
from hw.spec.instruction import Instruction
from hw.spec.packet import ADDRESS_BITS
from hw.spec.status import Status
from models.dma.engine import EngineModel
from models.endpoint.endpoint import Window
from scin.host.dma_engine import EngineDriver
from scin.host.driver import write_address

OPERANDS, OTHER = range(2)
"""Windows: one for elements, the other for their scales or for flags."""

ROUNDS = 40
SPAN, LONGEST = 4096, 300
built = pytest.mark.parametrize(
    "built", [{}, FOUR_ON_BOARDS], ids=["a row a cycle", "as on boards"]
)


class Lift:
    """What is added to addresses: in every memory, for every window, a multiple of its size."""

    def __init__(self, rng: np.random.Generator, **built) -> None:
        self.system = open_system(jitter=20, stall=20, repeats=True, **built)
        self.endpoints = range(self.system.config.system.endpoints)
        self._rng = rng

    def move(self, window: int, endpoints=None) -> int:
        """Choose anew, for some endpoints or all, and open that window there alone."""
        size = self.system.config.endpoint.memory_bytes
        lift = size * int(self._rng.integers((1 << ADDRESS_BITS) // size))
        for endpoint in self.endpoints if endpoints is None else endpoints:
            self.system.driver.set_window(endpoint, window, Window(lift, size))
        return lift

    def moved(self, instruction: Instruction, window: int) -> Instruction:
        addresses = (a + self.move(window, [e]) for e, a in enumerate(instruction.addresses))
        return replace(instruction, addresses=tuple(addresses))


@built
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_instructions(seed, built):
    """Sums and block formats at other addresses in every endpoint; the unused fields of the
    instruction with the scales hold anything."""
    rng = np.random.default_rng(seed)
    lift = Lift(rng, **built)
    system = lift.system
    width = Instruction.layout(system.config).size
    with system.simulator:
        system.fill(rng, INSTRUCTIONS * (REGION + SCALE_REGION))
        for number in range(INSTRUCTIONS):
            item = [collective(system.config, REGION // 4, number * REGION)]
            if number % 3:
                item = list(random_pair(rng, system, number))
                system.place_blocks(rng, item)
            assert system.expect(*item) == Status.OK
            system.driver.submit(lift.moved(item[0], OPERANDS), number % 2)
            for scales in item[1:]:
                bits = int.from_bytes(rng.bytes(width // 8), "little")
                used = lift.moved(scales, OTHER)
                noise = replace(
                    Instruction.unpack(bits, system.config),
                    opcode=used.opcode,
                    length=used.length,
                    addresses=used.addresses,
                )
                system.driver.submit(noise, number % 2)
            assert system.driver.wait_completion().status == Status.OK
        system.check_memories()


@built
def test_the_last_address(built):
    """Operands may end with the last address. One byte more is refused, and writes nothing."""
    rng = np.random.default_rng(6)
    lift = Lift(rng, **built)
    with (system := lift.system).simulator:
        size = system.config.endpoint.memory_bytes
        flit, last = system.config.fabric.flit_bytes, len(lift.endpoints) - 1
        for endpoint in lift.endpoints:
            windows = [Window((1 << ADDRESS_BITS) - size, size), Window(0, size)]
            for number, window in enumerate(windows):
                system.driver.set_window(endpoint, number, window)
        end = (1 << ADDRESS_BITS) - REGION
        for extra in (0, 2):
            system.fill(rng, size)
            instruction = collective(system.config, REGION + extra, size - REGION)
            if not extra:
                assert system.expect(instruction) == Status.OK
            # The one at fault is the last of the endpoints.
            others = end - flit if extra else end
            addresses = (others,) * (len(lift.endpoints) - 1) + (end,)
            system.driver.submit(replace(instruction, addresses=addresses))
            record = system.driver.wait_completion()
            wanted = (Status.WINDOW_VIOLATION, last) if extra else (Status.OK, 0)
            assert (record.status, record.endpoint) == wanted
            system.check_memories()


def test_barriers():
    """Endpoints poll flags of their own, the switch writes each participant's."""
    rng = np.random.default_rng(4)
    lift = Lift(rng)
    with (system := lift.system).simulator:
        driver, config = system.driver, system.config
        ids = config.isa.sync_ids
        for number in range(ROUNDS):
            system.fill(rng, REGION)
            flags = lift.move(OTHER) + config.flag_base
            write_address(driver.write_switch, "FLAG_BASE", flags)
            for endpoint in lift.endpoints:
                write_address(partial(driver.write_endpoint, endpoint), "FLAG_BASE", flags)
            synchronised = {"barrier": 1, "notify": 1, "sync_id": number % ids}
            identifier = int(rng.integers(1 << 16))
            instruction = collective(config, 256, identifier=identifier, **synchronised)
            assert system.expect(instruction) == Status.OK
            driver.submit(lift.moved(instruction, OPERANDS))
            for endpoint in lift.endpoints:
                driver.arrive(endpoint, number % ids)
            assert driver.wait_completion().status == Status.OK
            for endpoint in lift.endpoints:
                assert driver.wait_flag(endpoint) == Status.OK
                found = driver.flag_identifier(endpoint, number % ids)
                assert found == identifier
            system.check_memories()


@built
def test_commands(built):
    """Lists of DMA commands by two engines, everything of a list at one place in the address
    space."""
    rng = np.random.default_rng(5)
    lift = Lift(rng, **built)
    system, endpoints = lift.system, len(lift.endpoints)
    with system.simulator as simulator:
        system.fill(rng, SPAN * endpoints)
        engines = [
            EngineDriver(system.driver, i, 0, simulator.memory[i], ring_base=SPAN * endpoints)
            for i in range(2)
        ]
        for _ in range(ROUNDS):
            for number, engine in enumerate(engines):
                traffic = Traffic(rng, number, endpoints, SPAN * number, SPAN, LONGEST)
                commands = [traffic.command() for _ in range(6)]
                golden = EngineModel(system.config, number, system.models)
                assert golden.execute(commands).status == Status.OK
                # Each engine has a window in every memory.
                by = lift.move(number)
                engine.reset()
                write_address(engine.write, "RING_BASE", engine.ring_base + by)
                engine.submit(
                    [
                        replace(
                            command,
                            source=command.source + by,
                            destination=command.destination + by,
                            second=command.second + by,
                            signal=command.signal + by,
                            timeout=int(rng.integers(1, 1 << 32)),
                        )
                        for command in commands
                    ]
                )
            for engine in engines:
                assert engine.wait().status == Status.OK, engine.endpoint
        for number in lift.endpoints:
            for memory, model in zip(simulator.memory, system.models, strict=True):
                # The clocks are as late as the engine was.
                clocks = slice(SPAN * number, SPAN * number + CLOCK_BYTES)
                model.memory[clocks] = memory[clocks]
        system.check_memories()


def test_traffic():
    """Ordinary writes to every endpoint at once, at another place each time."""
    rng = np.random.default_rng(6)
    lift = Lift(rng)
    system, driver = lift.system, lift.system.driver
    everyone, length = (1 << len(lift.endpoints)) - 1, system.config.fabric.max_payload_bytes
    per_flit = system.config.fabric.flit_bytes // 4
    with system.simulator:
        for number in range(ROUNDS):
            sender = number % len(lift.endpoints)
            driver.start_traffic(
                sender,
                everyone,
                multicast=True,
                address=lift.move(OPERANDS) + SPAN * number,
                packet_bytes=length,
                span=SPAN,
                packets=SPAN // length,
            )
            answers = everyone.bit_count() * (SPAN // length)
            while driver.read_endpoint(sender, "TRAFFIC_ANSWERED") < answers:
                system.simulator.step(100)
            assert driver.read_endpoint(sender, "TRAFFIC_ERRORS") == 0
            # Each word tells its sender, and its place in the order.
            words = [sender << SEQUENCE_BITS | n // per_flit for n in range(SPAN // 4)]
            for memory in system.simulator.memory:
                found = memory[SPAN * number : SPAN * (number + 1)].view(np.uint32)
                assert found.tolist() == words
