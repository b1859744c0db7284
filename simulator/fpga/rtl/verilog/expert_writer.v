// Collects the results unit by unit, a row's tiles in order, a beat of four a cycle, each times the
// row's gate. The results of padding are read and dropped, which takes the same cycles.
module expert_writer #(
    parameter UNITS = 4,
    parameter OUTS  = 8  // most results of a row in a tile
) (
    input                        clk,
    input                        rst,
    input  [               15:0] units,
    input  [               15:0] out_tiles,
    input  [               15:0] out_beats,     // beats of a tile
    input  [               15:0] latency,
    input  [       16*UNITS-1:0] out_counts,
    input  [  32*OUTS*UNITS-1:0] out_heads,
    output [          UNITS-1:0] out_pop,
    input  [               15:0] orders_count,
    input  [                8:0] orders_head,   // padding, gate
    output                       orders_pop,
    input  [               15:0] y_room,
    output                       y_claim,
    output                       y_push,
    output [              127:0] y
);
  reg [15:0] unit, tile, beat;
  reg [8:0] kept_order;
  reg [32*OUTS-1:0] kept;

  wire first_beat = beat == 0;
  wire first = first_beat && tile == 0;
  wire last_beat = beat + 1 == out_beats;
  wire last_tile = tile + 1 == out_tiles;
  wire [15:0] out_count = out_counts[{28'd0, unit[3:0]}*16+:16];
  wire [32*OUTS-1:0] results = first_beat ? out_heads[{28'd0, unit[3:0]}*32*OUTS+:32*OUTS] : kept;
  wire [8:0] order = first ? orders_head : kept_order;
  wire padding = order[8];
  wire issue = !(first_beat && out_count == 0) && !(first && orders_count == 0)
      && (padding || y_room != 0);

  assign out_pop = {{UNITS - 1{1'b0}}, issue && first_beat} << unit;
  assign orders_pop = issue && first;
  assign y_claim = issue && !padding;

  always @(posedge clk)
    if (rst) {unit, tile, beat} <= 0;
    else if (issue) begin
      kept <= results;
      kept_order <= order;
      beat <= last_beat ? 0 : beat + 1;
      if (last_beat) tile <= last_tile ? 0 : tile + 1;
      if (last_beat && last_tile) unit <= unit + 1 == units ? 0 : unit + 1;
    end

  wire [127:0] lanes = results[{28'd0, beat[3:0]}*128+:128];
  wire signed [31:0] gate = {24'd0, order[7:0]};
  reg [127:0] scaled;
  integer i;
  always @*
    for (i = 0; i < 4; i = i + 1) scaled[32*i+:32] = $signed(lanes[32*i+:32]) * gate;

  delay #(.WIDTH(128)) y_delay (
      .clk(clk), .rst(rst), .latency(latency), .valid(y_claim), .in(scaled),
      .out_valid(y_push), .out(y)
  );
endmodule
