// The reusable linear kernel of UbiMoE on the queues of experts: dealer, compute units with a double
// buffer of weights, and writer, with bounded queues between them.
module expert_linear #(
    parameter UNITS = 4,
    parameter READS = 2,
    parameter OUTS  = 8,
    parameter BEATS = 16,
    parameter MOST  = 64  // most tokens of a queue
) (
    input          clk,
    input          rst,
    // tokens, routes, experts, units, beats of a row in a tile, tiles of a row, beats of results in
    // a tile, tiles of results, latencies of dealer, compute, writer,
    // depths of x, routes, w, in, orders, groups, weights, out, y
    input  [319:0] cfg,
    input  [  2:0] s_valid,  // x, routes, w
    output [  2:0] s_ready,
    input  [ 95:0] s_data,
    output         m_valid,  // y
    input          m_ready,
    output [127:0] m_data,
    output         active    // something moved inside
);
  wire [15:0] units = cfg[48+:16], reads = cfg[64+:16], in_tiles = cfg[80+:16];
  wire [15:0] out_beats = cfg[96+:16], out_tiles = cfg[112+:16];
  wire [15:0] beats = reads * in_tiles, outs = out_beats * 4;

  wire [15:0] room[0:2];
  wire [15:0] count[0:2];
  wire [31:0] head[0:2];
  wire [2:0] pop;
  genvar i;
  generate
    for (i = 0; i < 3; i = i + 1) begin : g_in
      wire push = s_valid[i] && s_ready[i];
      assign s_ready[i] = room[i] != 0;
      fifo #(.WIDTH(32), .MOST(MOST)) queue (
          .clk(clk), .rst(rst), .depth(cfg[176+16*i+:16]),
          .room(room[i]), .claim({15'd0, push}), .push(push), .in(s_data[32*i+:32]),
          .count(count[i]), .pop({15'd0, pop[i]}), .head(head[i])
      );
    end
  endgenerate

  wire [15:0] orders_room, orders_count, groups_room, groups_count, y_room, y_count, held;
  wire orders_claim, orders_push, orders_pop, groups_claim, groups_push, groups_pop;
  wire group, group_head, y_claim, y_push, y_pop, weights_release;
  wire [8:0] order, order_head;
  wire [127:0] y_in;
  wire [UNITS-1:0] in_full, in_claim, in_push, out_full, out_claim, out_push, out_pop;
  wire [31:0] dealt;
  wire [16*UNITS-1:0] in_counts, in_pops, out_counts;
  wire [32*READS*UNITS-1:0] in_heads;
  wire [32*OUTS*UNITS-1:0] results, out_heads;
  wire [16*OUTS*READS-1:0] weights_at;
  wire [32*OUTS*READS-1:0] weights_tile;

  expert_dealer #(.UNITS(UNITS), .BEATS(BEATS)) dealer (
      .clk(clk), .rst(rst), .tokens(cfg[0+:16]), .routed(cfg[16+:16]), .experts(cfg[32+:16]),
      .beats(beats), .units(units), .latency(cfg[128+:16]),
      .x_count(count[0]), .x_head(head[0]), .x_pop(pop[0]),
      .routes_count(count[1]), .routes_head({head[1][23:8], head[1][2:0]}), .routes_pop(pop[1]),
      .in_full(in_full), .in_claim(in_claim), .in_push(in_push), .in(dealt),
      .orders_room(orders_room), .orders_claim(orders_claim),
      .orders_push(orders_push), .order(order),
      .groups_room(groups_room), .groups_claim(groups_claim),
      .groups_push(groups_push), .group(group)
  );
  wire unused = &{1'b0, head[1][31:24], head[1][7:3]};
  fifo #(.WIDTH(9), .MOST(MOST)) orders (
      .clk(clk), .rst(rst), .depth(cfg[240+:16]),
      .room(orders_room), .claim({15'd0, orders_claim}), .push(orders_push), .in(order),
      .count(orders_count), .pop({15'd0, orders_pop}), .head(order_head)
  );
  fifo #(.WIDTH(1), .MOST(MOST)) groups (
      .clk(clk), .rst(rst), .depth(cfg[256+:16]),
      .room(groups_room), .claim({15'd0, groups_claim}), .push(groups_push), .in(group),
      .count(groups_count), .pop({15'd0, groups_pop}), .head(group_head)
  );
  double_buffer #(.TILE(OUTS * READS)) weights (
      .clk(clk), .rst(rst), .depth(cfg[272+:16]), .beats(beats * outs * out_tiles),
      .in_count(count[2]), .in_head(head[2]), .in_pop(pop[2]),
      .held(held), .release_(weights_release), .at(weights_at), .tile(weights_tile)
  );
  expert_compute #(.UNITS(UNITS), .READS(READS), .OUTS(OUTS), .BEATS(BEATS)) compute (
      .clk(clk), .rst(rst), .units(units), .reads(reads), .in_tiles(in_tiles),
      .outs(outs), .out_tiles(out_tiles), .latency(cfg[144+:16]),
      .in_counts(in_counts), .in_heads(in_heads), .in_pops(in_pops),
      .groups_count(groups_count), .groups_head(group_head), .groups_pop(groups_pop),
      .weights_held(held), .weights_release(weights_release),
      .weights_at(weights_at), .weights_tile(weights_tile),
      .out_full(out_full), .out_claim(out_claim), .out_push(out_push), .outputs(results)
  );
  generate
    for (i = 0; i < UNITS; i = i + 1) begin : g_unit
      wire [15:0] in_room, out_room;
      assign in_full[i]  = in_room == 0;
      assign out_full[i] = out_room == 0;
      fifo #(.WIDTH(32), .MOST(MOST), .READS(READS)) in_queue (
          .clk(clk), .rst(rst), .depth(cfg[224+:16]),
          .room(in_room), .claim({15'd0, in_claim[i]}), .push(in_push[i]), .in(dealt),
          .count(in_counts[16*i+:16]), .pop(in_pops[16*i+:16]),
          .head(in_heads[32*READS*i+:32*READS])
      );
      fifo #(.WIDTH(32 * OUTS), .MOST(MOST)) out_queue (
          .clk(clk), .rst(rst), .depth(cfg[288+:16]),
          .room(out_room), .claim({15'd0, out_claim[i]}), .push(out_push[i]),
          .in(results[32*OUTS*i+:32*OUTS]),
          .count(out_counts[16*i+:16]), .pop({15'd0, out_pop[i]}),
          .head(out_heads[32*OUTS*i+:32*OUTS])
      );
    end
  endgenerate
  expert_writer #(.UNITS(UNITS), .OUTS(OUTS)) writer (
      .clk(clk), .rst(rst), .units(units), .out_tiles(out_tiles), .out_beats(out_beats),
      .latency(cfg[160+:16]),
      .out_counts(out_counts), .out_heads(out_heads), .out_pop(out_pop),
      .orders_count(orders_count), .orders_head(order_head), .orders_pop(orders_pop),
      .y_room(y_room), .y_claim(y_claim), .y_push(y_push), .y(y_in)
  );
  assign y_pop = m_ready && m_valid;
  assign m_valid = y_count != 0;
  fifo #(.WIDTH(128), .MOST(MOST)) y (
      .clk(clk), .rst(rst), .depth(cfg[304+:16]),
      .room(y_room), .claim({15'd0, y_claim}), .push(y_push), .in(y_in),
      .count(y_count), .pop({15'd0, y_pop}), .head(m_data)
  );
  assign active = |pop || |in_claim || |in_push || orders_push || |in_pops || |out_push
      || |out_pop || y_push;
endmodule
