"""A board's own registers: what it is, and how its links are."""

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.board.contents import Contents
from hw.csr.bus import CsrBus, Decoder
from hw.phy.supervisor import LinkStatus
from hw.spec.checks import fits, within
from hw.spec.host import BOARD, BOARD_IDENTITY, MOST_LANES, fingerprint
from hw.spec.packet import NODE_BITS

EYE_BITS = 8
EYE_LANES_PER_WORD = 4


class BoardRegisters(wiring.Component):
    """Parameters: ``contents``; ``clock_khz``, a number of 32 bits; ``lanes`` of a link, 1 … 8.

    Ports: ``bus``; ``node`` out, id of each endpoint here; ``link_status``, ``link_eye`` in,
    per link.
    """

    def __init__(self, contents: Contents, *, clock_khz: int, lanes: int):
        self._contents = contents
        self._clock_khz = fits("clock_khz", clock_khz, 32)
        self._lanes = within("lanes", lanes, 1, MOST_LANES)
        super().__init__(
            {
                "bus": In(CsrBus()),
                "node": Out(NODE_BITS).array(contents.endpoints),
                "link_status": In(LinkStatus).array(contents.links),
                "link_eye": In(EYE_BITS).array(contents.links, lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        contents = self._contents
        registers = Decoder(m, self.bus, BOARD, registered=contents.config.fabric.registered)
        registers.read("IDENTITY", BOARD_IDENTITY)
        registers.read("ROLE", BOARD["ROLE"].pack(**contents.role, lanes=self._lanes))
        registers.read("CONFIGURATION", fingerprint(contents.config))
        registers.read("CLOCK", self._clock_khz)
        for index, node in enumerate(self.node):
            m.d.comb += node.eq(registers.storage("NODE", init=index, index=index))
        for index, status in enumerate(self.link_status):
            registers.read("LINK_STATUS", status, index)
            for word in range(2):
                first = word * EYE_LANES_PER_WORD
                eye = list(self.link_eye[index])[first : first + EYE_LANES_PER_WORD]
                registers.read("LINK_EYE", Cat(*eye), 2 * index + word)
        return m
