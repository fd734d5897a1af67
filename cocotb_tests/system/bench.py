"""A whole simulated system under test, beside its golden twin."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cocotb_tests.support.blocks import random_blocks
from hw.spec.config import AXI_BOUNDARY_BYTES, Config, load
from hw.spec.formats import block_format
from hw.spec.instruction import DataType, Instruction, Opcode, ReduceOp
from hw.spec.status import Status
from models.endpoint.endpoint import EndpointModel, Window
from models.formats.packing import pack_elements, pack_scales
from models.formats.registry import golden_format
from models.isa.isa import execute
from scin.host.driver import Driver, Record
from scin.host.simulator import Simulator

FEATURES = (
    "isa.streaming_reduction",
    "isa.burst_reads",
    "isa.coalesced_write_responses",
    "isa.fused_notify",
)


def feature_set(number: int) -> dict[str, bool]:
    """Bit n of ``number`` switches the nth improvement on."""
    return {name: bool(number >> bit & 1) for bit, name in enumerate(FEATURES)}


@dataclass
class System:
    """Simulator, driver, and a golden endpoint per simulated one."""

    simulator: Simulator
    driver: Driver
    models: list[EndpointModel] = field(default_factory=list)

    @property
    def config(self) -> Config:
        return self.simulator.config

    def fill(self, rng: np.random.Generator, size: int) -> None:
        """Random bits in the first ``size`` bytes of every memory, and clean flags."""
        base = self.config.flag_base
        self.models = []
        for memory in self.simulator.memory:
            memory[:size] = rng.integers(0, 256, size, dtype=np.uint8)
            memory[base : base + AXI_BOUNDARY_BYTES] = 0
            self.models.append(EndpointModel(self.config, memory[:size].copy(), [Window(0, size)]))

    def fill_for_failure(self, cause: str) -> None:
        """Random bits, and windows as long as the memories, or longer where a "memory" is to
        answer with an error."""
        self.fill(np.random.default_rng(3), 4096)
        reach = 1 << 40 if cause == "memory" else self.config.endpoint.memory_bytes
        for endpoint in range(self.config.system.endpoints):
            self.driver.set_window(endpoint, 0, Window(0, reach))

    def run(self, instruction: Instruction, controller: int = 0) -> Record:
        self.driver.submit(instruction, controller)
        return self.driver.wait_completion()

    def submit_all(
        self, streams: list[tuple[int, list[Instruction]]], *, ahead: int = 4
    ) -> list[Record]:
        """Submit (controller, instruction with its scales) in order; at most ``ahead`` records
        are left waiting, so that none is lost."""
        records: list[Record] = []
        for number, (controller, instructions) in enumerate(streams):
            for instruction in instructions:
                self.driver.submit(instruction, controller)
            if number >= ahead:
                records.append(self.driver.wait_completion())
        records += [self.driver.wait_completion() for _ in range(len(streams) - len(records))]
        return records

    def run_pair(self, pair: tuple[Instruction, Instruction], controller: int = 0) -> Record:
        """A quantized instruction and the one with its scales; one record answers both."""
        for instruction in pair:
            self.driver.submit(instruction, controller)
        return self.driver.wait_completion()

    def expect(self, instruction: Instruction, scales: Instruction | None = None) -> Status:
        """Run the instruction on the golden model."""
        return execute(self.config, instruction, self.models, scales)[0]

    def place_blocks(
        self,
        rng: np.random.Generator,
        pair: tuple[Instruction, Instruction],
    ) -> None:
        """Block-scaled operands where the instructions will read them."""
        instruction, scales = pair
        golden = golden_format(self.config, DataType(instruction.data_type))
        endpoints = self.config.system.endpoints
        count = instruction.length // golden.layout.block_bytes
        elements, codes = random_blocks(rng, golden, endpoints, count)
        for index in range(endpoints):
            for part, raw in (
                (instruction, pack_elements(golden.layout, elements[index])),
                (scales, pack_scales(golden.layout, codes[index])),
            ):
                address = part.addresses[index]
                self.simulator.memory[index][address : address + len(raw)] = raw
                self.models[index].memory[address : address + len(raw)] = raw

    def check_memories(self) -> None:
        for index, model in enumerate(self.models):
            found = self.simulator.memory[index][: len(model.memory)]
            wrong = np.flatnonzero(found != model.memory)
            assert wrong.size == 0, (
                f"endpoint {index}: {wrong.size} bytes wrong, first at {wrong[0]:#x}"
            )


def open_system(
    *,
    preset: str = "tiny",
    seed: int = 1,
    jitter: int = 0,
    stall: int = 0,
    repeats: bool = False,
    **overrides: Any,
) -> System:
    """Build or reuse a simulator; ``overrides`` are named ``section__field``."""
    fields = {name.replace("__", "."): value for name, value in overrides.items()}
    config = load(preset, fields)
    simulator = Simulator(config, seed=seed, jitter=jitter, stall=stall, repeats=repeats)
    driver = Driver(simulator, config)
    driver.configure()
    driver.open_whole_memory()
    return System(simulator, driver)


AS_ON_BOARDS = {"fabric__registered": True, "isa__cycles_per_row": 8}
"""How a system is built for FPGAs: registers between the parts, few lanes."""

WITH_LINK_LAYER = {"link__reliable": True, "link__fault_injection": True}

FOUR_ON_BOARDS = AS_ON_BOARDS | {"system__endpoints": 4}

BUILDS = {"plain": {}, "as on boards": FOUR_ON_BOARDS, "reliable links": WITH_LINK_LAYER}
"""Systems whose paths differ most in length."""


def collective(config: Config, length: int, address: int = 0, **fields: Any) -> Instruction:
    """An All-Reduce of ``length`` bytes at one address everywhere, changed by ``fields``."""
    everyone = (1 << config.system.endpoints) - 1
    plain = Instruction(
        opcode=Opcode.COLLECTIVE,
        data_type=DataType.FP16,
        reduce_op=ReduceOp.SUM,
        identifier=1,
        participants=everyone,
        sources=everyone,
        destinations=everyone,
        length=length,
        addresses=(address,) * config.system.endpoints,
    )
    return replace(plain, **fields)


def quantized(
    config: Config,
    data_type: DataType,
    blocks: int,
    address: int = 0,
    scale_address: int = 0,
    **fields: Any,
) -> tuple[Instruction, Instruction]:
    """An All-Reduce of ``blocks`` blocks, and the instruction with their scales."""
    entry = block_format(config, data_type)
    length = blocks * entry.block_bytes
    options = {"data_type": data_type, "quantize": 1} | fields
    instruction = collective(config, length, address, **options)
    scales = Instruction(
        opcode=Opcode.SCALES,
        length=length // entry.ratio,
        addresses=(scale_address,) * config.system.endpoints,
    )
    return instruction, scales
