// The register tile: R rows by NR columns (LAYOUT 0) or NR vectors of columns (LAYOUT 1) of each of
// PARTS matrices, summed over a stretch of the depth.
//
// LAYOUT 0, weights [columns, depth] as models ship them: a vector lies along the depth, and each
// sum is a vector until the end. LAYOUT 1, panels [columns / COLUMNS, depth, COLUMNS]: a vector lies
// along the columns, and each input is spread over one.
#pragma once

#include "vector.hpp"

constexpr int COLUMNS = LAYOUT ? NR * VECTOR : NR;  // of one tile
constexpr int DEEP = LAYOUT ? 1 : VECTOR;           // of the depth in one step
constexpr int LINE = 16;                            // floats of a cache line

// A matrix of one expert from some column on. depth: of the whole matrix.
struct Matrix {
  const float* start;
  long depth;

  Matrix from(long column) const { return {start + column * depth, depth}; }
  const float* at(int n, long k) const {
    return LAYOUT ? start + k * COLUMNS + n * VECTOR : start + n * depth + k;
  }
};

// Where rows of floats lie, `step` apart.
template <class Float>
struct Rows {
  Float* start;
  long step;

  Float* row(long r) const { return start + r * step; }
};

inline Vector input(const float* row, long k) {
  if constexpr (LAYOUT) return Vector{} + row[k];
  else return load(row + k);
}

inline void add(float* to, const Vector (&sums)[NR]) {
  FULLY_UNROLLED
  for (int n = 0; n < NR; ++n) {
    if constexpr (LAYOUT) store(to + n * VECTOR, load(to + n * VECTOR) + sums[n]);
    else to[n] += sum(sums[n]);
  }
}

// Adds to `out` of each part what the depth from `first` to `end` gives.
template <int R, int PARTS>
inline void tile(Rows<const float> in, const Matrix (&weights)[PARTS], long first, long end,
                 const Rows<float> (&out)[PARTS]) {
  Vector sums[R][PARTS][NR] = {};
  for (long start = first; start < end; start += UNROLL * DEEP) {
    FULLY_UNROLLED
    for (int step = 0; step < UNROLL; ++step) {
      const long k = start + step * DEEP;
      Vector weight[PARTS][NR];
      FULLY_UNROLLED
      for (int part = 0; part < PARTS; ++part) {
        FULLY_UNROLLED
        for (int n = 0; n < NR; ++n) {
          const float* from = weights[part].at(n, k);
          if constexpr (PREFETCH) __builtin_prefetch(from + PREFETCH * LINE);
          weight[part][n] = load(from);
        }
      }
      FULLY_UNROLLED
      for (int r = 0; r < R; ++r) {
        const Vector value = input(in.row(r), k);
        FULLY_UNROLLED
        for (int part = 0; part < PARTS; ++part) {
          FULLY_UNROLLED
          for (int n = 0; n < NR; ++n) sums[r][part][n] += value * weight[part][n];
        }
      }
    }
  }
  FULLY_UNROLLED
  for (int r = 0; r < R; ++r) {
    FULLY_UNROLLED
    for (int part = 0; part < PARTS; ++part) add(out[part].row(r), sums[r][part]);
  }
}
