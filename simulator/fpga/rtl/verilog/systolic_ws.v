// A weight-stationary array of rows x columns: a tile's weights shift in from the top, `rows` steps,
// then M rows of inputs pass from the left, skewed, and partial sums move down; a row's sums leave
// together. A tile takes 2 rows + columns + M - 2 steps. Sums over the tiles of the inner dimension
// are added up outside, in a buffer of M rows.
module systolic_ws #(
    parameter SIDE = 8,  // most rows, most columns
    parameter TALL = 64, // most rows of inputs
    parameter MOST = 64  // most tokens of a queue
) (
    input                clk,
    input                rst,
    // rows, columns, M, inner tiles, outer tiles, latency of the adder, depths of w, x, sums, c
    input  [      159:0] cfg,
    input  [        1:0] s_valid,  // w (the last row first), x: lanes of int8
    output [        1:0] s_ready,
    input  [16*SIDE-1:0] s_data,
    output               m_valid,  // c: a row, lanes of int32
    input                m_ready,
    output [32*SIDE-1:0] m_data,
    output               active    // something moved inside
);
  wire [15:0] rows = cfg[0+:16], columns = cfg[16+:16], tall = cfg[32+:16];
  wire [15:0] inner = cfg[48+:16], tiles = cfg[48+:16] * cfg[64+:16];

  wire [15:0] room[0:1];
  wire [15:0] count[0:1];
  wire [8*SIDE-1:0] head[0:1];
  wire [1:0] pop;
  genvar g;
  generate
    for (g = 0; g < 2; g = g + 1) begin : g_in
      wire push = s_valid[g] && s_ready[g];
      assign s_ready[g] = room[g] != 0;
      fifo #(.WIDTH(8 * SIDE), .MOST(MOST)) queue (
          .clk(clk), .rst(rst), .depth(cfg[96+16*g+:16]),
          .room(room[g]), .claim({15'd0, push}), .push(push), .in(s_data[8*SIDE*g+:8*SIDE]),
          .count(count[g]), .pop({15'd0, pop[g]}), .head(head[g])
      );
    end
  endgenerate

  wire [15:0] sums_room, sums_count, c_room, c_count;
  reg [15:0] step, done;
  wire loading = step < rows;
  wire feeding = !loading && step < rows + tall;
  wire giving = step + 2 >= 2 * rows + columns;
  wire last = step + 3 == 2 * rows + columns + tall;
  wire issue = done != tiles && !(loading && count[0] == 0) && !(feeding && count[1] == 0)
      && !(giving && sums_room == 0);
  wire give = issue && giving;
  assign pop = {issue && feeding, issue && loading};

  always @(posedge clk)
    if (rst) {step, done} <= 0;
    else if (issue) begin
      step <= last ? 0 : step + 1;
      if (last) done <= done + 1;
    end

  reg [7:0] weight[0:SIDE*SIDE-1];
  reg [7:0] late[0:SIDE*SIDE-1];                // row i of the inputs enters i steps late
  reg [7:0] moved[0:SIDE*SIDE-1];
  reg [7:0] x[0:SIDE*SIDE-1];
  reg signed [31:0] partial[0:SIDE*SIDE-1];
  reg signed [31:0] sum[0:SIDE*SIDE-1];
  reg [31:0] waiting[0:SIDE*SIDE-1];            // column j leaves columns - 1 - j steps late
  reg [31:0] bottom[0:SIDE-1];
  reg [32*SIDE-1:0] leaving;

  function automatic signed [31:0] wide(input [7:0] value);
    wide = {{24{value[7]}}, value};
  endfunction

  integer i, j;
  always @* begin
    for (i = 0; i < SIDE; i = i + 1)
      for (j = 0; j < SIDE; j = j + 1) begin
        if (j != 0) x[i*SIDE+j] = moved[i*SIDE+j-1];
        else if (i != 0) x[i*SIDE+j] = late[i*SIDE+i-1];
        else x[i*SIDE+j] = feeding ? head[1][7:0] : 0;
        sum[i*SIDE+j] = (i == 0 ? 0 : partial[(i-1)*SIDE+j])
            + wide(weight[i*SIDE+j]) * wide(x[i*SIDE+j]);
      end
    leaving = 0;
    for (j = 0; j < SIDE; j = j + 1) begin
      bottom[j] = sum[({28'd0, rows[3:0]}-1)*SIDE+j];
      if (j[15:0] + 1 == columns) leaving[32*j+:32] = bottom[j];
      else if (j[15:0] < columns)
        leaving[32*j+:32] = waiting[j*SIDE+{28'd0, columns[3:0]}-2-j];
    end
  end

  always @(posedge clk)
    for (i = 0; i < SIDE; i = i + 1)
      for (j = 0; j < SIDE; j = j + 1)
        if (rst) {late[i*SIDE+j], moved[i*SIDE+j]} <= 0;
        else if (issue && loading)
          weight[i*SIDE+j] <= i == 0 ? head[0][8*j+:8] : weight[(i-1)*SIDE+j];
        else if (issue) begin
          late[i*SIDE+j] <= j != 0 ? late[i*SIDE+j-1] : feeding ? head[1][8*i+:8] : 0;
          moved[i*SIDE+j] <= x[i*SIDE+j];
          partial[i*SIDE+j] <= sum[i*SIDE+j];
          waiting[i*SIDE+j] <= j == 0 ? bottom[i] : waiting[i*SIDE+j-1];
        end

  reg [32*SIDE-1:0] kept[0:TALL-1];
  reg [32*SIDE-1:0] total;
  reg [15:0] row, tile;
  wire last_row = row + 1 == tall;
  wire last_tile = tile + 1 == inner;
  wire add = sums_count != 0 && !(last_tile && c_room == 0);
  wire finish = add && last_tile;

  wire [32*SIDE-1:0] sums_head, c_in;
  wire c_push;

  fifo #(.WIDTH(32 * SIDE), .MOST(MOST)) sums (
      .clk(clk), .rst(rst), .depth(cfg[128+:16]),
      .room(sums_room), .claim({15'd0, give}), .push(give), .in(leaving),
      .count(sums_count), .pop({15'd0, add}), .head(sums_head)
  );

  always @*
    for (i = 0; i < SIDE; i = i + 1)
      total[32*i+:32] = sums_head[32*i+:32] + (tile == 0 ? 0 : kept[row[5:0]][32*i+:32]);
  always @(posedge clk)
    if (rst) {row, tile} <= 0;
    else if (add) begin
      kept[row[5:0]] <= total;
      row <= last_row ? 0 : row + 1;
      if (last_row) tile <= last_tile ? 0 : tile + 1;
    end

  delay #(.WIDTH(32 * SIDE)) c_delay (
      .clk(clk), .rst(rst), .latency(cfg[80+:16]), .valid(finish), .in(total),
      .out_valid(c_push), .out(c_in)
  );
  assign m_valid = c_count != 0;
  fifo #(.WIDTH(32 * SIDE), .MOST(MOST)) c (
      .clk(clk), .rst(rst), .depth(cfg[144+:16]),
      .room(c_room), .claim({15'd0, finish}), .push(c_push), .in(c_in),
      .count(c_count), .pop({15'd0, m_ready && m_valid}), .head(m_data)
  );
  assign active = issue || add || c_push;
endmodule
