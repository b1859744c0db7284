// A double buffer: one half fills, a beat a cycle, while the other is used. `held` counts
// the halves that are full; a half fills only when there is room for it in the queue of them.
module double_buffer #(
    parameter HALF = 512,  // most beats of a half
    parameter TILE = 16    // beats read at once
) (
    input                 clk,
    input                 rst,
    input  [        15:0] depth,     // 1 or 2 halves
    input  [        15:0] beats,     // of a half
    input  [        15:0] in_count,
    input  [        31:0] in_head,
    output                in_pop,
    output [        15:0] held,
    input                 release_,  // the half in use is done with
    input  [16*TILE-1:0]  at,        // beats of the half in use
    output [32*TILE-1:0]  tile
);
  reg [31:0] store[0:2*HALF-1];
  reg [15:0] beat;
  reg fill, use_;

  wire [15:0] room;
  wire last = beat + 1 == beats;
  wire full = in_pop && last;
  wire unused;
  assign in_pop = in_count != 0 && room != 0;

  fifo #(.WIDTH(1), .MOST(2)) halves (
      .clk(clk), .rst(rst), .depth(depth),
      .room(room), .claim({15'd0, full}), .push(full), .in(fill),
      .count(held), .pop({15'd0, release_}), .head(unused)
  );

  genvar i;
  generate
    for (i = 0; i < TILE; i = i + 1) begin : g_tile
      assign tile[32*i+:32] = store[{31'd0, use_}*HALF+{16'd0, at[16*i+:16]}];
    end
  endgenerate

  always @(posedge clk)
    if (rst) {beat, fill, use_} <= 0;
    else begin
      if (in_pop) begin
        store[{31'd0, fill}*HALF+{16'd0, beat}] <= in_head;
        beat <= last ? 0 : beat + 1;
      end
      if (full) fill <= !fill;
      if (release_) use_ <= !use_;
    end
endmodule
