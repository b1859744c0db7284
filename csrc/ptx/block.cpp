// Warps of a block at work, one after another, from barrier to barrier.
#include "ptx/block.hpp"

#include <algorithm>
#include <string>

namespace moesaic::ptx {

namespace {

constexpr std::size_t SLOT_BYTES = LANES * 4;
constexpr std::uint32_t ENDED = ~std::uint32_t{0};

void fill(Warp& w, std::uint32_t slot, std::uint64_t bits, bool wide) {
  for (int l = 0; l < LANES; ++l) {
    if (wide) w.at<std::uint64_t>(slot)[l] = bits;
    else w.at<std::uint32_t>(slot)[l] = static_cast<std::uint32_t>(bits);
  }
  w.undefined[slot] = 0;
}

// Lanes at `pc` join those that are there, or find their place among the splits, lowest last.
void park(Warp& w, std::uint32_t pc, Mask lanes, bool waits) {
  int at = w.splits;
  while (at > 0 && w.split[at - 1].pc < pc) --at;
  if (at > 0 && w.split[at - 1].pc == pc) {
    w.split[at - 1].lanes |= lanes;
    w.split[at - 1].waits = false;
    return;
  }
  for (int k = w.splits; k > at; --k) w.split[k] = w.split[k - 1];
  w.split[at] = {pc, lanes, waits};
  ++w.splits;
}

int lowest_ready(const Warp& w) {
  int k = w.splits - 1;
  while (k >= 0 && w.split[k].waits) --k;
  return k;
}

Mask take(Warp& w, int k) {
  const Split taken = w.split[k];
  --w.splits;
  for (; k < w.splits; ++k) w.split[k] = w.split[k + 1];
  w.pc = taken.pc;
  return taken.lanes;
}

// The lowest pc goes first, so that lanes which left meet again where their ways join.
void take_lowest(Warp& w) {
  if (w.active) {
    for (int k = 0; k < w.splits; ++k)
      if (w.split[k].pc == w.pc) w.active |= take(w, k--);
    const int ready = lowest_ready(w);
    if (ready < 0 || w.pc < w.split[ready].pc) return;
    park(w, w.pc, w.active, false);
  }
  const int ready = lowest_ready(w);
  w.active = take(w, ready < 0 ? w.splits - 1 : ready);
}

// Whether lanes that the instruction needs are elsewhere, and may still come: then these wait.
bool wait_for_others(Warp& w, const Instruction& i) {
  const Mask named =
      i.members == NOTHING ? ALL : w.at<Mask>(i.members)[__builtin_ctz(w.active)];
  const int ready = lowest_ready(w);
  if ((named & w.alive & ~w.active) == 0 || ready < 0) return false;
  park(w, w.pc, w.active, true);
  w.active = take(w, lowest_ready(w));
  return true;
}

}  // namespace

Block::Block(Launch& l) : launch(l), 
      shared(l.program.shared_bytes + l.settings.shared_bytes, l.program.narrow_shared) {
  const Program& program = launch.program;
  const std::uint32_t* threads = launch.settings.threads;
  const int total = static_cast<int>(threads[0] * threads[1] * threads[2]);
  const int count = (total + LANES - 1) / LANES;
  const std::size_t slots = program.slots, predicates = program.predicates;
  warps.resize(count);
  clocks.resize(count);
  copies.resize(count);
  files_.resize(count * slots * SLOT_BYTES + 64);
  masks_.resize(count * (slots + 2 * predicates));
  local.resize(count * LANES * program.local_bytes);
  local_undefined.resize(local.size());
  void* start = files_.data();
  std::size_t room = files_.size();
  std::byte* file = static_cast<std::byte*>(std::align(64, files_.size() - 64, start, room));
  Mask* masks = masks_.data();
  for (int n = 0; n < count; ++n) {
    Warp& w = warps[n];
    w.block = this;
    w.number = n;
    w.file = file + n * slots * SLOT_BYTES;
    w.undefined = masks;
    w.predicates = w.undefined + slots;
    w.undefined_predicates = w.predicates + predicates;
    masks += slots + 2 * predicates;
    const int lanes = std::min(LANES, total - n * LANES);
    w.alive = lanes == LANES ? ALL : (Mask{1} << lanes) - 1;
    const auto mask_below = [](int l) { return (Mask{1} << l) - 1; };
    const auto special = [&](Special which, auto value) {
      for (int l = 0; l < LANES; ++l)
        w.at<std::uint32_t>(program.specials[which])[l] =
            static_cast<std::uint32_t>(value(l, static_cast<std::uint32_t>(n * LANES + l)));
    };
    special(TID_X, [&](int, std::uint32_t t) { return t % threads[0]; });
    special(TID_Y, [&](int, std::uint32_t t) { return t / threads[0] % threads[1]; });
    special(TID_Z, [&](int, std::uint32_t t) { return t / threads[0] / threads[1]; });
    special(LANEID, [](int l, std::uint32_t) { return l; });
    special(LANEMASK_EQ, [](int l, std::uint32_t) { return Mask{1} << l; });
    special(LANEMASK_LT, [&](int l, std::uint32_t) { return mask_below(l); });
    special(LANEMASK_LE, [&](int l, std::uint32_t) { return mask_below(l) | Mask{1} << l; });
    special(LANEMASK_GT, [&](int l, std::uint32_t) { return ~(mask_below(l) | Mask{1} << l); });
    special(LANEMASK_GE, [&](int l, std::uint32_t) { return ~mask_below(l); });
    const auto everywhere = [&](Special which, std::uint32_t value) {
      fill(w, program.specials[which], value, false);
    };
    everywhere(WARPID, static_cast<std::uint32_t>(n));
    everywhere(NWARPID, static_cast<std::uint32_t>(count));
    for (int k = 0; k < 3; ++k) {
      everywhere(static_cast<Special>(NTID_X + k), threads[k]);
      everywhere(static_cast<Special>(NCTAID_X + k), launch.settings.grid[k]);
    }
    for (const Constant& constant : program.constants)
      fill(w, constant.slot, constant.bits, constant.wide);
    for (std::size_t k = 0; k < program.parameters.size(); ++k)
      fill(w, program.parameters[k].slot, launch.values[k], program.parameters[k].bytes == 8);
  }
}

void Block::start() {
  const Program& program = launch.program;
  shared.reset();
  std::fill(local_undefined.begin(), local_undefined.end(), true);
  for (Barrier& barrier : barriers) barrier = {};
  for (Warp& w : warps) {
    clocks[w.number].start(w.number);
    copies[w.number] = {};
    std::fill(w.undefined + program.first_register, w.undefined + program.last_register, ALL);
    std::fill(w.undefined_predicates, w.undefined_predicates + program.predicates, ALL);
    w.pc = 0;
    const int threads = static_cast<int>(launch.settings.threads[0] * launch.settings.threads[1] *
                                         launch.settings.threads[2]);
    const int lanes = std::min(LANES, threads - w.number * LANES);
    w.alive = w.active = lanes == LANES ? ALL : (Mask{1} << lanes) - 1;
    w.splits = 0;
    w.waiting = -1;
    w.done = false;
    for (int k = 0; k < 3; ++k)
      fill(w, program.specials[CTAID_X + k], at[k], false);
  }
}

void Block::run(std::uint32_t x, std::uint32_t y, std::uint32_t z, std::mt19937_64& random) {
  at[0] = x, at[1] = y, at[2] = z;
  const std::uint32_t* grid = launch.settings.grid;
  stamp_base = (static_cast<std::uint64_t>((z * grid[1] + y) * grid[0] + x) + 1) << 32;
  start();
  std::vector<int> order;
  while (!launch.ended) {
    order.clear();
    for (const Warp& w : warps)
      if (!w.done && w.waiting < 0) order.push_back(w.number);
    if (order.empty()) {
      if (release()) continue;
      break;
    }
    for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[random() % k]);
    for (const int n : order) {
      if (launch.ended) break;
      run_warp(warps[n]);
    }
  }
  for (const Warp& w : warps) {
    if (w.done || launch.ended) continue;
    launch.report(Wrong::deadlock, w, __builtin_ctz(w.alive),
                  "the warp waits for ever: the barrier is not reached by all that it needs");
    break;
  }
}

// Opens the barriers that all have reached; says whether there was one.
bool Block::release() {
  int running = 0;
  for (const Warp& w : warps) running += !w.done;
  for (Barrier& barrier : barriers) {
    if (!barrier.waiting || barrier.expected || barrier.arrived < running) continue;
    open(barrier);
    return true;
  }
  return false;
}

void Block::open(Barrier& barrier) {
  for (Warp& w : warps) {
    if (!(barrier.waiting >> w.number & 1)) continue;
    barrier.past.pass(clocks[w.number], static_cast<int>(warps.size()));
    w.waiting = -1;
  }
  barrier = {};
}

void Block::step(Warp& w) {
  Clock& clock = clocks[w.number];
  clock.step();
  if (clock.now < LAST_EPOCH) return;
  launch.report(Wrong::hang, w, 0, "the warp has passed two million barriers and is taken to hang");
  launch.ended = true;
}

// bar.sync, barrier.sync and bar.arrive: operand[0] the barrier, operand[1] threads or nothing.
void Block::arrive(Warp& w, const Instruction& i, Mask lanes) {
  if (lanes != w.alive)
    launch.report(Wrong::absent_lanes, w, __builtin_ctz(w.alive & ~lanes),
                  "some lanes of the warp come to the barrier and others do not");
  const int lane = __builtin_ctz(lanes);
  const std::uint32_t id = w.at<std::uint32_t>(i.operand[0])[lane];
  if (id >= BARRIERS) {
    launch.report(Wrong::out_of_bounds, w, lane, "there are barriers 0 to 15");
    return;
  }
  Barrier& barrier = barriers[id];
  if (i.operand[1] != NOTHING) {
    const std::uint32_t threads = w.at<std::uint32_t>(i.operand[1])[lane];
    if (threads % LANES || threads == 0)
      launch.report(Wrong::misaligned, w, lane,
                    "a barrier of " + std::to_string(threads) + " threads, which are no whole warps");
    barrier.expected = static_cast<int>(threads / LANES);
  }
  ++barrier.arrived;
  barrier.past.add(clocks[w.number], static_cast<int>(warps.size()));
  if (i.more) {  // whoever only arrives goes on: what it does from now on is after the barrier
    step(w);
  } else {
    barrier.waiting |= Mask{1} << w.number;
    w.waiting = static_cast<int>(id);
  }
  if (barrier.expected && barrier.arrived >= barrier.expected) open(barrier);
}

void Block::run_warp(Warp& w) {
  const Instruction* code = launch.program.code.data();
  Counts* counts = launch.counts.data();
  const std::uint64_t most = launch.settings.most_instructions;
  while (true) {
    const Instruction& i = code[w.pc];
    if (i.together && w.splits && wait_for_others(w, i)) continue;
    Mask lanes = w.active;
    if (i.guard != NOTHING) {
      const Mask value = w.predicates[i.guard];
      if (const Mask unknown = w.undefined_predicates[i.guard] & lanes)
        launch.report(Wrong::uninitialised, w, __builtin_ctz(unknown),
                      "whether it is executed depends on data that nothing has written");
      lanes &= i.negated ? ~value : value;
    }
    counts[w.pc].warps += 1;
    counts[w.pc].threads += lanes == ALL ? LANES : static_cast<unsigned>(__builtin_popcount(lanes));
    if (++launch.instructions >= most) {
      launch.report(Wrong::hang, w, __builtin_ctz(w.active),
                    "the launch has executed " + std::to_string(most) +
                        " warp instructions and is taken to hang");
      launch.ended = true;
      return;
    }
    if (i.flow == Flow::next) {
      if (lanes) i.run(w, i, lanes);
      ++w.pc;
      if (w.splits) take_lowest(w);
      continue;
    }
    if (i.flow == Flow::branch) {
      if (lanes == w.active) {
        w.pc = i.target;
        if (launch.settings.stop && *launch.settings.stop) {
          launch.ended = true;
          return;
        }
      } else if (lanes) {
        park(w, i.target, lanes, false);
        w.active &= ~lanes;
        ++w.pc;
      } else {
        ++w.pc;
      }
      if (w.splits) take_lowest(w);
      continue;
    }
    if (i.flow == Flow::barrier) {
      if (lanes) arrive(w, i, lanes);
      ++w.pc;
      if (w.splits) take_lowest(w);
      if (w.waiting >= 0) return;
      continue;
    }
    if (i.flow == Flow::trap && lanes)
      launch.report(Wrong::trap, w, __builtin_ctz(lanes), "the kernel stops itself");
    w.active &= ~lanes;
    w.alive &= ~lanes;
    if (w.active) {
      ++w.pc;
    } else if (!w.splits) {
      w.done = true;
      return;
    }
    if (w.splits) take_lowest(w);
  }
}

}  // namespace moesaic::ptx
