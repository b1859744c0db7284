// A queue whose room is claimed before its tokens come: a pipeline claims when it issues and pushes
// when the result leaves it. Counters are registers: what is pushed, popped or claimed in a cycle
// shows from the next cycle on.
module fifo #(
    parameter WIDTH = 32,  // bits of a token
    parameter MOST  = 64,  // the largest depth, a power of two of at least 2
    parameter READS = 1    // tokens shown at the head
) (
    input                    clk,
    input                    rst,
    input  [           15:0] depth,  // tokens that it holds, at most MOST
    output [           15:0] room,   // tokens that may be claimed
    input  [           15:0] claim,  // tokens claimed now
    input                    push,   // a claimed token comes
    input  [      WIDTH-1:0] in,
    output [           15:0] count,  // tokens that may be popped
    input  [           15:0] pop,    // tokens popped now
    output [READS*WIDTH-1:0] head    // the oldest tokens, the first in the lowest bits
);
  localparam BITS = $clog2(MOST);

  reg [WIDTH-1:0] tokens[0:MOST-1];
  reg [BITS-1:0] first, next;
  reg [15:0] held, used;

  assign room  = depth - used;
  assign count = held;

  genvar i;
  generate
    for (i = 0; i < READS; i = i + 1) begin : g_head
      wire [BITS-1:0] at = first + i;
      assign head[i*WIDTH+:WIDTH] = tokens[at];
    end
  endgenerate

  always @(posedge clk)
    if (rst) begin
      first <= 0;
      next  <= 0;
      held  <= 0;
      used  <= 0;
    end else begin
      if (push) begin
        tokens[next] <= in;
        next <= next + 1'b1;
      end
      first <= first + pop[BITS-1:0];
      held  <= held + {15'd0, push} - pop;
      used  <= used + claim - pop;
    end
endmodule
