// Runs one Verilog block, verilated, on jobs from standard input; see drive.py for both formats.
//
// Compiled once a block: BLOCK is its class, HEADER the header that declares it. All blocks have the
// same ports: clk, rst, cfg, s_valid, s_ready, s_data, m_valid, m_ready, m_data, active.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include HEADER

namespace {

using Words = std::vector<std::uint32_t>;

// A port of up to 64 bits is a number to Verilator, a wider one an array of words.
template <typename Port> void put(Port& port, std::size_t at, std::uint32_t word) {
  if constexpr (std::is_integral_v<Port>)
    port = static_cast<Port>((port & ~(Port(0xffffffffu) << 32 * at)) | Port(word) << 32 * at);
  else
    port[at] = word;
}

template <typename Port> std::uint32_t get(const Port& port, std::size_t at) {
  if constexpr (std::is_integral_v<Port>)
    return static_cast<std::uint32_t>(port >> 32 * at);
  else
    return port[at];
}

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
  std::uint32_t tokens;  // to offer, or to wait for
  Words data;            // offered, or taken
  Words open;            // a bit a cycle
  Words moved;           // the cycle of each token
  bool ready(std::uint32_t cycle) const {
    return moved.size() < tokens && bit(open, cycle % (open.size() * 32));
  }
};

End read_end(std::size_t period_words, std::size_t token_words) {
  const std::uint32_t tokens = read_words(1)[0];
  Words open = read_words(period_words);
  Words data = read_words(tokens * token_words);
  return {tokens, std::move(data), std::move(open), {}};
}

struct Job {
  std::size_t in_words, out_words;
  std::uint32_t patience;  // cycles without anything moving after which the block is stuck
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

void reset(BLOCK& top, const Job& job) {
  top.rst = 1;
  top.s_valid = 0;
  top.m_ready = 0;
  for (std::size_t i = 0; i < job.cfg.size(); ++i) put(top.cfg, i, job.cfg[i]);
  for (int edge = 0; edge < 4; ++edge) {
    top.clk = edge & 1;
    top.eval();
  }
  top.rst = 0;
}

void offer(BLOCK& top, const Job& job, std::uint32_t cycle) {
  top.s_valid = 0;
  top.m_ready = 0;
  for (std::size_t i = 0; i < job.sources.size(); ++i) {
    const End& source = job.sources[i];
    if (!source.ready(cycle)) continue;
    top.s_valid |= 1u << i;
    for (std::size_t w = 0; w < job.in_words; ++w)
      put(top.s_data, i * job.in_words + w, source.data[source.moved.size() * job.in_words + w]);
  }
  for (std::size_t i = 0; i < job.sinks.size(); ++i)
    if (job.sinks[i].ready(cycle)) top.m_ready |= 1u << i;
}

bool take(BLOCK& top, Job& job, std::uint32_t cycle) {
  const unsigned in = top.s_valid & top.s_ready, out = top.m_valid & top.m_ready;
  for (std::size_t i = 0; i < job.sources.size(); ++i)
    if (in >> i & 1) job.sources[i].moved.push_back(cycle);
  for (std::size_t i = 0; i < job.sinks.size(); ++i) {
    if (!(out >> i & 1)) continue;
    job.sinks[i].moved.push_back(cycle);
    for (std::size_t w = 0; w < job.out_words; ++w)
      job.sinks[i].data.push_back(get(top.m_data, i * job.out_words + w));
  }
  return in || out || top.active;
}

bool over(const Job& job) {
  for (const auto* ends : {&job.sources, &job.sinks})
    for (const End& end : *ends)
      if (end.moved.size() < end.tokens) return false;
  return true;
}

void write_end(const End& end, bool data) {
  write({static_cast<std::uint32_t>(end.moved.size())});
  write(end.moved);
  if (data) write(end.data);
}

void run(BLOCK& top, Job& job) {
  reset(top, job);
  std::uint32_t cycle = 0, still = 0;
  for (; !over(job) && still < job.patience; ++cycle) {
    top.clk = 0;
    offer(top, job, cycle);
    top.eval();
    still = take(top, job, cycle) ? 0 : still + 1;
    top.clk = 1;
    top.eval();
  }
  write({cycle, !over(job)});
  for (const End& source : job.sources) write_end(source, false);
  for (const End& sink : job.sinks) write_end(sink, true);
}

}  // namespace

int main() {
  const auto top = std::make_unique<BLOCK>();
  // sources, sinks, words of a token in and out, words of cfg, patience, words of a pattern
  for (Words head(7); read(head);) {
    Job job = read_job(head);
    run(*top, job);
  }
  return 0;
}
