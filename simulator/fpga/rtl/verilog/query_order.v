// The order of Edge-MoE's attention: keys stream past the processing elements (PEs), one a step and
// over again; PE j takes query j in step j, and p queries later ones every T steps. A query is done
// when it has met T keys. One PE at most starts in a step, and one at most ends.
module query_order #(
    parameter PES = 8
) (
    input                clk,
    input                rst,
    input      [   15:0] tokens,   // T: queries, and keys
    input      [   15:0] queries,  // p: PEs in use, at most T and PES
    input                advance,  // the step is over
    output               running,
    output     [PES-1:0] starts,   // the PE that takes a query in this step
    output reg [PES-1:0] ends,     // the PE whose query meets its last key in this step
    output reg [PES-1:0] active
);
  reg [15:0] key;             // the key of this step
  reg [15:0] query;           // the next to start
  reg [15:0] left[0:PES-1];   // keys that a PE's query has still to meet, before this step

  assign running = query < tokens || |active;
  assign starts  = key < queries && query < tokens ? {{PES - 1{1'b0}}, 1'b1} << key : 0;

  integer j;
  always @* begin
    for (j = 0; j < PES; j = j + 1) begin
      active[j] = starts[j] || left[j] != 0;
      ends[j]   = starts[j] ? tokens == 1 : left[j] == 1;
    end
  end

  always @(posedge clk)
    if (rst) begin
      key   <= 0;
      query <= 0;
      for (j = 0; j < PES; j = j + 1) left[j] <= 0;
    end else if (advance) begin
      key <= key + 1 == tokens ? 0 : key + 1;
      if (|starts) query <= query + 1;
      for (j = 0; j < PES; j = j + 1)
        if (active[j]) left[j] <= (starts[j] ? tokens : left[j]) - 1;
    end
endmodule
