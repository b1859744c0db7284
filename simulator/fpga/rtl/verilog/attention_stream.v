// Streaming attention with reordered queries: scores and outputs are two processes with bounded
// queues between them. Outputs of a query need its maximum, so `scores` holds T tokens before the
// first can leave.
module attention_stream #(
    parameter PES   = 8,   // most queries at once
    parameter BEATS = 16,  // most beats of a row
    parameter MOST  = 256  // most tokens of a queue
) (
    input          clk,
    input          rst,
    // tokens, beats, queries, latency of scores, latency of outputs, shift,
    // depths of q, k, v, scores, row_max, out
    input  [191:0] cfg,
    input  [  2:0] s_valid,  // q, k, v
    output [  2:0] s_ready,
    input  [ 95:0] s_data,
    output         m_valid,  // out
    input          m_ready,
    output [ 31:0] m_data,
    output         active    // something moved inside
);
  wire [15:0] tokens = cfg[0+:16], beats = cfg[16+:16], queries = cfg[32+:16];

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
          .clk(clk), .rst(rst), .depth(cfg[96+16*i+:16]),
          .room(room[i]), .claim({15'd0, push}), .push(push), .in(s_data[32*i+:32]),
          .count(count[i]), .pop({15'd0, pop[i]}), .head(head[i])
      );
    end
  endgenerate

  wire [15:0] scores_room, scores_count, row_max_room, row_max_count, out_room, out_count;
  wire scores_claim, scores_push, scores_pop, row_max_claim, row_max_push, row_max_pop;
  wire out_claim, out_push, out_pop;
  wire [32*PES-1:0] scores_in, scores_head;
  wire [31:0] row_max_in, row_max_head, out_in;

  attention_qk #(.PES(PES), .BEATS(BEATS)) qk (
      .clk(clk), .rst(rst), .tokens(tokens), .beats(beats), .queries(queries),
      .latency(cfg[48+:16]),
      .q_count(count[0]), .q_head(head[0]), .q_pop(pop[0]),
      .k_count(count[1]), .k_head(head[1]), .k_pop(pop[1]),
      .scores_room(scores_room), .scores_claim(scores_claim),
      .scores_push(scores_push), .scores(scores_in),
      .row_max_room(row_max_room), .row_max_claim(row_max_claim),
      .row_max_push(row_max_push), .row_max(row_max_in)
  );
  fifo #(.WIDTH(32 * PES), .MOST(MOST)) scores (
      .clk(clk), .rst(rst), .depth(cfg[144+:16]),
      .room(scores_room), .claim({15'd0, scores_claim}), .push(scores_push), .in(scores_in),
      .count(scores_count), .pop({15'd0, scores_pop}), .head(scores_head)
  );
  fifo #(.WIDTH(32), .MOST(MOST)) row_max (
      .clk(clk), .rst(rst), .depth(cfg[160+:16]),
      .room(row_max_room), .claim({15'd0, row_max_claim}), .push(row_max_push), .in(row_max_in),
      .count(row_max_count), .pop({15'd0, row_max_pop}), .head(row_max_head)
  );
  attention_av #(.PES(PES), .BEATS(BEATS)) av (
      .clk(clk), .rst(rst), .tokens(tokens), .beats(beats), .queries(queries),
      .latency(cfg[64+:16]), .shift(cfg[80+:16]),
      .scores_count(scores_count), .scores_head(scores_head), .scores_pop(scores_pop),
      .row_max_count(row_max_count), .row_max_head(row_max_head), .row_max_pop(row_max_pop),
      .v_count(count[2]), .v_head(head[2]), .v_pop(pop[2]),
      .out_room(out_room), .out_claim(out_claim), .out_push(out_push), .out(out_in)
  );
  assign out_pop = m_ready && m_valid;
  assign m_valid = out_count != 0;
  fifo #(.WIDTH(32), .MOST(MOST)) out (
      .clk(clk), .rst(rst), .depth(cfg[176+:16]),
      .room(out_room), .claim({15'd0, out_claim}), .push(out_push), .in(out_in),
      .count(out_count), .pop({15'd0, out_pop}), .head(m_data)
  );
  assign active = |pop || scores_push || row_max_push || out_push;
endmodule
