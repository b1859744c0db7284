// Arithmetic on beats of four int8 lanes, the first lane in the lowest bits.

function automatic signed [31:0] lane(input [31:0] beat, input [1:0] i);
  lane = {{24{beat[{i, 3'd7}]}}, beat[{i, 3'd0}+:8]};
endfunction

function automatic signed [31:0] dot(input [31:0] a, input [31:0] b);
  dot = lane(a, 0) * lane(b, 0) + lane(a, 1) * lane(b, 1)
      + lane(a, 2) * lane(b, 2) + lane(a, 3) * lane(b, 3);
endfunction
