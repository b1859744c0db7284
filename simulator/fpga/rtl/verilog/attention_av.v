// Outputs: values weighted by powers of two of the scores' distance from the row's maximum, divided
// once, when a query has met its last key.
module attention_av #(
    parameter PES   = 8,
    parameter BEATS = 16  // most beats of a row
) (
    input                clk,
    input                rst,
    input   [      15:0] tokens,
    input   [      15:0] beats,
    input   [      15:0] queries,
    input   [      15:0] latency,
    input   [      15:0] shift,  // a distance in sixteenths of a power of two is (max - score) >> shift
    input   [      15:0] scores_count,
    input   [32*PES-1:0] scores_head,
    output               scores_pop,
    input   [      15:0] row_max_count,
    input   [      31:0] row_max_head,
    output               row_max_pop,
    input   [      15:0] v_count,
    input   [      31:0] v_head,
    output               v_pop,
    input   [      15:0] out_room,
    output               out_claim,
    output               out_push,
    output  [      31:0] out
);
  `include "lanes.vh"
  `include "power.vh"

  wire running;
  wire [PES-1:0] starts, ends, active;
  reg [15:0] beat;
  wire first = beat == 0;
  wire last = beat + 1 == beats;
  wire issue = running && v_count != 0 && !(first && scores_count == 0)
      && !(first && |starts && row_max_count == 0) && !(|ends && out_room == 0);

  assign v_pop = issue;
  assign scores_pop = issue && first;
  assign row_max_pop = issue && first && |starts;
  assign out_claim = issue && |ends;

  query_order #(.PES(PES)) order (
      .clk(clk), .rst(rst), .tokens(tokens), .queries(queries), .advance(issue && last),
      .running(running), .starts(starts), .ends(ends), .active(active)
  );

  reg signed [31:0] most[0:PES-1];
  reg signed [31:0] weight[0:PES-1];
  reg signed [31:0] total[0:PES-1];
  reg signed [31:0] sum[0:PES*BEATS*4-1];
  reg signed [31:0] top[0:PES-1];
  reg signed [31:0] factor[0:PES-1];
  reg signed [31:0] divisor[0:PES-1];
  reg signed [31:0] grown[0:PES*4-1];
  reg signed [31:0] share;
  reg [31:0] quotients;

  integer i, j;
  always @* begin
    quotients = 0;
    share = 0;
    for (j = 0; j < PES; j = j + 1) begin
      top[j] = starts[j] ? row_max_head : most[j];
      factor[j] = first ? power((top[j] - scores_head[32*j+:32]) >> shift) : weight[j];
      divisor[j] = starts[j] ? factor[j] : total[j] + factor[j];
      for (i = 0; i < 4; i = i + 1) begin
        grown[j*4+i] = (starts[j] ? 0 : sum[(j*BEATS+{28'd0, beat[3:0]})*4+i])
            + factor[j] * lane(v_head, i[1:0]);
        if (ends[j]) begin
          share = grown[j*4+i] / (first ? divisor[j] : total[j]);
          quotients = quotients | (share & 32'hff) << (8 * i);
        end
      end
    end
  end

  always @(posedge clk)
    if (rst) beat <= 0;
    else if (issue) begin
      beat <= last ? 0 : beat + 1;
      for (j = 0; j < PES; j = j + 1)
        if (active[j]) begin
          if (first) begin
            most[j]   <= top[j];
            weight[j] <= factor[j];
            total[j]  <= divisor[j];
          end
          for (i = 0; i < 4; i = i + 1) sum[(j*BEATS+{28'd0, beat[3:0]})*4+i] <= grown[j*4+i];
        end
    end

  delay #(.WIDTH(32)) out_delay (
      .clk(clk), .rst(rst), .latency(latency), .valid(out_claim), .in(quotients),
      .out_valid(out_push), .out(out)
  );
endmodule
