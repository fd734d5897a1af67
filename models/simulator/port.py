"""The accelerator's half of a switch port: read requests, the wave table, write responses;
compiled. Twin of ``hw/isa/``: read_request, wave_table, write_tracker."""

from __future__ import annotations

from models.simulator.compiled import Record, Records, compiled
from models.simulator.flit import (
    CONTEXT,
    CONTEXT_BITS,
    ENTRY,
    ENTRY_BITS,
    FIRST,
    LAST,
    NOTHING,
    PACKET,
    PACKET_BITS,
    ROWS,
    field,
)
from models.simulator.link import arrived, consume
from models.simulator.queues import Queues
from models.simulator.records import NEVER, Tables
from models.simulator.timing import ISA_READ, ISA_WRITE, Timing


@compiled
def offer_request(port: Record, down: Record, timing: Timing) -> None:
    down.offer[ISA_READ] = NOTHING
    if port.left > 0:
        rows = port.left if timing.burst_reads else min(port.left, timing.packet_rows)
        down.offer[ISA_READ] = (
            FIRST | LAST | port.entry << ENTRY | port.packet << PACKET | rows << ROWS
        )


@compiled
def advance_request(port: Record, down: Record, timing: Timing) -> None:
    if down.sent != ISA_READ:
        return
    rows = port.left if timing.burst_reads else min(port.left, timing.packet_rows)
    port.left -= rows
    port.packet += 1
    if port.left == 0 and port.elements > 0:
        port.left, port.elements, port.packet = port.elements, 0, 0


@compiled
def fill(
    port: Record,
    index: int,
    up: Record,
    down: Record,
    instructions: Records,
    tables: Tables,
    timing: Timing,
    queues: Queues,
    now: int,
) -> None:
    """Take a read response into the table."""
    flit = arrived(down, up, ISA_READ, queues, now)
    if flit == NOTHING:
        return
    consume(down, up, ISA_READ, queues)
    if flit & FIRST:
        port.fill_entry = field(flit, ENTRY, ENTRY_BITS)
        port.fill_packet = field(flit, PACKET, PACKET_BITS)
        return
    tables.filled[index, port.fill_entry, port.fill_packet] += 1
    for k in range(len(instructions)):
        item = instructions[k]
        if item.controller == port.fill_entry // timing.waves and item.first_data == NEVER:
            item.first_data = now
            break
    if flit & LAST:
        if port.fill_packet >= timing.packets_per_wave:
            tables.scales_remaining[index, port.fill_entry] -= 1
        else:
            tables.remaining[index, port.fill_entry] -= 1


@compiled
def count_response(
    port: Record,
    up: Record,
    down: Record,
    instructions: Records,
    controllers: Records,
    timing: Timing,
    queues: Queues,
    now: int,
) -> None:
    flit = arrived(down, up, ISA_WRITE, queues, now)
    if flit == NOTHING:
        return
    consume(down, up, ISA_WRITE, queues)
    context = field(flit, CONTEXT, CONTEXT_BITS)
    port.outstanding[context] -= 1
    port.answered[context] = now
    controller = controllers[context // timing.contexts]
    item = instructions[controller.instruction[context % timing.contexts]]
    item.last_response = now + 1
