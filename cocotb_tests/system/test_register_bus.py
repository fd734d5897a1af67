"""Every address of the register space answers: what is there works, all else is refused."""

import pytest

from cocotb_tests.system.bench import collective, open_system
from hw.csr.axi_lite import AxiResponse
from hw.spec.dma import ENGINE, ENGINE_BYTES, Command
from hw.spec.instruction import Instruction
from hw.spec.pages import register_at
from hw.spec.registers import ENDPOINT, PAGE_BYTES, RECORD_WORDS, SWITCH, pages
from scin.errors import BusError, RefusedError
from scin.host.dma_engine import EngineDriver
from scin.host.simulator import SLVERR


def built(config):
    """(access, byte address) of every register that this configuration has."""
    endpoints = config.system.endpoints
    counts = {
        "QUEUE_SPACE": config.isa.wave_controllers,
        "SYNC_REFUSED": config.isa.sync_ids,
        "INSTRUCTION": -(-Instruction.layout(config).size // 32),
        "RECORD": RECORD_WORDS * config.isa.wave_controllers,
        "ROUND": config.isa.sync_ids,
        "WINDOW": 4 * config.endpoint.windows,
        "SYNC_STATE": config.isa.sync_ids,
        "FLAG_IDENTIFIER": config.isa.sync_ids,
    }
    for name in ("RECORDS", "RECORD_POP", "RECORDS_LOST"):
        counts[name] = config.isa.wave_controllers
    engines = range(config.dma.engines)
    blocks = [(SWITCH, 0)]
    blocks += [(ENDPOINT, PAGE_BYTES * (1 + i)) for i in range(endpoints)]
    blocks += [
        (ENGINE, PAGE_BYTES * (1 + endpoints + i) + ENGINE_BYTES * engine)
        for i in range(endpoints)
        for engine in engines
    ]
    found = {}
    for registers, base in blocks:
        for register in registers.values():
            for index in range(counts.get(register.name, register.count)):
                found[base + register.address(index)] = register.access
    return found


def test_whole_register_space():
    """Reads of every word; writes wherever nothing can be written: an answer each, never silence,
    and the system as it was before."""
    with (system := open_system()).simulator as simulator:
        there = built(system.config)
        endpoints = system.config.system.endpoints
        for address in range(0, PAGE_BYTES * pages(endpoints), 4):
            access = there.get(address, "")
            name = register_at(address, endpoints=endpoints)
            if "r" in access:
                simulator.read(address)
            else:
                with pytest.raises(RefusedError, match="read refused") as told:
                    simulator.read(address)
                assert name in str(told.value)
            if "w" not in access:
                with pytest.raises(RefusedError, match="write of 0x12345678 refused") as told:
                    simulator.write(address, 0x12345678)
                assert name in str(told.value)
        assert system.run(collective(system.config, 256)).status.name == "OK"


def test_names():
    assert AxiResponse.SLVERR.value == SLVERR
    for address, name in {
        0x01C: "SUBMIT of the switch",
        0x104: "INSTRUCTION[1] of the switch",
        0x3F0: "offset 0x3f0 of the switch",
        0x2008: "ARRIVE of endpoint 1",
        0x3114: "DOORBELL of DMA engine 1 of endpoint 0",
        0x5000: "address 0x5000",
    }.items():
        assert register_at(address, endpoints=2) == name


def test_refused_values():
    """What cannot be accepted now is refused, and what was accepted before is not lost."""
    with (system := open_system()).simulator as simulator:
        driver, config = system.driver, system.config
        controllers, depth = config.isa.wave_controllers, config.isa.instruction_queue
        with pytest.raises(
            RefusedError, match=r"RECORD_POP\[1\] of the switch: write of 0x1 refused"
        ):
            driver.write_switch("RECORD_POP", 1, 1)
        with pytest.raises(RefusedError, match=f"SUBMIT of the switch: write of {controllers:#x}"):
            driver.write_switch("SUBMIT", controllers)
        # The first waits at a barrier; behind it the queue fills up.
        driver.submit(collective(config, 64, barrier=1, identifier=99))
        for number in range(depth + config.isa.instructions_in_flight + 1):
            driver.submit(collective(config, 64, identifier=number))
            if driver.read_switch("QUEUE_SPACE", 0) == 0:
                break
        with pytest.raises(RefusedError, match="SUBMIT"):
            driver.write_switch("SUBMIT", 0)
        for endpoint in range(config.system.endpoints):
            driver.arrive(endpoint, 0)
        found = [driver.wait_completion().identifier for _ in range(number + 2)]
        assert found == [99, *range(number + 1)]
        simulator.step(2000)
        assert driver.read_switch("COMPLETIONS") == 0


def test_other_bus_errors_name_the_register():
    with (system := open_system()).simulator as simulator:
        outside = PAGE_BYTES * pages(system.config.system.endpoints)
        with pytest.raises(BusError, match=f"address {outside:#x}: read answered 3"):
            simulator.read(outside)
        with pytest.raises(RefusedError, match="ARRIVE of endpoint 1: read refused"):
            simulator.wait_while(0x2008, 1, 0, limit=1000)


def test_doorbell_of_a_halted_engine():
    with (system := open_system()).simulator as simulator:
        engine = EngineDriver(system.driver, 0, 0, simulator.memory[0])
        engine.queue([Command(opcode=99)])
        engine.ring()
        engine.wait()
        with pytest.raises(RefusedError, match="DOORBELL of DMA engine 0 of endpoint 0"):
            engine.ring()
        with pytest.raises(RefusedError, match=r"INLINE\[0\] of DMA engine 0 of endpoint 0"):
            engine.submit_inline(Command())
        engine.reset()
        engine.queue([Command()])
        engine.ring()
        assert engine.wait().failed is None
