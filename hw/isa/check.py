"""Is an instruction one that this switch can run?"""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formats import FORMATS
from hw.spec.config import Config
from hw.spec.instruction import MAX_LENGTH, Opcode, ReduceOp, instruction_layout
from hw.spec.status import Status


class Check(wiring.Component):
    """Combinational: ``instruction`` in, ``status`` out; golden twin: ``models/isa/check.py``.

    The first rule broken decides, in the order of the code.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__({"instruction": In(instruction_layout(config)), "status": Out(Status)})

    def elaborate(self, platform):
        m = Module()
        config = self._config
        ports = config.system.endpoints
        instruction = self.instruction
        used = Signal(16)
        m.d.comb += used.eq(instruction.sources | instruction.destinations)
        low = (config.fabric.flit_bytes - 1).bit_length()
        misaligned = Signal(ports)
        for i, address in enumerate(instruction.addresses):
            m.d.comb += misaligned[i].eq(used[i] & address[:low].any())
        known_format = Signal()
        for code in FORMATS:
            with m.If(instruction.data_type == code):
                m.d.comb += known_format.eq(1)
        several = (instruction.sources & (instruction.sources - 1))[:16].any()
        synchronised = instruction.barrier | instruction.notify
        with m.If(instruction.opcode != Opcode.COLLECTIVE):
            m.d.comb += self.status.eq(
                Mux(instruction.opcode == Opcode.NOP, Status.OK, Status.BAD_OPCODE)
            )
        with m.Elif(
            ~known_format | (instruction.reduce_op > ReduceOp.BYPASS.value) | instruction.quantize
        ):
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
            | ((instruction.reduce_op == ReduceOp.BYPASS) & several)
        ):
            m.d.comb += self.status.eq(Status.BAD_MASK)
        with m.Elif(misaligned.any() | instruction.length[0]):
            m.d.comb += self.status.eq(Status.MISALIGNED)
        with m.Elif((instruction.length == 0) | (instruction.length > MAX_LENGTH)):
            m.d.comb += self.status.eq(Status.BAD_LENGTH)
        return m
