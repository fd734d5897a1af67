// The pad of an ECP5 as Yosys uses it, an input or an output for good: its own model drives inputs
// with "z", which a netlist has no use for.

module TRELLIS_IO #(
    parameter DIR = "INPUT"
) (
    inout  B,
    input  I,
    input  T,
    output O
);
  generate
    if (DIR == "INPUT") begin
      assign O = B;
    end else begin
      assign B = I;
      assign O = I;
    end
  endgenerate
endmodule
