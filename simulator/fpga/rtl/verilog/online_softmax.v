// Softmax in one pass over the scores (Edge-MoE): the sum is rescaled whenever a larger score comes.
// Scores wait until their row's maximum and sum are known: `kept` holds a row, or nothing moves.
module online_softmax #(
    parameter MOST = 64  // most tokens of a queue
) (
    input          clk,
    input          rst,
    // rows, scores of a row, shift, intervals of scan and norm, latencies of scan and norm,
    // depths of x, kept, stats, y
    input  [175:0] cfg,
    input          s_valid,  // x: a score
    output         s_ready,
    input  [ 31:0] s_data,
    output         m_valid,  // y: 256 times its share
    input          m_ready,
    output [ 31:0] m_data,
    output         active    // something moved inside
);
  `include "power.vh"

  wire [15:0] rows = cfg[0+:16], width = cfg[16+:16], shift = cfg[32+:16];
  wire [15:0] x_room, x_count, kept_room, kept_count, stats_room, stats_count, y_room, y_count;
  wire [31:0] x_head, kept_head, kept_in, y_in;
  wire [63:0] stats_head, stats_in;
  wire kept_push, stats_push, y_push, scan_ready, norm_ready, scan, norm, starts;

  wire push = s_valid && s_ready;
  assign s_ready = x_room != 0;
  fifo #(.WIDTH(32), .MOST(MOST)) x (
      .clk(clk), .rst(rst), .depth(cfg[112+:16]),
      .room(x_room), .claim({15'd0, push}), .push(push), .in(s_data),
      .count(x_count), .pop({15'd0, scan}), .head(x_head)
  );

  reg [15:0] row, at;
  reg signed [31:0] most;
  reg [31:0] total;
  wire first = at == 0;
  wire last = at + 1 == width;
  assign scan = row != rows && scan_ready && x_count != 0 && kept_room != 0
      && !(last && stats_room == 0);
  wire scanned = scan && last;
  wire signed [31:0] score = x_head;
  wire larger = first || score > most;
  wire signed [31:0] top = larger ? score : most;
  wire [31:0] rescaled = first ? 0 : total * power((top - most) >> shift) >> 8;
  wire [31:0] sum = rescaled + power((top - score) >> shift);
  always @(posedge clk)
    if (rst) {row, at} <= 0;
    else if (scan) begin
      most  <= top;
      total <= sum;
      at <= last ? 0 : at + 1;
      if (last) row <= row + 1;
    end

  pace scan_pace (
      .clk(clk), .rst(rst), .interval(cfg[48+:16]), .issue(scan), .ready(scan_ready)
  );
  delay #(.WIDTH(32)) kept_delay (
      .clk(clk), .rst(rst), .latency(cfg[80+:16]), .valid(scan), .in(x_head),
      .out_valid(kept_push), .out(kept_in)
  );
  delay #(.WIDTH(64)) stats_delay (
      .clk(clk), .rst(rst), .latency(cfg[80+:16]), .valid(scanned), .in({top, sum}),
      .out_valid(stats_push), .out(stats_in)
  );
  fifo #(.WIDTH(32), .MOST(MOST)) kept (
      .clk(clk), .rst(rst), .depth(cfg[128+:16]),
      .room(kept_room), .claim({15'd0, scan}), .push(kept_push), .in(kept_in),
      .count(kept_count), .pop({15'd0, norm}), .head(kept_head)
  );
  fifo #(.WIDTH(64), .MOST(MOST)) stats (
      .clk(clk), .rst(rst), .depth(cfg[144+:16]),
      .room(stats_room), .claim({15'd0, scanned}), .push(stats_push), .in(stats_in),
      .count(stats_count), .pop({15'd0, norm && starts}), .head(stats_head)
  );

  reg [15:0] out;
  reg [63:0] held;
  assign starts = out == 0;
  assign norm = norm_ready && kept_count != 0 && !(starts && stats_count == 0) && y_room != 0;
  wire [63:0] now = starts ? stats_head : held;
  wire [31:0] share = (power((now[63:32] - kept_head) >> shift) << 8) / now[31:0];
  always @(posedge clk)
    if (rst) out <= 0;
    else if (norm) begin
      held <= now;
      out <= out + 1 == width ? 0 : out + 1;
    end

  pace norm_pace (
      .clk(clk), .rst(rst), .interval(cfg[64+:16]), .issue(norm), .ready(norm_ready)
  );
  delay #(.WIDTH(32)) y_delay (
      .clk(clk), .rst(rst), .latency(cfg[96+:16]), .valid(norm), .in(share),
      .out_valid(y_push), .out(y_in)
  );
  assign m_valid = y_count != 0;
  fifo #(.WIDTH(32), .MOST(MOST)) y (
      .clk(clk), .rst(rst), .depth(cfg[160+:16]),
      .room(y_room), .claim({15'd0, norm}), .push(y_push), .in(y_in),
      .count(y_count), .pop({15'd0, m_ready && m_valid}), .head(m_data)
  );
  assign active = scan || kept_push || norm || y_push;
endmodule
