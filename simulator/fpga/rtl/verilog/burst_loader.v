// Weights through a shared memory into a double buffer: one port fetches tiles, which are used
// `uses` times each while the next one loads; a second port reads and a third writes, both in bursts
// of any size.
module burst_loader #(
    parameter MOST = 64  // most tokens of a queue
) (
    input          clk,
    input          rst,
    // beats of a tile, uses of a tile, num, den, latencies of memory and output,
    // depths of each request, written, fetched, tiles, read, done, out
    input  [207:0] cfg,
    input  [  3:0] s_valid,  // requests of fetch, read, write (their beats); written
    output [  3:0] s_ready,
    input  [127:0] s_data,
    output [  2:0] m_valid,  // out, read, done
    input  [  2:0] m_ready,
    output [ 95:0] m_data,
    output         active    // something moved inside
);
  localparam BURST = 16;  // most beats of a burst
  wire [15:0] tile = cfg[0+:16], uses = cfg[16+:16];

  wire [2:0] request_pop, push;
  wire [47:0] requests, sizes, rooms, claims;
  wire [95:0] data;
  wire [15:0] write_count, write_pop;
  wire [32*BURST-1:0] write_head;
  wire bus_busy, give, out_push;
  wire [31:0] weight, out_in;
  genvar g;
  generate
    for (g = 0; g < 3; g = g + 1) begin : g_request
      wire [15:0] room;
      wire take = s_valid[g] && s_ready[g];
      assign s_ready[g] = room != 0;
      fifo #(.WIDTH(16), .MOST(MOST)) requested (
          .clk(clk), .rst(rst), .depth(cfg[96+:16]),
          .room(room), .claim({15'd0, take}), .push(take), .in(s_data[32*g+:16]),
          .count(requests[16*g+:16]), .pop({15'd0, request_pop[g]}), .head(sizes[16*g+:16])
      );
    end
  endgenerate
  wire unused = &{1'b0, s_data[31:16], s_data[63:48], s_data[95:80]};

  wire [15:0] written_room;
  wire wrote = s_valid[3] && s_ready[3];
  assign s_ready[3] = written_room != 0;
  fifo #(.WIDTH(32), .MOST(MOST), .READS(BURST)) written (
      .clk(clk), .rst(rst), .depth(cfg[112+:16]),
      .room(written_room), .claim({15'd0, wrote}), .push(wrote), .in(s_data[96+:32]),
      .count(write_count), .pop(write_pop), .head(write_head)
  );
  memory_bus #(.PORTS(3), .MOST(BURST)) bus (
      .clk(clk), .rst(rst), .num(cfg[32+:16]), .den(cfg[48+:16]), .latency(cfg[64+:16]),
      .requests(requests), .sizes(sizes), .request_pop(request_pop),
      .rooms(rooms), .claims(claims), .push(push), .data(data),
      .write_count(write_count), .write_head(write_head), .write_pop(write_pop), .busy(bus_busy)
  );

  wire [15:0] fetched_count, held, out_room;
  wire [31:0] fetched_head;
  wire fetched_pop;
  fifo #(.WIDTH(32), .MOST(MOST)) fetched (
      .clk(clk), .rst(rst), .depth(cfg[128+:16]),
      .room(rooms[15:0]), .claim(claims[15:0]), .push(push[0]), .in(data[31:0]),
      .count(fetched_count), .pop({15'd0, fetched_pop}), .head(fetched_head)
  );
  reg [15:0] beat, use_;
  wire last_beat = beat + 1 == tile;
  wire last_use = use_ + 1 == uses;
  double_buffer #(.HALF(BURST), .TILE(1)) tiles (
      .clk(clk), .rst(rst), .depth(cfg[144+:16]), .beats(tile),
      .in_count(fetched_count), .in_head(fetched_head), .in_pop(fetched_pop),
      .held(held), .release_(give && last_beat && last_use), .at(beat), .tile(weight)
  );
  assign give = held != 0 && out_room != 0;
  always @(posedge clk)
    if (rst) {beat, use_} <= 0;
    else if (give) begin
      beat <= last_beat ? 0 : beat + 1;
      if (last_beat) use_ <= last_use ? 0 : use_ + 1;
    end
  delay #(.WIDTH(32)) out_delay (
      .clk(clk), .rst(rst), .latency(cfg[80+:16]), .valid(give), .in(weight),
      .out_valid(out_push), .out(out_in)
  );

  wire [47:0] counts;
  assign m_valid = {counts[47:32] != 0, counts[31:16] != 0, counts[15:0] != 0};
  fifo #(.WIDTH(32), .MOST(MOST)) out (
      .clk(clk), .rst(rst), .depth(cfg[192+:16]),
      .room(out_room), .claim({15'd0, give}), .push(out_push), .in(out_in),
      .count(counts[15:0]), .pop({15'd0, m_ready[0] && m_valid[0]}), .head(m_data[31:0])
  );
  generate
    for (g = 1; g < 3; g = g + 1) begin : g_out
      fifo #(.WIDTH(32), .MOST(MOST)) queue (
          .clk(clk), .rst(rst), .depth(cfg[144+16*g+:16]),
          .room(rooms[16*g+:16]), .claim(claims[16*g+:16]), .push(push[g]), .in(data[32*g+:32]),
          .count(counts[16*g+:16]), .pop({15'd0, m_ready[g] && m_valid[g]}),
          .head(m_data[32*g+:32])
      );
    end
  endgenerate
  assign active = bus_busy || fetched_pop || give || out_push;
endmodule
