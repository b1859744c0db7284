// GELU as ReLU less a table (Edge-MoE): the difference is even, and nothing beyond 4. Numbers have 8
// fraction bits. A beat of four takes 4 / ports cycles, as the table has `ports` read ports.
module gelu_table #(
    parameter MOST = 64  // most tokens of a queue
) (
    input          clk,
    input          rst,
    // beats, ports (1, 2 or 4), latency, depths of x, y
    input  [ 79:0] cfg,
    input          s_valid,  // x: four lanes of int16
    output         s_ready,
    input  [ 63:0] s_data,
    output         m_valid,  // y: four lanes of int16
    input          m_ready,
    output [ 63:0] m_data,
    output         active    // something moved inside
);
  // ReLU(a) - GELU(a) = a (1 - Phi(a)), in 256ths, in the middle of each sixteenth of [0, 4).
  localparam [64*8-1:0] DELTA = {
    8'd0, 8'd0, 8'd0, 8'd0, 8'd0, 8'd0, 8'd0, 8'd0, 8'd0, 8'd0, 8'd0, 8'd0, 8'd1, 8'd1, 8'd1, 8'd1,
    8'd1, 8'd1, 8'd2, 8'd2, 8'd2, 8'd3, 8'd3, 8'd4, 8'd4, 8'd5, 8'd6, 8'd7, 8'd8, 8'd9, 8'd10, 8'd11,
    8'd12, 8'd14, 8'd15, 8'd17, 8'd19, 8'd21, 8'd23, 8'd25, 8'd27, 8'd29, 8'd31, 8'd33, 8'd35, 8'd37, 8'd38, 8'd40,
    8'd41, 8'd42, 8'd43, 8'd43, 8'd43, 8'd43, 8'd42, 8'd40, 8'd38, 8'd36, 8'd32, 8'd28, 8'd23, 8'd18, 8'd11, 8'd4
  };

  function automatic [15:0] gelu(input [15:0] x);
    reg [15:0] size;  // in sixteenths
    begin
      size = (x[15] ? -x : x) >> 4;
      gelu = (x[15] ? 0 : x) - (|size[15:6] ? 0 : {8'd0, DELTA[{size[5:0], 3'd0}+:8]});
    end
  endfunction

  wire [15:0] beats = cfg[0+:16], ports = cfg[16+:16];
  wire [15:0] x_room, x_count, y_room, y_count;
  wire [63:0] x_head, y_in;
  wire y_push, take;

  wire push = s_valid && s_ready;
  assign s_ready = x_room != 0;
  fifo #(.WIDTH(64), .MOST(MOST)) x (
      .clk(clk), .rst(rst), .depth(cfg[48+:16]),
      .room(x_room), .claim({15'd0, push}), .push(push), .in(s_data),
      .count(x_count), .pop({15'd0, take}), .head(x_head)
  );

  reg [15:0] done, lane;  // beats done, lanes of this beat done
  reg [63:0] held, found;
  wire first = lane == 0;
  wire last = lane + ports == 4;
  wire issue = done != beats && !(first && x_count == 0) && !(last && y_room == 0);
  assign take = issue && first;
  wire give = issue && last;
  wire [63:0] beat = first ? x_head : held;
  reg [63:0] next;
  integer i;
  always @* begin
    next = found;
    for (i = 0; i < 4; i = i + 1)
      if (i[15:0] >= lane && i[15:0] < lane + ports) next[16*i+:16] = gelu(beat[16*i+:16]);
  end
  always @(posedge clk)
    if (rst) {done, lane} <= 0;
    else if (issue) begin
      held <= beat;
      found <= next;
      lane <= last ? 0 : lane + ports;
      if (last) done <= done + 1;
    end

  delay #(.WIDTH(64)) y_delay (
      .clk(clk), .rst(rst), .latency(cfg[32+:16]), .valid(give), .in(next),
      .out_valid(y_push), .out(y_in)
  );
  assign m_valid = y_count != 0;
  fifo #(.WIDTH(64), .MOST(MOST)) y (
      .clk(clk), .rst(rst), .depth(cfg[64+:16]),
      .room(y_room), .claim({15'd0, give}), .push(y_push), .in(y_in),
      .count(y_count), .pop({15'd0, m_ready && m_valid}), .head(m_data)
  );
  assign active = issue || y_push;
endmodule
