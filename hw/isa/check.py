"""Is an instruction one that this switch can run?"""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.isa.context import lowest_index
from hw.isa.jobs import scale_share
from hw.spec.config import Config
from hw.spec.formats import FORMATS, block_formats
from hw.spec.instruction import MAX_LENGTH, Instruction, Opcode, ReduceOp
from hw.spec.packet import ADDRESS_BITS, NODE_BITS
from hw.spec.status import Status


class Check(wiring.Component):
    """Combinational; golden twin: ``models/isa/check.py``.

    Ports
    -----
    instruction : in
    scales : in, the instruction that followed, if ``instruction`` is quantized; its opcode is
        not SCALES if none did
    sync_refused : in, a bit per barrier that is not for this controller
    status : out
    culprit : out, the endpoint whose operand passes the last address, if ``status`` says so

    The first rule broken decides, in the order of the code.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "instruction": In(Instruction.layout(config)),
                "scales": In(Instruction.layout(config)),
                "sync_refused": In(config.isa.sync_ids),
                "status": Out(Status),
                "culprit": Out(NODE_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        ports = config.system.endpoints
        instruction, scales = self.instruction, self.scales
        quantize = instruction.quantize
        used = Signal(16)
        m.d.comb += used.eq(instruction.sources | instruction.destinations)
        low = exact_log2(config.fabric.flit_bytes)
        misaligned, outside = Signal(ports), Signal(ports)
        for i, address in enumerate(instruction.addresses):
            scale = scales.addresses[i]
            odd = address[:low].any() | (quantize & scale[:low].any())
            past = _passes_end(address, instruction.length) | (
                quantize & _passes_end(scale, scales.length)
            )
            m.d.comb += [misaligned[i].eq(used[i] & odd), outside[i].eq(used[i] & past)]
        m.d.comb += self.culprit.eq(lowest_index(outside))
        last_operation = ReduceOp.AVG if config.isa.average else ReduceOp.BYPASS
        known_format = Signal()
        odd_length = Signal()
        for code in FORMATS:
            with m.If(~quantize & (instruction.data_type == code)):
                m.d.comb += [
                    known_format.eq(instruction.reduce_op <= last_operation.value),
                    odd_length.eq(instruction.length[0]),
                ]
        for entry in block_formats(config):
            with m.If(quantize & (instruction.data_type == entry.code)):
                m.d.comb += [
                    known_format.eq(instruction.reduce_op == ReduceOp.SUM),
                    odd_length.eq(instruction.length[: entry.block_bytes.bit_length() - 1].any()),
                ]
        wanted = scale_share(config, instruction.data_type, instruction.length)
        several = (instruction.sources & (instruction.sources - 1))[:16].any()
        synchronised = instruction.barrier | instruction.notify
        with m.If(instruction.opcode != Opcode.COLLECTIVE):
            with m.Switch(instruction.opcode):
                with m.Case(Opcode.NOP):
                    m.d.comb += self.status.eq(Status.OK)
                with m.Case(Opcode.SCALES):
                    m.d.comb += self.status.eq(Status.MISSING_SCALES)
                with m.Default():
                    m.d.comb += self.status.eq(Status.BAD_OPCODE)
        with m.Elif(quantize & (scales.opcode != Opcode.SCALES)):
            m.d.comb += self.status.eq(Status.MISSING_SCALES)
        with m.Elif(~known_format):
            m.d.comb += self.status.eq(Status.BAD_FORMAT)
        with m.Elif(
            (instruction.sources == 0)
            | (instruction.destinations == 0)
            | (synchronised & (instruction.participants == 0))
        ):
            m.d.comb += self.status.eq(Status.EMPTY_MASK)
        with m.Elif(
            ((used | instruction.participants) >> ports).any()
            | (instruction.sync_id >= config.isa.sync_ids)
            | (synchronised & self.sync_refused.bit_select(instruction.sync_id, 1))
            | ((instruction.reduce_op == ReduceOp.BYPASS) & several)
        ):
            m.d.comb += self.status.eq(Status.BAD_MASK)
        with m.Elif(misaligned.any() | odd_length):
            m.d.comb += self.status.eq(Status.MISALIGNED)
        with m.Elif(
            (instruction.length == 0)
            | (instruction.length > MAX_LENGTH)
            | (quantize & (scales.length != wanted))
        ):
            m.d.comb += self.status.eq(Status.BAD_LENGTH)
        with m.Elif(outside.any()):
            m.d.comb += self.status.eq(Status.WINDOW_VIOLATION)
        return m


def _passes_end(address, length):
    """Do ``length`` bytes from ``address`` on, MAX_LENGTH at most, pass the last address?"""
    low = exact_log2(MAX_LENGTH)
    return address[low:ADDRESS_BITS].all() & (address[:low] + length > MAX_LENGTH)
