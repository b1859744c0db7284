// The router's choice: the TOP_K best experts of each token, and their weights.
//
//   logits  [tokens, EXPERTS]  fp32
//   bias    [EXPERTS]          fp32, read with SCORING 1 only
//   experts [tokens, TOP_K]    int32, best first; of equal scores the lower expert comes first
//   weights [tokens, TOP_K]    fp32, times `scale`
//
// SCORING 0, softmax: chosen by the logit; the weight is exp(logit) over its sum, over all experts
// or, with RENORMALISE, over the chosen ones.
// SCORING 1, sigmoid: chosen by sigmoid(logit) + bias; the weight is sigmoid(logit), with
// RENORMALISE over its sum over the chosen ones (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).
//
// Grid: x = ceil(tokens * LANES / (32 * WARPS)). LANES neighbours of a warp hold the scores of a
// token in registers; lane j of them comes to hold the j-th choice.
#include "primitives.cuh"
#include "warp.cuh"

constexpr int kThreads = 32 * WARPS;
constexpr int kHeld = EXPERTS / LANES;
constexpr bool kSigmoid = SCORING == 1;

static_assert(kHeld % 4 == 0 && kHeld * LANES == EXPERTS, "lanes read whole 16-byte pieces");
static_assert((LANES & (LANES - 1)) == 0 && LANES <= 32, "lanes of a token lie in one warp");
static_assert(TOP_K <= LANES && TOP_K <= EXPERTS, "lane j holds the j-th choice");

// The expert whose score a lane holds at `place`: pieces of four go to the lanes in turn.
INLINE int expert_at(int place, int lane) {
  return (place / 4 * LANES + lane) * 4 + place % 4;
}
INLINE int lane_of(int expert) { return expert / 4 % LANES; }

// A number that rises with the score and, among equal scores, falls with the expert; never 0. The
// bits of floats rise with them once those of negative ones are turned round.
INLINE u64 rank_of(float score, int expert) {
  const u32 bits = __float_as_uint(score + 0.0f);  // -0 becomes 0, which it equals
  const u32 rising = bits ^ (bits >> 31 ? 0xFFFFFFFFu : 0x80000000u);
  return static_cast<u64>(rising) << 32 | ~static_cast<u32>(expert);
}
INLINE int expert_of(u64 rank) { return static_cast<int>(~static_cast<u32>(rank)); }

extern "C" __global__ void __launch_bounds__(kThreads)
route(const float* __restrict__ logits, const float* __restrict__ bias, int* __restrict__ experts,
      float* __restrict__ weights, int tokens, float scale) {
  const int lane = threadIdx.x % LANES;
  const int token = (blockIdx.x * kThreads + threadIdx.x) / LANES;
  // Lanes past the last token work on it too: a warp's exchanges need all of its lanes.
  const float* mine = logits + static_cast<u64>(min(token, tokens - 1)) * EXPERTS;

  float scores[kHeld];
  u64 ranks[kHeld];
#pragma unroll
  for (int i = 0; i < kHeld; i += 4) {
    const float4 four = *reinterpret_cast<const float4*>(mine + expert_at(i, lane));
    const float here[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int expert = expert_at(i + j, lane);
      scores[i + j] = kSigmoid ? __fdividef(1.0f, 1.0f + __expf(-here[j])) : here[j];
      ranks[i + j] = rank_of(kSigmoid ? scores[i + j] + bias[expert] : scores[i + j], expert);
    }
  }

  int chosen = 0;
  float weight = 0.0f;
#pragma unroll 1  // unrolled, the long body takes twice the registers and may spill
  for (int choice = 0; choice < TOP_K; ++choice) {
    u64 best = 0;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) best = max(best, ranks[i]);
#pragma unroll
    for (int apart = LANES / 2; apart > 0; apart /= 2) best = max(best, across(best, apart));
    float score = 0.0f;  // of the best, in the lane that holds it
#pragma unroll
    for (int i = 0; i < kHeld; ++i)
      if (ranks[i] == best) {
        score = scores[i];
        ranks[i] = 0;  // below every other: an expert is chosen once
      }
    score = from_lane<LANES>(score, lane_of(expert_of(best)));
    if (lane == choice) {
      chosen = expert_of(best);
      weight = score;
    }
  }

  float sum = kSigmoid ? 1.0f : 0.0f;
  if (!kSigmoid) {
    const float highest = from_lane<LANES>(weight, 0);  // of all: no exponential overflows
    weight = __expf(weight - highest);
    if (!RENORMALISE) {
#pragma unroll
      for (int i = 0; i < kHeld; ++i) sum += __expf(scores[i] - highest);
      sum = sum_of_lanes<LANES>(sum);
    }
  }
  if (RENORMALISE) sum = sum_of_lanes<LANES>(lane < TOP_K ? weight : 0.0f);
  if (token < tokens && lane < TOP_K) {
    experts[token * TOP_K + lane] = chosen;
    weights[token * TOP_K + lane] = __fdividef(scale * weight, sum);
  }
}
