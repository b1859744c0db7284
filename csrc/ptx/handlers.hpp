#pragma once
#include <vector>

#include "ptx/mma.hpp"
#include "ptx/program.hpp"

namespace moesaic::ptx {

// Flags in `immediate` of a memory instruction.
constexpr std::uint16_t SIGNED = 1, NARROW_ADDRESS = 2, FLOAT_VALUE = 4, RETURNS = 8;

// Memory. operand[0..vector-1] are the registers, operand[ADDRESS] the address; `more` holds the
// bytes of a register, `width` those of an element in memory.
constexpr int ADDRESS = 4;
void load(Warp&, const Instruction&, Mask);
void store(Warp&, const Instruction&, Mask);

// atom and red: operand[0] what was there (with RETURNS), ADDRESS, operand[1] and [2] the values.
enum class Atomic : std::uint16_t { add, min, max, exch, cas, and_, or_, xor_, inc };
void atomic(Warp&, const Instruction&, Mask);

// cp.async: operand[0] to, ADDRESS from, operand[1] bytes of the source or nothing.
void copy_async(Warp&, const Instruction&, Mask);
void close_group(Warp&, const Instruction&, Mask);
void wait_groups(Warp&, const Instruction&, Mask);  // `immediate` may stay under way

// ldmatrix: `vector` matrices into operand[0..], ADDRESS; `more`: transposed.
void load_matrices(Warp&, const Instruction&, Mask);

// mma.sync: operand[0..3] d, [4..7] a, [8..9] b, [10..13] c; `immediate`: Formats of a (low byte)
// and b; `more`: depth; `width`: 2 or 4 bytes of a sum; `target`: which rounding of the program.
void multiply(Warp&, const Instruction&, Mask);

// Between lanes. operand[0] result, [1] value, the last ones as PTX orders them.
enum class Shuffle : std::uint16_t { up, down, bfly, idx };
void shuffle(Warp&, const Instruction&, Mask);
enum class Vote : std::uint16_t { all, any, uni, ballot };
void vote(Warp&, const Instruction&, Mask);
void match_any(Warp&, const Instruction&, Mask);
void match_all(Warp&, const Instruction&, Mask);
enum class Reduce : std::uint16_t { add, umin, umax, smin, smax, and_, or_, xor_ };
void reduce(Warp&, const Instruction&, Mask);
void active_mask(Warp&, const Instruction&, Mask);
void sync_warp(Warp&, const Instruction&, Mask);
void pack(Warp&, const Instruction&, Mask);    // mov.b32 d, {a, b}: `width` bytes each, `vector`
void unpack(Warp&, const Instruction&, Mask);  // mov.b32 {a, b}, s
void nothing(Warp&, const Instruction&, Mask);

}  // namespace moesaic::ptx
