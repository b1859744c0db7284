// A memory that ports share, a burst at a time, round robin from the port after the last one. A
// burst is granted when the bus is free, its request is there, and its queue has room for all its
// beats; the last port writes: its queue holds them all, and they leave it at once. A beat takes
// the bus for num / den cycles, a burst at least one cycle. Beat k comes `latency` cycles after its
// turn, floor(k num / den) cycles after the grant; a port gives a beat a cycle at most and makes up
// for what is due while the bus goes on. A write answers in the turn of its last beat with the sum
// of the beats.
module memory_bus #(
    parameter PORTS = 3,
    parameter MOST  = 16,  // most beats of a write
    parameter LATE  = 32   // the largest latency
) (
    input                 clk,
    input                 rst,
    input  [        15:0] num,
    input  [        15:0] den,
    input  [        15:0] latency,
    input  [16*PORTS-1:0] requests,      // requests waiting
    input  [16*PORTS-1:0] sizes,         // beats of the oldest request
    output [   PORTS-1:0] request_pop,
    input  [16*PORTS-1:0] rooms,         // of the reads' queues; of the queue of the answers
    output [16*PORTS-1:0] claims,
    output [   PORTS-1:0] push,
    output [32*PORTS-1:0] data,
    input  [        15:0] write_count,
    input  [ 32*MOST-1:0] write_head,
    output [        15:0] write_pop,
    output                busy
);
  localparam [1:0] WRITER = PORTS - 1;

  reg [1:0] turn;               // the port that is asked first
  reg [1:0] port, asked;
  reg able;
  integer i;
  always @* begin
    able = 0;
    port = 0;
    for (i = PORTS - 1; i >= 0; i = i - 1) begin
      asked = i[1:0] + turn >= PORTS ? i[1:0] + turn - PORTS : i[1:0] + turn;
      if (requests[16*asked+:16] != 0
          && (asked == WRITER ? rooms[16*asked+:16] != 0 && write_count >= sizes[16*asked+:16]
              : rooms[16*asked+:16] >= sizes[16*asked+:16])) begin
        able = 1;
        port = asked;
      end
    end
  end

  reg signed [31:0] ahead;      // den * cycles since the grant - num * beats of the burst
  reg signed [31:0] credit;     // den * (cycles since the grant + 1) - num * beats sent
  reg answering;                // the burst is a write whose last beat is to come
  reg [31:0] sum;
  wire signed [31:0] cost = {16'd0, num}, gain = {16'd0, den};
  wire grant = able && ahead >= 0;
  wire [15:0] beats = sizes[16*port+:16];
  wire writing = request_pop[WRITER];
  wire answer = writing ? gain > cost * {16'd0, beats - 16'd1} : answering && ahead + gain + cost > 0;
  wire [PORTS-1:0] send;
  assign send[WRITER] = answer;
  assign write_pop = request_pop[WRITER] ? beats : 0;

  reg [31:0] total;
  always @* begin
    total = 0;
    for (i = 0; i < MOST; i = i + 1) if (i[15:0] < beats) total = total + write_head[32*i+:32];
  end

  always @(posedge clk)
    if (rst) begin
      {turn, answering} <= 0;
      ahead <= 0;
    end else if (grant) begin
      turn <= port == WRITER ? 0 : port + 1;
      answering <= writing && !answer;
      sum <= total;
      ahead <= gain - cost * {16'd0, beats};
      credit <= 2 * gain - cost;
    end else begin
      if (answer) answering <= 0;
      if (ahead < 0) ahead <= ahead + gain;
      credit <= credit + gain - (send != 0 ? cost : 0);
    end

  // Below a cycle a beat the credit never runs out and ports make up at the same time; above, a
  // burst is sent before the next one is granted.
  genvar g;
  generate
    for (g = 0; g < PORTS; g = g + 1) begin : g_port
      assign request_pop[g] = grant && port == g;
      assign claims[16*g+:16] = request_pop[g] ? (g == WRITER ? 1 : beats) : 0;
      wire [31:0] word;
      if (g == WRITER) assign word = writing ? total : sum;
      else begin : g_read
        reg [15:0] left;  // beats granted and not sent
        reg [31:0] next;  // address
        assign send[g] = request_pop[g] || (left != 0 && credit > 0);
        always @(posedge clk)
          if (rst) {left, next} <= 0;
          else begin
            left <= left + (request_pop[g] ? beats : 0) - {15'd0, send[g]};
            if (send[g]) next <= next + 1;
          end
        // What the memory holds: a number for every address of every port.
        assign word = (next * 4 + g) * 32'h9e3779b1;
      end
      delay #(.WIDTH(32), .MOST(LATE)) data_delay (
          .clk(clk), .rst(rst), .latency(latency), .valid(send[g]), .in(word),
          .out_valid(push[g]), .out(data[32*g+:32])
      );
    end
  endgenerate
  assign busy = grant || ahead < 0 || send != 0 || push != 0;
endmodule
