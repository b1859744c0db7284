// A memory that ports share, a burst at a time, round robin from the port after the last one. A
// burst is granted when the bus is free, its request is there, and its queue has room for all its
// beats; the last port writes: its queue holds them all, and they leave it at once. Beat k takes
// the bus for num / den cycles (at least one) and comes `latency` cycles after its turn; a write
// answers in the turn of its last beat with the sum of the beats.
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
    output [        31:0] data,
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
  reg [15:0] size, sent;        // of the burst under way
  reg [1:0] owner;
  reg [31:0] sum;
  reg [31:0] next[0:PORTS-1];   // the address of each port
  wire grant = able && ahead >= 0;
  wire [15:0] beats = sizes[16*port+:16];
  wire send = grant || (sent != size && credit > 0);
  wire last = grant ? beats == 1 : sent + 1 == size;
  wire [1:0] to = grant ? port : owner;

  genvar g;
  generate
    for (g = 0; g < PORTS; g = g + 1) begin : g_port
      assign request_pop[g] = grant && port == g;
      assign claims[16*g+:16] = request_pop[g] ? (g == WRITER ? 1 : beats) : 0;
    end
  endgenerate
  assign write_pop = request_pop[WRITER] ? beats : 0;

  reg [31:0] total;
  always @* begin
    total = 0;
    for (i = 0; i < MOST; i = i + 1) if (i[15:0] < beats) total = total + write_head[32*i+:32];
  end

  wire signed [31:0] cost = {16'd0, num}, gain = {16'd0, den};
  always @(posedge clk)
    if (rst) begin
      {turn, size, sent, owner} <= 0;
      ahead <= 0;
      for (i = 0; i < PORTS; i = i + 1) next[i] <= 0;
    end else begin
      if (grant) begin
        turn <= port == WRITER ? 0 : port + 1;
        owner <= port;
        size <= beats;
        sent <= 1;
        sum <= total;
        ahead <= gain - cost * {16'd0, beats};
        credit <= 2 * gain - cost;
      end else begin
        if (ahead < 0) ahead <= ahead + gain;
        if (send) sent <= sent + 1;
        credit <= credit + gain - (send ? cost : 0);
      end
      if (send) next[to] <= next[to] + 1;
    end

  // What the memory holds: a number for every address of every port.
  wire [31:0] word = (next[to] * 4 + {30'd0, to}) * 32'h9e3779b1;
  wire out_valid;
  wire [1:0] out_to;
  delay #(.WIDTH(34), .MOST(LATE)) data_delay (
      .clk(clk), .rst(rst), .latency(latency), .valid(send && (to != WRITER || last)),
      .in({to, to != WRITER ? word : grant ? total : sum}),
      .out_valid(out_valid), .out({out_to, data})
  );
  assign push = out_valid ? {{PORTS - 1{1'b0}}, 1'b1} << out_to : 0;
  assign busy = grant || ahead < 0 || send || out_valid;
endmodule
