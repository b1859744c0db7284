// Keeps the rows and the queue of every expert, then deals: the experts that have tokens in turn,
// their queues in groups of `units`, unit by unit a row of `beats`, zeros where the last group is
// padded. Each row has an order (what to do with its results), each group says if its expert ends.
module expert_dealer #(
    parameter UNITS   = 4,
    parameter EXPERTS = 8,
    parameter TOKENS  = 32,  // most rows, and most of a queue
    parameter BEATS   = 16   // most beats of a row
) (
    input                  clk,
    input                  rst,
    input      [     15:0] tokens,
    input      [     15:0] routed,   // routes in all
    input      [     15:0] experts,
    input      [     15:0] beats,
    input      [     15:0] units,
    input      [     15:0] latency,
    input      [     15:0] x_count,
    input      [     31:0] x_head,
    output                 x_pop,
    input      [     15:0] routes_count,
    input      [     18:0] routes_head,   // gate, token (8 bits each), expert
    output                 routes_pop,
    input      [UNITS-1:0] in_full,       // queues of the units
    output     [UNITS-1:0] in_claim,
    output     [UNITS-1:0] in_push,
    output     [     31:0] in,
    input      [     15:0] orders_room,
    output                 orders_claim,
    output                 orders_push,
    output     [      8:0] order,         // padding, gate
    input      [     15:0] groups_room,
    output                 groups_claim,
    output                 groups_push,
    output                 group          // the expert's last
);
  reg [31:0] rows[0:TOKENS*BEATS-1];
  reg [15:0] queue[0:EXPERTS*TOKENS-1];  // gate, token
  reg [15:0] length[0:EXPERTS-1];

  reg [15:0] row, beat, taken;           // rows kept, beats of this row, routes taken
  wire filling = row != tokens;
  wire routing = !filling && taken != routed;
  assign x_pop = filling && x_count != 0;
  assign routes_pop = routing && routes_count != 0;
  wire [2:0] to = routes_head[2:0];

  reg [15:0] next;                       // the first expert that may have to be dealt still
  reg [15:0] expert;                     // the first of these that has tokens
  integer e;
  always @* begin
    expert = experts;
    for (e = EXPERTS - 1; e >= 0; e = e - 1)
      if (e[15:0] >= next && e[15:0] < experts && length[e] != 0) expert = e[15:0];
  end

  reg [15:0] base, unit;                 // queue entries dealt before this group; the unit dealt to
  wire [15:0] size = length[expert[2:0]];
  wire padding = base + unit >= size;
  wire last_beat = beat + 1 == beats;
  wire last_unit = unit + 1 == units;
  wire last_group = base + units >= size;
  wire [15:0] entry = queue[{24'd0, expert[7:0]}*TOKENS+{16'd0, base+unit}];
  wire issue = !filling && !routing && expert != experts && !(|(in_full >> unit & 1))
      && !(beat == 0 && orders_room == 0) && !(beat == 0 && unit == 0 && groups_room == 0);

  assign in_claim = {{UNITS - 1{1'b0}}, issue} << unit;
  assign orders_claim = issue && beat == 0;
  assign groups_claim = orders_claim && unit == 0;

  always @(posedge clk)
    if (rst) begin
      {row, beat, taken, next, base, unit} <= 0;
      for (e = 0; e < EXPERTS; e = e + 1) length[e] <= 0;
    end else if (x_pop) begin
      rows[{24'd0, row[7:0]}*BEATS+{16'd0, beat}] <= x_head;
      beat <= last_beat ? 0 : beat + 1;
      if (last_beat) row <= row + 1;
    end else if (routes_pop) begin
      queue[{29'd0, to}*TOKENS+{16'd0, length[to]}] <= routes_head[18:3];
      length[to] <= length[to] + 1;
      taken <= taken + 1;
    end else if (issue) begin
      beat <= last_beat ? 0 : beat + 1;
      if (last_beat) unit <= last_unit ? 0 : unit + 1;
      if (last_beat && last_unit) base <= last_group ? 0 : base + units;
      if (last_beat && last_unit && last_group) next <= expert + 1;
    end

  wire [31:0] dealt = padding ? 0 : rows[{24'd0, entry[7:0]}*BEATS+{16'd0, beat}];
  wire in_valid;
  wire [UNITS-1:0] in_unit;
  assign in_push = in_valid ? in_unit : 0;
  delay #(.WIDTH(UNITS + 32)) in_delay (
      .clk(clk), .rst(rst), .latency(latency), .valid(issue), .in({in_claim, dealt}),
      .out_valid(in_valid), .out({in_unit, in})
  );
  delay #(.WIDTH(9)) orders_delay (
      .clk(clk), .rst(rst), .latency(latency), .valid(orders_claim), .in({padding, entry[15:8]}),
      .out_valid(orders_push), .out(order)
  );
  delay #(.WIDTH(1)) groups_delay (
      .clk(clk), .rst(rst), .latency(latency), .valid(groups_claim), .in(last_group),
      .out_valid(groups_push), .out(group)
  );
endmodule
