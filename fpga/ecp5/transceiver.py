"""A channel of an ECP5 transceiver block (DCU): 8b/10b, two bytes per cycle of its clock."""

from typing import Any

from amaranth import Cat, ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fpga.boards.board import Channel
from hw.phy.transceiver_reset import TransceiverReset
from hw.phy.words import BYTE_BITS, WORD_BYTES, Word

BITS_PER_CYCLE = 20
"""On the wire: ten for each byte."""

BUS_BITS = 24
BUS_BYTE_BITS = BUS_BITS // WORD_BYTES
"""Of a byte on the block's bus: the byte, control, then disparity and code errors."""

SETTLE_CYCLES = 1 << 16

BLOCK = {
    "MACROPDB": "0b1",
    "IB_PWDNB": "0b1",
    "TXPLL_PWDNB": "0b1",
    "REFCK_MODE": "0b000",  # 20 bits for each cycle of the reference
    "TX_VCO_CK_DIV": "0b010",  # the PLL at twice the line rate
    "BITCLK_LOCAL_EN": "0b1",
    "SYNC_LOCAL_EN": "0b1",
    "BUS8BIT_SEL": "0b0",
    "CDR_LOL_SET": "0b00",
    "LOW_MARK": "0d4",
    "HIGH_MARK": "0d12",
    # Bias and loop filter as the vendor's generator sets them.
    "CMUSETBIASI": "0b00",
    "CMUSETI4CPP": "0d3",
    "CMUSETI4CPZ": "0d3",
    "CMUSETI4VCO": "0b00",
    "CMUSETICP4P": "0b01",
    "CMUSETICP4Z": "0b101",
    "CMUSETINITVCT": "0b00",
    "CMUSETISCL4VCO": "0b000",
    "CMUSETP1GM": "0b000",
    "CMUSETP2AGM": "0b000",
    "CMUSETZGM": "0b000",
    "SETICONST_AUX": "0b01",
    "SETICONST_CH": "0b10",
    "SETIRPOLY_AUX": "0b01",
    "SETIRPOLY_CH": "0b01",
    "SETPLLRC": "0d1",
    "REQ_ISET": "0b011",
    "PD_ISET": "0b11",
    "RG_EN": "0b0",
    "RG_SET": "0b00",
}

CHANNEL = {
    "PROTOCOL": "8B10B",
    "UC_MODE": "0b1",
    "TPWDNB": "0b1",
    "RPWDNB": "0b1",
    "RATE_MODE_TX": "0b0",
    "RATE_MODE_RX": "0b0",
    # Two bytes per cycle, encoded, decoded and aligned to commas by the block itself.
    "TX_GEAR_MODE": "0b1",
    "RX_GEAR_MODE": "0b1",
    "TX_GEAR_BYPASS": "0b0",
    "RX_GEAR_BYPASS": "0b0",
    "FF_TX_H_CLK_EN": "0b1",
    "FF_TX_F_CLK_DIS": "0b1",
    "FF_RX_H_CLK_EN": "0b1",
    "FF_RX_F_CLK_DIS": "0b1",
    "ENC_BYPASS": "0b0",
    "DEC_BYPASS": "0b0",
    "WA_BYPASS": "0b0",
    "WA_MODE": "0b0",
    "ENABLE_CG_ALIGN": "0b1",
    "LSM_DISABLE": "0b1",
    "UDF_COMMA_MASK": "0x0ff",
    "UDF_COMMA_A": "0x083",
    "UDF_COMMA_B": "0x07c",
    # The far clock is crossed in the fabric, not by adding and dropping symbols.
    "CTC_BYPASS": "0b1",
    "SB_BYPASS": "0b0",
    "RX_SB_BYPASS": "0b0",
    "MATCH_2_ENABLE": "0b0",
    "MATCH_4_ENABLE": "0b0",
    "INVERT_TX": "0b0",
    "INVERT_RX": "0b0",
    # Terminations of 50 ohms, a driver without emphasis, recovery by the block's own sequence.
    "RTERM_TX": "0d19",
    "RTERM_RX": "0d22",
    "TX_CM_SEL": "0b00",
    "RXTERM_CM": "0b11",
    "RXIN_CM": "0b11",
    "TXAMPLITUDE": "0d1000",
    "TXDEPRE": "DISABLED",
    "TXDEPOST": "DISABLED",
    "TDRV_PRE_EN": "0b0",
    "TDRV_DAT_SEL": "0b00",
    "TDRV_SLICE0_SEL": "0b01",
    "TDRV_SLICE0_CUR": "0b101",
    "TDRV_SLICE1_SEL": "0b00",
    "TDRV_SLICE2_SEL": "0b01",
    "TDRV_SLICE2_CUR": "0b01",
    "TDRV_SLICE3_SEL": "0b01",
    "TDRV_SLICE3_CUR": "0b10",
    "TDRV_SLICE4_SEL": "0b01",
    "TDRV_SLICE4_CUR": "0b10",
    "TDRV_SLICE5_SEL": "0b00",
    "REQ_EN": "0b0",
    "REQ_LVL_SET": "0b00",
    "RCV_DCC_EN": "0b0",
    "SEL_SD_RX_CLK": "0b1",
    "RLOS_SEL": "0b1",
    "RX_LOS_EN": "0b1",
    "RX_LOS_LVL": "0b100",
    "RX_LOS_CEQ": "0b11",
    "RX_LOS_HYST_EN": "0b0",
    "RX_DCO_CK_DIV": "0b010",
    "PDEN_SEL": "0b1",
    "AUTO_FACQ_EN": "0b1",
    "AUTO_CALIB_EN": "0b1",
    "CALIB_CK_MODE": "0b0",
    "BAND_THRESHOLD": "0d0",
    "REG_BAND_OFFSET": "0d0",
    "REG_BAND_SEL": "0d0",
    "REG_IDAC_SEL": "0d0",
    "REG_IDAC_EN": "0b0",
    "DCOATDCFG": "0b00",
    "DCOATDDLY": "0b00",
    "DCOBYPSATD": "0b1",
    "DCOCALDIV": "0b000",
    "DCOCTLGI": "0b011",
    "DCODISBDAVOID": "0b0",
    "DCOFLTDAC": "0b00",
    "DCOFTNRG": "0b001",
    "DCOIOSTUNE": "0b010",
    "DCOITUNE": "0b00",
    "DCOITUNE4LSB": "0b010",
    "DCOIUPDNX2": "0b1",
    "DCONUOFLSB": "0b101",
    "DCOSCALEI": "0b01",
    "DCOSTARTVAL": "0b010",
    "DCOSTEP": "0b11",
}


class TransceiverBlock(wiring.Component):
    """Parameters: ``channels``, those of one block that are used; ``clock_hz`` of ``sync``, the
    reference of both directions.

    Ports, per channel
    ------------------
    transmit_clock : out; ``word_out`` : in, a word with each of it
    receive_clock : out, recovered; ``word_in``, ``bad_in`` : out, and which bytes are no symbols

    The pads belong to the channel: no pin is named. Settings follow Lattice's FPGA-TN-02206
    (ECP5 SerDes usage guide). Yosys and nextpnr know the block; it was not tried on silicon.
    """

    def __init__(self, channels: tuple[Channel, ...], *, clock_hz: int):
        self._channels = channels
        self._rate = f"{BITS_PER_CYCLE * clock_hz / 1e9:g}"
        count = len(channels)
        super().__init__(
            {
                "transmit_clock": Out(1).array(count),
                "word_out": In(Word).array(count),
                "receive_clock": Out(1).array(count),
                "word_in": Out(Word).array(count),
                "bad_in": Out(WORD_BYTES).array(count),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        unlocked = Signal()
        channels = [
            self._channel(m, index, channel, unlocked)
            for index, channel in enumerate(self._channels)
        ]
        m.submodules.block = Instance(
            "DCUA",
            ("a", "LOC", f"DCU{self._channels[0].block}"),
            *(("p", f"D_{key}", value) for key, value in BLOCK.items()),
            ("p", "D_TX_MAX_RATE", self._rate),
            ("i", "D_REFCLKI", ClockSignal()),
            ("i", "D_FFC_MACROPDB", Const(1)),
            ("i", "D_FFC_MACRO_RST", Const(0)),
            ("i", "D_FFC_DUAL_RST", Const(0)),
            ("i", "D_FFC_TRST", Const(0)),
            ("o", "D_FFS_PLOL", unlocked),
            *(argument for arguments in channels for argument in arguments),
        )
        return m

    def _channel(
        self, m: Module, index: int, channel: Channel, unlocked: Signal
    ) -> list[tuple[str, str, Any]]:
        """The arguments of the block's instance for one channel."""
        m.submodules[f"reset_{index}"] = reset = TransceiverReset(settle_cycles=SETTLE_CYCLES)
        sent, received = Signal(BUS_BITS), Signal(BUS_BITS)
        word_out, word_in, bad_in = self.word_out[index], self.word_in[index], self.bad_in[index]
        for number in range(WORD_BYTES):
            place = slice(number * BUS_BYTE_BITS, (number + 1) * BUS_BYTE_BITS)
            byte = slice(number * BYTE_BITS, (number + 1) * BYTE_BITS)
            here = received[place]
            m.d.comb += [
                sent[place].eq(Cat(word_out.data[byte], word_out.control[number])),
                word_in.data[byte].eq(here[:BYTE_BITS]),
                word_in.control[number].eq(here[BYTE_BITS]),
                bad_in[number].eq(here[BYTE_BITS + 1 : BYTE_BITS + 3].any()),
            ]
        m.d.comb += reset.transmit_unlocked.eq(unlocked)
        clocks = {
            "FF_TXI_CLK": self.transmit_clock[index],
            "FF_RXI_CLK": self.receive_clock[index],
            "FF_EBRD_CLK": self.receive_clock[index],
            "RX_REFCLK": ClockSignal(),
        }
        controls = {
            "FFC_TXPWDNB": Const(1),
            "FFC_RXPWDNB": Const(1),
            "FFC_LANE_TX_RST": reset.transmit_reset,
            "FFC_RRST": reset.recovery_reset,
            "FFC_LANE_RX_RST": reset.receive_reset,
            "FFC_ENABLE_CGALIGN": Const(1),
            "FFC_SIGNAL_DETECT": Const(1),
        }
        outputs = {
            "FF_TX_PCLK": self.transmit_clock[index],
            "FF_RX_PCLK": self.receive_clock[index],
            "FFS_RLOL": reset.receive_unlocked,
            "FFS_RLOS": reset.silent,
            **{f"FF_RX_D_{n}": received[n] for n in range(BUS_BITS)},
        }
        inputs = clocks | controls | {f"FF_TX_D_{n}": sent[n] for n in range(BUS_BITS)}
        settings = CHANNEL | {"CDR_MAX_RATE": self._rate}
        return [
            (kind, f"CH{channel.number}_{key}", value)
            for kind, group in (("p", settings), ("i", inputs), ("o", outputs))
            for key, value in group.items()
        ]
