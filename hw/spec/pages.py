"""What is at an address of the registers, in words."""

from __future__ import annotations

from hw.spec.dma import ENGINE, ENGINE_BYTES
from hw.spec.registers import ENDPOINT, PAGE_BYTES, SWITCH, Register, pages


def register_at(address: int, *, endpoints: int) -> str:
    """Name of the register at a byte address of a system with so many ``endpoints``, such as
    ``ARRIVE of endpoint 1``; the address itself where no page has one."""
    page, offset = divmod(address, PAGE_BYTES)
    if page == 0:
        return _named(SWITCH, offset, "the switch")
    if page >= pages(endpoints):
        return f"address {address:#x}"
    is_dma, endpoint = divmod(page - 1, endpoints)
    if not is_dma:
        return _named(ENDPOINT, offset, f"endpoint {endpoint}")
    engine, offset = divmod(offset, ENGINE_BYTES)
    return _named(ENGINE, offset, f"DMA engine {engine} of endpoint {endpoint}")


def _named(registers: dict[str, Register], offset: int, owner: str) -> str:
    for register in registers.values():
        index, rest = divmod(offset - register.offset, 4)
        if rest == 0 and 0 <= index < register.count:
            place = f"[{index}]" if register.count > 1 else ""
            return f"{register.name}{place} of {owner}"
    return f"offset {offset:#x} of {owner}"
