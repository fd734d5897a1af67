// Memory of one endpoint behind a real AXI4 port, for simulation.
//
// The bytes live in the simulation's host process (DPI), so that a driver loads and reads
// whole tensors without spending a simulated cycle, and memory costs only what is used.
// One read beat and one write beat per cycle; first beat and write response come LATENCY
// cycles after the address or the last beat. Accesses outside BYTES answer SLVERR.
//
// +memory_jitter=N   every burst takes 0..N cycles longer, at random
// +memory_stall=P    ready and valid pause in P per cent of the cycles, at random
// +memory_freeze     rtl/sim/faults.cpp may stop everything for a while
// +memory_repeats    the memory is there again at every multiple of BYTES: nothing is outside

module axi_memory #(
    parameter int INDEX = 0,
    parameter int DATA_BITS = 256,
    parameter int ID_BITS = 3,
    parameter int LATENCY = 8,
    parameter longint BYTES = 1 << 20
) (
    input  logic                   clk,
    input  logic                   rst,
    input  logic [47:0]            awaddr,
    input  logic [7:0]             awlen,
    input  logic [ID_BITS-1:0]     awid,
    input  logic                   awvalid,
    output logic                   awready,
    input  logic [DATA_BITS-1:0]   wdata,
    input  logic [DATA_BITS/8-1:0] wstrb,
    input  logic                   wlast,
    input  logic                   wvalid,
    output logic                   wready,
    output logic [ID_BITS-1:0]     bid,
    output logic [1:0]             bresp,
    output logic                   bvalid,
    input  logic                   bready,
    input  logic [47:0]            araddr,
    input  logic [7:0]             arlen,
    input  logic [ID_BITS-1:0]     arid,
    input  logic                   arvalid,
    output logic                   arready,
    output logic [ID_BITS-1:0]     rid,
    output logic [DATA_BITS-1:0]   rdata,
    output logic [1:0]             rresp,
    output logic                   rlast,
    output logic                   rvalid,
    input  logic                   rready
);
  import "DPI-C" function void scin_memory_read(
      input int index, input longint row, output bit [DATA_BITS-1:0] data);
  import "DPI-C" function void scin_memory_write(
      input int index, input longint row, input bit [DATA_BITS-1:0] data,
      input bit [DATA_BITS/8-1:0] strobe);

  import "DPI-C" function bit scin_memory_frozen(input int index);

  localparam int SHIFT = $clog2(DATA_BITS / 8);
  localparam int DEPTH = 16;
  localparam logic [1:0] OKAY = 2'b00, SLVERR = 2'b10;

  typedef struct packed {
    logic [ID_BITS-1:0] id;
    logic [7:0]  beats_after;
    logic [47:0] row;
    logic [31:0] due;
    logic        bad;
  } burst_t;

  int jitter = 0, stall = 0;
  bit freeze = 0, repeats = 0;
  initial begin
    repeats = $test$plusargs("memory_repeats") != 0;
    freeze = $test$plusargs("memory_freeze") != 0;
    void'($value$plusargs("memory_jitter=%d", jitter));
    void'($value$plusargs("memory_stall=%d", stall));
  end

  function automatic logic [31:0] later();
    return jitter == 0 ? 0 : 32'($urandom_range(jitter));
  endfunction
  function automatic logic pause();
    return stall != 0 && $urandom_range(99) < 32'(stall);
  endfunction
  function automatic logic outside(logic [47:0] address);
    return !repeats && longint'({16'b0, address}) >= BYTES;
  endfunction
  function automatic logic [47:0] row_of(logic [47:0] address);
    return 48'(longint'({16'b0, address}) % BYTES) >> SHIFT;
  endfunction

  logic [31:0] cycle;
  logic pause_aw, pause_w, pause_ar, pause_r, pause_b;

  // Reads.
  burst_t reads[DEPTH];
  logic [$clog2(DEPTH)-1:0] read_head, read_tail;
  logic [$clog2(DEPTH):0] read_count;
  logic [7:0] read_beat;
  assign arready = !rst && read_count < DEPTH - 1 && !pause_ar;

  // Writes.
  burst_t writes[DEPTH], answers[DEPTH];
  logic [$clog2(DEPTH)-1:0] write_head, write_tail, answer_head, answer_tail;
  logic [$clog2(DEPTH):0] write_count, answer_count;
  logic [7:0] write_beat;
  assign awready = !rst && write_count < DEPTH - 1 && !pause_aw;
  assign wready  = !rst && write_count != 0 && answer_count < DEPTH - 1 && !pause_w;

  bit [DATA_BITS-1:0] word;
  // Event flags of this cycle: set and used within the block below.
  // verilator lint_off BLKSEQ
  logic push_read, pop_read, push_write, pop_write, pop_answer, frozen;

  always_ff @(posedge clk) begin
    push_read = 0; pop_read = 0; push_write = 0; pop_write = 0; pop_answer = 0;
    cycle <= cycle + 1;
    frozen = freeze && scin_memory_frozen(INDEX);
    pause_aw <= pause() || frozen; pause_w <= pause() || frozen; pause_ar <= pause() || frozen;
    pause_r  <= pause() || frozen; pause_b <= pause() || frozen;

    if (arvalid && arready) begin
      reads[read_tail] <= '{id: arid, beats_after: arlen, row: row_of(araddr),
                            due: cycle + LATENCY - 1 + later(), bad: outside(araddr)};
      read_tail <= read_tail + 1;
      push_read = 1;
    end
    if (!rvalid || rready) begin
      rvalid <= 0;
      if (read_count != 0 && $signed(cycle - reads[read_head].due) >= 0 && !pause_r) begin
        if (!reads[read_head].bad)
          scin_memory_read(INDEX, longint'({16'b0, reads[read_head].row}) + longint'(read_beat),
                           word);
        rvalid <= 1;
        rdata  <= word;
        rid    <= reads[read_head].id;
        rresp  <= reads[read_head].bad ? SLVERR : OKAY;
        rlast  <= read_beat == reads[read_head].beats_after;
        read_beat <= read_beat + 1;
        if (read_beat == reads[read_head].beats_after) begin
          read_beat <= 0;
          read_head <= read_head + 1;
          pop_read = 1;
        end
      end
    end

    if (awvalid && awready) begin
      writes[write_tail] <= '{id: awid, beats_after: awlen, row: row_of(awaddr),
                              due: 0, bad: outside(awaddr)};
      write_tail <= write_tail + 1;
      push_write = 1;
    end
    if (wvalid && wready) begin
      if (!writes[write_head].bad)
        scin_memory_write(INDEX, longint'({16'b0, writes[write_head].row}) + longint'(write_beat),
                          wdata, wstrb);
      write_beat <= write_beat + 1;
      if (wlast) begin
        write_beat <= 0;
        write_head <= write_head + 1;
        pop_write = 1;
        answers[answer_tail] <= writes[write_head];
        answers[answer_tail].due <= cycle + LATENCY - 1 + later();
        answer_tail <= answer_tail + 1;
      end
    end
    if (!bvalid || bready) begin
      bvalid <= 0;
      if (answer_count != 0 && $signed(cycle - answers[answer_head].due) >= 0 && !pause_b) begin
        bvalid <= 1;
        bid    <= answers[answer_head].id;
        bresp  <= answers[answer_head].bad ? SLVERR : OKAY;
        answer_head <= answer_head + 1;
        pop_answer = 1;
      end
    end

    read_count   <= read_count + ($bits(read_count))'(push_read) - ($bits(read_count))'(pop_read);
    write_count  <= write_count + ($bits(write_count))'(push_write)
                    - ($bits(write_count))'(pop_write);
    answer_count <= answer_count + ($bits(answer_count))'(pop_write)
                    - ($bits(answer_count))'(pop_answer);

    if (rst) begin
      cycle <= 0;
      {rvalid, bvalid} <= 0;
      {read_head, read_tail, write_head, write_tail, answer_head, answer_tail} <= 0;
      {read_count, write_count, answer_count} <= 0;
      {read_beat, write_beat} <= 0;
    end
  end
endmodule
