// The experts of a mixture-of-experts layer on rows sorted by expert, shared out over threads:
//   out = (silu(in gate^T) * (in up^T)) down^T.
//
// in, out [rows, hidden]; between [rows, inter]; gate, up [experts, inter, hidden]; down
// [experts, hidden, inter]; starts [experts + 1]: the first row of each expert, then their number.
// The tasks are those of a build of experts.cpp.
#include <algorithm>
#include <vector>

#include "pool.hpp"

struct Tasks {
  void (*gate_and_up)(const float*, const float*, const float*, float*, float*, long, long, long,
                      long, long, long);
  void (*down)(const float*, const float*, float*, long, long, long, long, long, long);
};

struct Layer {
  const float *in, *gate, *up, *down;
  float *between, *out;
  const long* starts;
  long experts, hidden, inter;
};

extern "C" {

void* layer_open(long threads) { return new Pool(threads); }

void layer_close(void* pool) { delete static_cast<Pool*>(pool); }

// The processor time of each task in nanoseconds goes to `taken`: (inter + hidden) / nc for each
// expert that has rows. Returns how many there are.
long layer_run(void* opened, const Tasks* tasks, const Layer* layer, long kc, long nc,
               long* taken) {
  Pool& pool = *static_cast<Pool*>(opened);
  const Layer& l = *layer;
  long done = 0;
  std::vector<long> busy;
  long most = 0;
  for (long expert = 0; expert < l.experts; ++expert) {
    const long rows = l.starts[expert + 1] - l.starts[expert];
    if (rows) busy.push_back(expert);
    most = std::max(most, rows);
  }
  std::vector<float> scratch(pool.threads() * 2 * most * nc);

  // work(expert, first row, rows, column, thread) for each nc of the columns of each expert.
  const auto share_out = [&](long columns, const auto& work) {
    const long pieces = columns / nc, all = static_cast<long>(busy.size()) * pieces;
    pool.run(all, taken + done, [&](long task, long thread) {
      const long expert = busy[task / pieces], row = l.starts[expert];
      work(expert, row, l.starts[expert + 1] - row, task % pieces * nc, thread);
    });
    done += all;
  };
  const long matrix = l.hidden * l.inter;
  share_out(l.inter, [&](long expert, long row, long rows, long column, long thread) {
    tasks->gate_and_up(l.in + row * l.hidden, l.gate + expert * matrix, l.up + expert * matrix,
                       scratch.data() + thread * 2 * most * nc, l.between + row * l.inter, rows,
                       l.hidden, l.inter, column, kc, nc);
  });
  share_out(l.hidden, [&](long expert, long row, long rows, long column, long) {
    tasks->down(l.between + row * l.inter, l.down + expert * matrix, l.out + row * l.hidden, rows,
                l.hidden, l.inter, column, kc, nc);
  });
  return done;
}

}  // extern "C"
