// Interval of a process: ready again `interval` cycles after it issued.
module pace (
    input         clk,
    input         rst,
    input  [15:0] interval,
    input         issue,
    output        ready
);
  reg [15:0] left;
  assign ready = left == 0;
  always @(posedge clk)
    if (rst) left <= 0;
    else if (issue) left <= interval - 1;
    else if (!ready) left <= left - 1;
endmodule
