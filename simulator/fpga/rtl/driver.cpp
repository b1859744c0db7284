// Runs Verilog blocks, as C++ by a simulator, on jobs from standard input; see drive.py for both
// formats.
//
// The last part of a unit that build.py writes: the simulator's C++ of all blocks and its adapter
// (eval, put, get) come before, BLOCKS is a file of {"name", serve<Class>}, lines. All blocks have
// the same ports: clk, rst, cfg, s_valid, s_ready, s_data, m_valid, m_ready, m_data, active.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

namespace {

using Words = std::vector<std::uint32_t>;

bool read(Words& words) {
  return std::fread(words.data(), 4, words.size(), stdin) == words.size();
}

Words read_words(std::size_t count) {
  Words words(count);
  if (!read(words)) std::exit(3);
  return words;
}

void write(const Words& words) { std::fwrite(words.data(), 4, words.size(), stdout); }

bool bit(const Words& words, std::size_t at) { return words[at / 32] >> at % 32 & 1; }

struct End {  // a source or a sink
  std::uint32_t tokens;  // to offer, or that should come
  Words data;            // offered, or taken
  Words open;            // a bit a cycle
  Words moved;           // the cycle of each token
  bool is_open(std::uint32_t cycle) const { return bit(open, cycle % (open.size() * 32)); }
};

End read_end(std::size_t period_words, std::size_t token_words) {
  const std::uint32_t tokens = read_words(1)[0];
  Words open = read_words(period_words);
  Words data = read_words(tokens * token_words);
  return {tokens, std::move(data), std::move(open), {}};
}

struct Job {
  std::size_t in_words, out_words;
  std::uint32_t patience;  // cycles without anything moving after which nothing will
  Words cfg;
  std::vector<End> sources, sinks;
};

Job read_job(const Words& head) {
  Job job{head[2], head[3], head[5], read_words(head[4]), {}, {}};
  for (std::uint32_t i = 0; i < head[0]; ++i)
    job.sources.push_back(read_end(head[6], job.in_words));
  for (std::uint32_t i = 0; i < head[1]; ++i) job.sinks.push_back(read_end(head[6], 0));
  return job;
}

template <typename Top> void tick(Top& top, unsigned clock) {
  put(top.clk, 0, clock);
  eval(top);
}

template <typename Top> void reset(Top& top, const Job& job) {
  put(top.rst, 0, 1);
  put(top.s_valid, 0, 0);
  put(top.m_ready, 0, 0);
  for (std::size_t i = 0; i < job.cfg.size(); ++i) put(top.cfg, i, job.cfg[i]);
  for (unsigned edge = 0; edge < 4; ++edge) tick(top, edge & 1);
  put(top.rst, 0, 0);
}

// Offers at the sources and at the sinks; gives the sources that do.
template <typename Top> std::uint32_t offer(Top& top, const Job& job, std::uint32_t cycle) {
  std::uint32_t offered = 0, taking = 0;
  for (std::size_t i = 0; i < job.sources.size(); ++i) {
    const End& source = job.sources[i];
    if (source.moved.size() == source.tokens || !source.is_open(cycle)) continue;
    offered |= 1u << i;
    for (std::size_t w = 0; w < job.in_words; ++w)
      put(top.s_data, i * job.in_words + w, source.data[source.moved.size() * job.in_words + w]);
  }
  for (std::size_t i = 0; i < job.sinks.size(); ++i)
    if (job.sinks[i].is_open(cycle)) taking |= 1u << i;
  put(top.s_valid, 0, offered);
  put(top.m_ready, 0, taking);
  return offered;
}

// Notes what moves in this cycle; whether anything does, inside too.
template <typename Top> bool take(Top& top, Job& job, std::uint32_t offered, std::uint32_t cycle) {
  const std::uint32_t in = offered & get(top.s_ready, 0), out = get(top.m_valid, 0);
  bool any = in || get(top.active, 0);
  for (std::size_t i = 0; i < job.sources.size(); ++i)
    if (in >> i & 1) job.sources[i].moved.push_back(cycle);
  for (std::size_t i = 0; i < job.sinks.size(); ++i) {
    End& sink = job.sinks[i];
    if (!(out >> i & 1) || !sink.is_open(cycle)) continue;
    any = true;
    sink.moved.push_back(cycle);
    for (std::size_t w = 0; w < job.out_words; ++w)
      sink.data.push_back(get(top.m_data, i * job.out_words + w));
  }
  return any;
}

bool stuck(const Job& job) {
  for (const auto* ends : {&job.sources, &job.sinks})
    for (const End& end : *ends)
      if (end.moved.size() < end.tokens) return true;
  return false;
}

// Whether a sink got a token too many: proof enough, and a block might never stop giving them.
bool surplus(const Job& job) {
  for (const End& sink : job.sinks)
    if (sink.moved.size() > sink.tokens) return true;
  return false;
}

void write_end(const End& end, bool data) {
  write({static_cast<std::uint32_t>(end.moved.size())});
  write(end.moved);
  if (data) write(end.data);
}

template <typename Top> void run(Top& top, Job& job) {
  reset(top, job);
  std::uint32_t cycle = 0, still = 0;
  for (; !surplus(job) && still < job.patience; ++cycle) {
    const std::uint32_t offered = offer(top, job, cycle);
    tick(top, 0);
    still = take(top, job, offered, cycle) ? 0 : still + 1;
    tick(top, 1);
  }
  write({cycle, stuck(job)});
  for (const End& source : job.sources) write_end(source, false);
  for (const End& sink : job.sinks) write_end(sink, true);
}

template <typename Top> void serve() {
  const auto top = std::make_unique<Top>();
  // sources, sinks, words of a token in and out, words of cfg, patience, words of a pattern
  for (Words head(7); read(head);) {
    Job job = read_job(head);
    run(*top, job);
  }
}

struct Block {
  std::string_view name;
  void (*serve)();
};

constexpr Block blocks[] = {
#include BLOCKS
};

}  // namespace

int main(int count, char** words) {
  for (const Block& block : blocks)
    if (count == 2 && block.name == words[1]) {
      block.serve();
      return 0;
    }
  return 2;
}
