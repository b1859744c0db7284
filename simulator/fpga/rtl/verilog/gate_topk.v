// The gate of an MoE layer: a score for every expert, the softmax's sum at its own interval, the k
// largest one a cycle; then a router sends each to its expert's queue, where the slowest holds up
// all. Tokens do not overlap in the gate.
module gate_topk #(
    parameter EXPERTS = 4,
    parameter BEATS   = 16,  // most beats of a row
    parameter MOST    = 64   // most tokens of a queue
) (
    input                      clk,
    input                      rst,
    // tokens, beats, k, shift, interval of the softmax, latencies of gate and router,
    // depths of w, x, routes, each queue
    input  [            175:0] cfg,
    input  [              1:0] s_valid,  // w, x: beats of four int8
    output [              1:0] s_ready,
    input  [             63:0] s_data,
    output [      EXPERTS-1:0] m_valid,  // queues: token (16 bits), 256 times its share (16 bits)
    input  [      EXPERTS-1:0] m_ready,
    output [   32*EXPERTS-1:0] m_data,
    output                     active    // something moved inside
);
  `include "lanes.vh"
  `include "power.vh"

  wire [15:0] tokens = cfg[0+:16], beats = cfg[16+:16], chosen = cfg[32+:16], shift = cfg[48+:16];
  localparam [15:0] ALL = EXPERTS;
  wire [15:0] room[0:1];
  wire [15:0] count[0:1];
  wire [31:0] head[0:1];
  wire [1:0] pop;
  genvar g;
  generate
    for (g = 0; g < 2; g = g + 1) begin : g_in
      wire push = s_valid[g] && s_ready[g];
      assign s_ready[g] = room[g] != 0;
      fifo #(.WIDTH(32), .MOST(MOST)) queue (
          .clk(clk), .rst(rst), .depth(cfg[112+16*g+:16]),
          .room(room[g]), .claim({15'd0, push}), .push(push), .in(s_data[32*g+:32]),
          .count(count[g]), .pop({15'd0, pop[g]}), .head(head[g])
      );
    end
  endgenerate

  // Phases: weights are kept, once; then for every token its row, the sum, the choice.
  localparam [1:0] KEEP = 0, ROW = 1, SUM = 2, CHOOSE = 3;
  reg [1:0] phase;
  reg [15:0] token, expert, beat;
  wire ready;
  wire [15:0] routes_room, routes_count;
  wire last_beat = beat + 1 == beats;
  wire last_expert = expert + 1 == ALL;
  wire last_choice = expert + 1 == chosen;
  wire issue = ready && token != tokens && !(phase == KEEP && count[0] == 0)
      && !(phase == ROW && count[1] == 0) && !(phase == CHOOSE && routes_room == 0);
  wire give = issue && phase == CHOOSE;
  assign pop = {issue && phase == ROW, issue && phase == KEEP};
  pace gate_pace (
      .clk(clk), .rst(rst), .interval(phase == SUM ? cfg[64+:16] : 16'd1),
      .issue(issue), .ready(ready)
  );

  reg [31:0] weight[0:EXPERTS*BEATS-1];
  reg signed [31:0] score[0:EXPERTS-1];
  reg [EXPERTS-1:0] taken;
  reg [31:0] total;
  reg signed [31:0] most, best;
  reg [15:0] winner;
  integer e;
  always @* begin
    most = score[0];
    for (e = 1; e < EXPERTS; e = e + 1) if (score[e] > most) most = score[e];
    best = 0;
    winner = ALL;
    for (e = 0; e < EXPERTS; e = e + 1)
      if (!taken[e] && (winner == ALL || score[e] > best)) begin
        best = score[e];
        winner = e[15:0];
      end
  end
  wire [31:0] grown = (expert == 0 ? 0 : total)
      + power((most - score[expert[$clog2(EXPERTS)-1:0]]) >> shift);
  wire [31:0] share = (power((most - best) >> shift) << 8) / total;

  always @(posedge clk)
    if (rst) {phase, token, expert, beat} <= 0;
    else if (issue)
      case (phase)
        KEEP: begin
          weight[{28'd0, expert[3:0]}*BEATS+{16'd0, beat}] <= head[0];
          beat <= last_beat ? 0 : beat + 1;
          if (last_beat) expert <= last_expert ? 0 : expert + 1;
          if (last_beat && last_expert) phase <= ROW;
        end
        ROW: begin
          for (e = 0; e < EXPERTS; e = e + 1)
            score[e] <= (beat == 0 ? 0 : score[e]) + dot(weight[e*BEATS+{16'd0, beat}], head[1]);
          beat <= last_beat ? 0 : beat + 1;
          if (last_beat) phase <= SUM;
        end
        SUM: begin
          total <= grown;
          taken <= 0;
          expert <= last_expert ? 0 : expert + 1;
          if (last_expert) phase <= CHOOSE;
        end
        CHOOSE: begin
          taken <= taken | {{EXPERTS - 1{1'b0}}, 1'b1} << winner;
          expert <= last_choice ? 0 : expert + 1;
          if (last_choice) phase <= ROW;
          if (last_choice) token <= token + 1;
        end
      endcase

  wire unused = &{1'b0, share[31:16]};
  wire routes_push, route;
  wire [47:0] routes_in, routes_head;
  delay #(.WIDTH(48)) routes_delay (
      .clk(clk), .rst(rst), .latency(cfg[80+:16]), .valid(give),
      .in({winner, token, share[15:0]}),
      .out_valid(routes_push), .out(routes_in)
  );
  fifo #(.WIDTH(48), .MOST(MOST)) routes (
      .clk(clk), .rst(rst), .depth(cfg[144+:16]),
      .room(routes_room), .claim({15'd0, give}), .push(routes_push), .in(routes_in),
      .count(routes_count), .pop({15'd0, route}), .head(routes_head)
  );

  wire [EXPERTS-1:0] to = {{EXPERTS - 1{1'b0}}, 1'b1} << routes_head[47:32];
  wire [EXPERTS-1:0] full;
  assign route = routes_count != 0 && !(|(full & to));
  wire routed;
  wire [EXPERTS-1:0] routed_to;
  wire [31:0] routed_in;
  delay #(.WIDTH(EXPERTS + 32)) queues_delay (
      .clk(clk), .rst(rst), .latency(cfg[96+:16]), .valid(route), .in({to, routes_head[31:0]}),
      .out_valid(routed), .out({routed_to, routed_in})
  );
  generate
    for (g = 0; g < EXPERTS; g = g + 1) begin : g_out
      wire [15:0] queue_room, queue_count;
      assign full[g] = queue_room == 0;
      assign m_valid[g] = queue_count != 0;
      fifo #(.WIDTH(32), .MOST(MOST)) queue (
          .clk(clk), .rst(rst), .depth(cfg[160+:16]),
          .room(queue_room), .claim({15'd0, route && to[g]}),
          .push(routed && routed_to[g]), .in(routed_in),
          .count(queue_count), .pop({15'd0, m_ready[g] && m_valid[g]}), .head(m_data[32*g+:32])
      );
    end
  endgenerate
  assign active = issue || routes_push || route || routed;
endmodule
