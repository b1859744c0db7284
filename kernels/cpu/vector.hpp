// Vectors of VECTOR floats by the compiler's own extension, and what is done with them.
#pragma once

#if defined(__clang__)
#define FULLY_UNROLLED _Pragma("clang loop unroll(full)")
#else
#define FULLY_UNROLLED _Pragma("GCC unroll 1024")
#endif

using Vector = float __attribute__((vector_size(4 * VECTOR)));
using Places = int __attribute__((vector_size(4 * VECTOR)));
// In memory a vector begins at any float.
using Stored = float __attribute__((vector_size(4 * VECTOR), aligned(4), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Stored*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Stored*>(to) = value; }

using Four = float __attribute__((vector_size(16)));
using Eight = float __attribute__((vector_size(32)));
using Sixteen = float __attribute__((vector_size(64)));

// The sum of the elements, by halves.
inline float sum(Four v) { return (v[0] + v[2]) + (v[1] + v[3]); }
inline float sum(Eight v) {
  return sum(__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7));
}
inline float sum(Sixteen v) {
  return sum(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}

// e^x for x in [-87, 88]: x = n ln 2 + r, e^r by Taylor's series up to r^7, whose rest is below
// 2^-27 of it for |r| <= 0.35; ln 2 in two parts, the first short enough that n of it is exact.
inline Vector exponential(Vector x) {
  const Vector shift = Vector{} + 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const Vector n = (x * 1.44269504f + shift) - shift;
  const Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vector power = r * (1.0f / 5040) + 1.0f / 720;
  power = power * r + 1.0f / 120;
  power = power * r + 1.0f / 24;
  power = power * r + 1.0f / 6;
  power = power * r + 0.5f;
  power = power * r + 1.0f;
  power = power * r + 1.0f;
  const Places exponent = (__builtin_convertvector(n, Places) + 127) << 23;
  return power * __builtin_bit_cast(Vector, exponent);
}

// x / (1 + e^-x). Beyond 87 the exponential no longer matters to the quotient.
inline Vector silu(Vector x) {
  const Vector most = Vector{} + 87.0f;
  Vector minus = -x;
  minus = minus > most ? most : minus;
  minus = minus < -most ? -most : minus;
  return x / (1.0f + exponential(minus));
}
