// Scores: every PE's query times the key that streams past, a beat a cycle; the row's maximum is
// found beside it. A step's last beat gives its scores, a query's last step its maximum.
module attention_qk #(
    parameter PES   = 8,
    parameter BEATS = 16  // most beats of a row
) (
    input                   clk,
    input                   rst,
    input      [      15:0] tokens,
    input      [      15:0] beats,
    input      [      15:0] queries,
    input      [      15:0] latency,
    input      [      15:0] q_count,
    input      [      31:0] q_head,
    output                  q_pop,
    input      [      15:0] k_count,
    input      [      31:0] k_head,
    output                  k_pop,
    input      [      15:0] scores_room,
    output                  scores_claim,
    output                  scores_push,
    output     [32*PES-1:0] scores,
    input      [      15:0] row_max_room,
    output                  row_max_claim,
    output                  row_max_push,
    output     [      31:0] row_max
);
  `include "lanes.vh"

  wire running;
  wire [PES-1:0] starts, ends, active;
  reg [15:0] beat;
  wire last = beat + 1 == beats;
  wire issue = running && k_count != 0 && !(|starts && q_count == 0)
      && !(last && scores_room == 0) && !(last && |ends && row_max_room == 0);

  assign k_pop = issue;
  assign q_pop = issue && |starts;
  assign scores_claim = issue && last;
  assign row_max_claim = issue && last && |ends;

  query_order #(.PES(PES)) order (
      .clk(clk), .rst(rst), .tokens(tokens), .queries(queries), .advance(issue && last),
      .running(running), .starts(starts), .ends(ends), .active(active)
  );

  reg [31:0] row[0:PES*BEATS-1];  // each PE's query
  reg signed [31:0] partial[0:PES-1];
  reg signed [31:0] most[0:PES-1];
  reg [31:0] query_beat;
  reg signed [31:0] score[0:PES-1];
  reg signed [31:0] top[0:PES-1];
  reg [32*PES-1:0] all_scores;
  reg [31:0] ended;

  integer j;
  always @* begin
    ended = 0;
    for (j = 0; j < PES; j = j + 1) begin
      query_beat = starts[j] ? q_head : row[j*BEATS+{28'd0, beat[3:0]}];
      score[j] = active[j] ? (beat == 0 ? 0 : partial[j]) + dot(query_beat, k_head) : 0;
      top[j] = starts[j] || score[j] > most[j] ? score[j] : most[j];
      if (ends[j]) ended = top[j];
      all_scores[32*j+:32] = score[j];
    end
  end

  always @(posedge clk)
    if (rst) beat <= 0;
    else if (issue) begin
      beat <= last ? 0 : beat + 1;
      for (j = 0; j < PES; j = j + 1) begin
        partial[j] <= score[j];
        if (last) most[j] <= top[j];
        if (starts[j]) row[j*BEATS+{28'd0, beat[3:0]}] <= q_head;
      end
    end

  delay #(.WIDTH(32 * PES)) scores_delay (
      .clk(clk), .rst(rst), .latency(latency), .valid(scores_claim), .in(all_scores),
      .out_valid(scores_push), .out(scores)
  );
  delay #(.WIDTH(32)) row_max_delay (
      .clk(clk), .rst(rst), .latency(latency), .valid(row_max_claim), .in(ended),
      .out_valid(row_max_push), .out(row_max)
  );
endmodule
