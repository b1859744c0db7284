// 256 * 2^(-distance / 16), rounded down: sixteen fractions in a table, the rest is a shift.
function automatic [31:0] power(input [31:0] distance);
  localparam [16*12-1:0] FRACTIONS = {
    12'd133, 12'd139, 12'd145, 12'd152, 12'd158, 12'd165, 12'd173, 12'd181,
    12'd189, 12'd197, 12'd206, 12'd215, 12'd224, 12'd234, 12'd245, 12'd256
  };
  power = |distance[31:8] ? 0 : {20'd0, FRACTIONS[{4'd0, distance[3:0]}*12+:12]} >> distance[7:4];
endfunction
