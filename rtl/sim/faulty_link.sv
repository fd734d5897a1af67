// One cycle of a link, in which rtl/sim/faults.cpp may damage, lose or double what passes.

module faulty_link #(
    parameter int INDEX = 0,
    parameter int BITS = 1
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            i_valid,
    input  logic [BITS-1:0] i_word,
    output logic            o_valid,
    output logic [BITS-1:0] o_word
);
  import "DPI-C" function void scin_link(
      input int index, input int bits, input bit i_valid, input bit [BITS-1:0] i_word,
      output bit o_valid, output bit [BITS-1:0] o_word);

  bit valid;
  bit [BITS-1:0] word;
  // verilator lint_off BLKSEQ
  always_ff @(posedge clk) begin
    scin_link(INDEX, BITS, i_valid && !rst, i_word, valid, word);
    o_valid <= valid;
    o_word  <= word;
  end
endmodule
