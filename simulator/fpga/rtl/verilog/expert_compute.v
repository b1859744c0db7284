// The units in lockstep, one row each, all on the same tile of weights: a tile a cycle. The first
// tile row takes the units' rows from their queues and keeps them for the others; a tile row's last
// tile gives its results. An expert's weights are held from its first tile to its last.
module expert_compute #(
    parameter UNITS = 4,
    parameter READS = 2,   // most beats of a row in a tile
    parameter OUTS  = 8,   // most results of a row in a tile
    parameter BEATS = 16   // most beats of a row
) (
    input                            clk,
    input                            rst,
    input      [               15:0] units,
    input      [               15:0] reads,      // beats of a row in a tile
    input      [               15:0] in_tiles,
    input      [               15:0] outs,       // results of a row in a tile
    input      [               15:0] out_tiles,
    input      [               15:0] latency,
    input      [       16*UNITS-1:0] in_counts,
    input      [ 32*READS*UNITS-1:0] in_heads,
    output     [       16*UNITS-1:0] in_pops,
    input      [               15:0] groups_count,
    input                            groups_head,
    output                           groups_pop,
    input      [               15:0] weights_held,
    output                           weights_release,
    output reg [  16*OUTS*READS-1:0] weights_at,
    input      [  32*OUTS*READS-1:0] weights_tile,
    input      [          UNITS-1:0] out_full,
    output     [          UNITS-1:0] out_claim,
    output     [          UNITS-1:0] out_push,
    output     [  32*OUTS*UNITS-1:0] outputs
);
  `include "lanes.vh"

  reg [15:0] in_tile, out_tile;
  reg ending;  // the expert ends with this group
  wire first_row = out_tile == 0;
  wire first = first_row && in_tile == 0;
  wire last_in = in_tile + 1 == in_tiles;
  wire last = last_in && out_tile + 1 == out_tiles;
  wire ends = first ? groups_head : ending;

  reg [UNITS-1:0] used, starved;
  integer u, a, c;
  always @*
    for (u = 0; u < UNITS; u = u + 1) begin
      used[u] = u[15:0] < units;
      starved[u] = used[u] && in_counts[16*u+:16] < reads;
    end

  wire issue = weights_held != 0 && !(first && groups_count == 0) && !(first_row && |starved)
      && !(last_in && |(out_full & used));
  assign groups_pop = issue && first;
  assign weights_release = issue && last && ends;
  assign out_claim = issue && last_in ? used : 0;

  genvar g;
  generate
    for (g = 0; g < UNITS; g = g + 1) begin : g_pop
      assign in_pops[16*g+:16] = issue && first_row && used[g] ? reads : 0;
    end
  endgenerate

  reg [31:0] kept[0:UNITS*BEATS-1];
  reg signed [31:0] partial[0:UNITS*OUTS-1];
  reg signed [31:0] sum[0:UNITS*OUTS-1];
  reg [32*OUTS*UNITS-1:0] sums;
  reg [31:0] row_beat[0:UNITS*READS-1];
  wire [15:0] column = in_tile * reads;
  wire [15:0] beats = in_tiles * reads;

  always @* begin
    for (a = 0; a < OUTS; a = a + 1)
      for (c = 0; c < READS; c = c + 1)
        weights_at[16*(a*READS+c)+:16] = (out_tile * outs + a[15:0]) * beats + column + c[15:0];
    for (u = 0; u < UNITS; u = u + 1) begin
      for (c = 0; c < READS; c = c + 1)
        row_beat[u*READS+c] = c[15:0] >= reads ? 0
            : first_row ? in_heads[32*(u*READS+c)+:32] : kept[u*BEATS+{16'd0, column}+c];
      for (a = 0; a < OUTS; a = a + 1) begin
        sum[u*OUTS+a] = in_tile == 0 ? 0 : partial[u*OUTS+a];
        for (c = 0; c < READS; c = c + 1)
          sum[u*OUTS+a] = sum[u*OUTS+a]
              + dot(row_beat[u*READS+c], weights_tile[32*(a*READS+c)+:32]);
        sums[32*(u*OUTS+a)+:32] = sum[u*OUTS+a];
      end
    end
  end

  always @(posedge clk)
    if (rst) {in_tile, out_tile, ending} <= 0;
    else if (issue) begin
      in_tile <= last_in ? 0 : in_tile + 1;
      if (last_in) out_tile <= last ? 0 : out_tile + 1;
      if (first) ending <= groups_head;
      for (u = 0; u < UNITS; u = u + 1) begin
        for (c = 0; c < READS; c = c + 1)
          if (first_row && c[15:0] < reads)
            kept[u*BEATS+{16'd0, column}+c] <= in_heads[32*(u*READS+c)+:32];
        for (a = 0; a < OUTS; a = a + 1) partial[u*OUTS+a] <= sum[u*OUTS+a];
      end
    end

  wire out_valid;
  assign out_push = out_valid ? used : 0;
  delay #(.WIDTH(32 * OUTS * UNITS)) out_delay (
      .clk(clk), .rst(rst), .latency(latency), .valid(issue && last_in), .in(sums),
      .out_valid(out_valid), .out(outputs)
  );
endmodule
