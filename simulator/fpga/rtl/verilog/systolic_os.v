// An output-stationary array of rows x columns: a column of A enters from the left and a row of B
// from the top, skewed, and every element keeps one sum. A tile takes K + rows + columns - 2 steps,
// the next one starts when it is done; its sums leave a row a cycle meanwhile.
module systolic_os #(
    parameter SIDE = 8,  // most rows, most columns
    parameter MOST = 64  // most tokens of a queue
) (
    input                 clk,
    input                 rst,
    // rows, columns, K, tiles, depths of a, b, tiles, c
    input  [       127:0] cfg,
    input  [         1:0] s_valid,  // a, b: lanes of int8
    output [         1:0] s_ready,
    input  [16*SIDE-1:0]  s_data,
    output                m_valid,  // c: a row of a tile, lanes of int32
    input                 m_ready,
    output [32*SIDE-1:0]  m_data,
    output                active    // something moved inside
);
  wire [15:0] rows = cfg[0+:16], columns = cfg[16+:16], inner = cfg[32+:16], tiles = cfg[48+:16];

  wire [15:0] room[0:1];
  wire [15:0] count[0:1];
  wire [8*SIDE-1:0] head[0:1];
  wire take;
  genvar g;
  generate
    for (g = 0; g < 2; g = g + 1) begin : g_in
      wire push = s_valid[g] && s_ready[g];
      assign s_ready[g] = room[g] != 0;
      fifo #(.WIDTH(8 * SIDE), .MOST(MOST)) queue (
          .clk(clk), .rst(rst), .depth(cfg[64+16*g+:16]),
          .room(room[g]), .claim({15'd0, push}), .push(push), .in(s_data[8*SIDE*g+:8*SIDE]),
          .count(count[g]), .pop({15'd0, take}), .head(head[g])
      );
    end
  endgenerate

  wire [15:0] tiles_room, tiles_count;
  reg [15:0] step, done;
  wire feeding = step < inner;
  wire last = step + 3 == inner + rows + columns;
  wire issue = done != tiles && !(feeding && (count[0] == 0 || count[1] == 0))
      && !(last && tiles_room == 0);
  wire capture = issue && last;
  assign take = issue && feeding;

  always @(posedge clk)
    if (rst) {step, done} <= 0;
    else if (issue) begin
      step <= last ? 0 : step + 1;
      if (last) done <= done + 1;
    end

  // Row i enters i steps late, column j too; operands then move one element a step.
  reg [7:0] a_late[0:SIDE*SIDE-1];
  reg [7:0] b_late[0:SIDE*SIDE-1];
  reg [7:0] a_moved[0:SIDE*SIDE-1];
  reg [7:0] b_moved[0:SIDE*SIDE-1];
  reg [7:0] a[0:SIDE*SIDE-1];
  reg [7:0] b[0:SIDE*SIDE-1];
  reg signed [31:0] sum[0:SIDE*SIDE-1];
  reg signed [31:0] grown[0:SIDE*SIDE-1];
  reg [32*SIDE*SIDE-1:0] tile;

  function automatic signed [31:0] wide(input [7:0] value);
    wide = {{24{value[7]}}, value};
  endfunction

  integer i, j;
  always @* begin
    tile = 0;
    for (i = 0; i < SIDE; i = i + 1)
      for (j = 0; j < SIDE; j = j + 1) begin
        if (j != 0) a[i*SIDE+j] = a_moved[i*SIDE+j-1];
        else if (i != 0) a[i*SIDE+j] = a_late[i*SIDE+i-1];
        else a[i*SIDE+j] = feeding ? head[0][7:0] : 0;
        if (i != 0) b[i*SIDE+j] = b_moved[(i-1)*SIDE+j];
        else if (j != 0) b[i*SIDE+j] = b_late[j*SIDE+j-1];
        else b[i*SIDE+j] = feeding ? head[1][7:0] : 0;
        grown[i*SIDE+j] = (step == 0 ? 0 : sum[i*SIDE+j]) + wide(a[i*SIDE+j]) * wide(b[i*SIDE+j]);
        if (j[15:0] < columns) tile[32*(i*SIDE+j)+:32] = grown[i*SIDE+j];
      end
  end

  always @(posedge clk)
    for (i = 0; i < SIDE; i = i + 1)
      for (j = 0; j < SIDE; j = j + 1)
        if (rst) begin
          {a_late[i*SIDE+j], b_late[i*SIDE+j]} <= 0;
          {a_moved[i*SIDE+j], b_moved[i*SIDE+j]} <= 0;
        end else if (issue) begin
          a_late[i*SIDE+j] <= j != 0 ? a_late[i*SIDE+j-1] : feeding ? head[0][8*i+:8] : 0;
          b_late[i*SIDE+j] <= j != 0 ? b_late[i*SIDE+j-1] : feeding ? head[1][8*i+:8] : 0;
          a_moved[i*SIDE+j] <= a[i*SIDE+j];
          b_moved[i*SIDE+j] <= b[i*SIDE+j];
          sum[i*SIDE+j] <= grown[i*SIDE+j];
        end

  wire [32*SIDE*SIDE-1:0] captured;
  wire [15:0] c_room, c_count;
  reg [15:0] row;
  wire unload = tiles_count != 0 && c_room != 0;
  wire last_row = row + 1 == rows;
  always @(posedge clk)
    if (rst) row <= 0;
    else if (unload) row <= last_row ? 0 : row + 1;

  fifo #(.WIDTH(32 * SIDE * SIDE), .MOST(4)) captures (
      .clk(clk), .rst(rst), .depth(cfg[96+:16]),
      .room(tiles_room), .claim({15'd0, capture}), .push(capture), .in(tile),
      .count(tiles_count), .pop({15'd0, unload && last_row}), .head(captured)
  );
  assign m_valid = c_count != 0;
  fifo #(.WIDTH(32 * SIDE), .MOST(MOST)) c (
      .clk(clk), .rst(rst), .depth(cfg[112+:16]),
      .room(c_room), .claim({15'd0, unload}), .push(unload),
      .in(captured[{28'd0, row[3:0]}*32*SIDE+:32*SIDE]),
      .count(c_count), .pop({15'd0, m_ready && m_valid}), .head(m_data)
  );
  assign active = issue || unload;
endmodule
