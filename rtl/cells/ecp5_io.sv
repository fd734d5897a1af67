// Cells at the edge of an ECP5 that carry time or pins, as far as board tops use them, written
// from Lattice's description of their function (FPGA-TN-02035 for DDR and delay, FPGA-TN-02200
// for the PLL). Times are in picoseconds.

`timescale 1ps / 1ps

module IB (
    input  wire I,
    output wire O
);
  assign O = I;
endmodule

module OB (
    input  wire I,
    output wire O
);
  assign O = I;
endmodule

module OBZ (
    input  wire I,
    input  wire T,
    output wire O
);
  // Nothing in this model looks at a pin that is not driven.
  assign O = I & ~T;
endmodule

// Two bits of D0 and D1 leave in the two halves of the clock that follows the edge.
module ODDRX1F (
    input  wire D0,
    input  wire D1,
    input  wire SCLK,
    input  wire RST,
    output wire Q
);
  reg first = 0, second = 0;
  always @(posedge SCLK) begin
    first  <= D0 & ~RST;
    second <= D1 & ~RST;
  end
  assign Q = SCLK ? first : second;
endmodule

// What was there at a rising edge and at the falling edge after it, together from the next
// rising edge on.
module IDDRX1F (
    input  wire D,
    input  wire SCLK,
    input  wire RST,
    output reg  Q0,
    output reg  Q1
);
  reg rising = 0, falling = 0;
  initial begin
    Q0 = 0;
    Q1 = 0;
  end
  always @(negedge SCLK) falling <= D;
  always @(posedge SCLK) begin
    rising <= D;
    Q0 <= rising & ~RST;
    Q1 <= falling & ~RST;
  end
endmodule

module DELAYF #(
    parameter DEL_MODE  = "USER_DEFINED",
    parameter DEL_VALUE = 0
) (
    input  wire A,
    input  wire LOADN,
    input  wire MOVE,
    input  wire DIRECTION,
    output reg  Z,
    output wire CFLAG
);
  localparam int TAP_PS = 25, TAPS = 128;
  int setting = DEL_VALUE;
  always @(negedge MOVE or negedge LOADN)
    if (!LOADN) setting <= DEL_VALUE;
    else if (!DIRECTION && setting < TAPS - 1) setting <= setting + 1;
    else if (DIRECTION && setting > 0) setting <= setting - 1;
  initial Z = 0;
  always @(A) Z <= #(TAP_PS * setting + 1) A;
  assign CFLAG = DIRECTION ? setting == 0 : setting == TAPS - 1;
endmodule

// Measures its input, then makes CLKOP and, CLKOS_CPHASE - CLKOP_CPHASE VCO cycles later, CLKOS.
module EHXPLLL #(
    parameter PLLRST_ENA = "DISABLED",
    parameter INTFB_WAKE = "DISABLED",
    parameter STDBY_ENABLE = "DISABLED",
    parameter DPHASE_SOURCE = "DISABLED",
    parameter OUTDIVIDER_MUXA = "DIVA",
    parameter OUTDIVIDER_MUXB = "DIVB",
    parameter FEEDBK_PATH = "CLKOP",
    parameter CLKOP_ENABLE = "ENABLED",
    parameter CLKOS_ENABLE = "DISABLED",
    parameter int CLKI_DIV = 1,
    parameter int CLKFB_DIV = 1,
    parameter int CLKOP_DIV = 8,
    parameter int CLKOP_CPHASE = 0,
    parameter int CLKOP_FPHASE = 0,
    parameter int CLKOS_DIV = 8,
    parameter int CLKOS_CPHASE = 0,
    parameter int CLKOS_FPHASE = 0
) (
    input  wire CLKI,
    input  wire CLKFB,
    input  wire RST,
    input  wire STDBY,
    input  wire PHASESEL0,
    input  wire PHASESEL1,
    input  wire PHASEDIR,
    input  wire PHASESTEP,
    input  wire PHASELOADREG,
    input  wire PLLWAKESYNC,
    input  wire ENCLKOP,
    output reg  CLKOP,
    output reg  CLKOS,
    output reg  LOCK
);
  localparam int MEASURED_EDGES = 8, LOCK_EDGES = 32;
  longint since;
  int half = 0;
  initial begin
    CLKOP = 0;
    CLKOS = 0;
    LOCK  = 0;
    @(posedge CLKI) since = longint'($time);
    repeat (MEASURED_EDGES) @(posedge CLKI);
    half = int'((longint'($time) - since) * CLKI_DIV / (2 * CLKFB_DIV * MEASURED_EDGES));
    repeat (LOCK_EDGES) @(posedge CLKI);
    LOCK = 1;
  end
  initial begin
    wait (half != 0);
    forever #(half) CLKOP = ~CLKOP;
  end
  always @(CLKOP) CLKOS <= #(2 * half * (CLKOS_CPHASE - CLKOP_CPHASE) / CLKOP_DIV) CLKOP;
endmodule

// A gate at the root of a clock; CE is looked at when the clock falls.
module DCCA (
    input  wire CLKI,
    input  wire CE,
    output wire CLKO
);
  reg open = 0;
  always @(negedge CLKI) open <= CE;
  assign CLKO = CLKI & open;
endmodule
