// What goes in comes out `latency` cycles later: in the same cycle for latency 0.
module delay #(
    parameter WIDTH = 32,  // bits
    parameter MOST  = 8    // the largest latency
) (
    input              clk,
    input              rst,
    input  [     15:0] latency,
    input              valid,
    input  [WIDTH-1:0] in,
    output             out_valid,
    output [WIDTH-1:0] out
);
  reg [WIDTH:0] stage[0:MOST-1];

  wire [$clog2(MOST)-1:0] last = latency[$clog2(MOST)-1:0] - 1'b1;
  assign {out_valid, out} = latency == 0 ? {valid, in} : stage[last];

  integer i;
  always @(posedge clk)
    for (i = 0; i < MOST; i = i + 1)
      if (rst) stage[i] <= 0;
      else if (i == 0) stage[i] <= {valid, in};
      else stage[i] <= stage[i-1];
endmodule
