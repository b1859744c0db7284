// The instructions that the kernels are made of, one PTX instruction each, and the words for them.
// No CUDA header is included, so NVRTC needs no include path.
#pragma once

typedef unsigned char e4m3;     // the 8 bits of an e4m3
typedef unsigned short bits16;  // the 16 bits of a bfloat16 or of a half
typedef unsigned int u32;
typedef unsigned long long u64;

enum Format { kBf16, kFp16, kE4m3 };  // the values of DTYPE

#define INLINE __device__ __forceinline__
#define SHARED_BYTES(name) extern __shared__ __align__(1024) unsigned char name[]

INLINE u32 shared_address(const void* pointer) {
  return static_cast<u32>(__cvta_generic_to_shared(pointer));
}

// 16 bytes from global to shared memory without a register; zeros where `there` is false. sm_80.
INLINE void copy_16_bytes(u32 to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :: "r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}

// Closes the group of this thread's copies since the last call.
INLINE void close_copy_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `Pending` of this thread's groups are still under way.
template <int Pending> INLINE void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" :: "n"(Pending) : "memory");
}

// 16 bytes that stay as they are while the kernel runs.
INLINE void load_16_bytes(u32 (&to)[4], const void* from) {
  asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "l"(from));
}

// The same, of what nobody reads again: it passes by the first-level cache.
INLINE void load_16_bytes_once(u32 (&to)[4], const void* from) {
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "l"(from));
}

// Four 8 x 8 matrices of 16-bit numbers: lane 8m + r names row r of matrix m (16 bytes), and every
// lane gets two neighbours of row lane / 4 of each matrix. Or 8 x 16 of 8-bit numbers: four
// neighbours, the same bytes.
INLINE void load_four_matrices(u32 (&to)[4], u32 row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(row) : "memory");
}

// sum[16 x 8] += left[16 x 16] * right[16 x 8] on the tensor cores, bf16 in, fp32 sums. sm_80.
INLINE void multiply_add_bf16(float (&sum)[4], const u32 (&left)[4], u32 low, u32 high) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(low), "r"(high));
}

// The same of halves. sm_80.
INLINE void multiply_add_fp16(float (&sum)[4], const u32 (&left)[4], u32 low, u32 high) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
               "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(low), "r"(high));
}

// product[16 x 8] = left[16 x 32] * right[32 x 8] of e4m3. sm_89.
INLINE void multiply_e4m3(float (&product)[4], const u32 (&left)[4], u32 low, u32 high) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
               "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %10, %10, %10};"
               : "=f"(product[0]), "=f"(product[1]), "=f"(product[2]), "=f"(product[3])
               : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(low), "r"(high),
                 "f"(0.0f));
}

// Two floats rounded to nearest even bf16; `first` lies at the lower address. sm_80.
INLINE u32 two_bf16(float first, float second) {
  u32 both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  return both;
}

// The same as halves. sm_80.
INLINE u32 two_fp16(float first, float second) {
  u32 both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  return both;
}

template <int Dtype> INLINE u32 two_rounded(float first, float second) {
  return Dtype == kFp16 ? two_fp16(first, second) : two_bf16(first, second);
}

// The number that 16 bits of the format stand for.
template <int Dtype> INLINE float widened(bits16 bits) {
  float value;
  if (Dtype == kFp16) asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  else value = __uint_as_float(static_cast<u32>(bits) << 16);
  return value;
}

// Four numbers rounded to 16 bits, 8 bytes; `to` is a multiple of 8.
template <int Dtype> INLINE void store_rounded(bits16* to, const float (&values)[4]) {
  *reinterpret_cast<uint2*>(to) = make_uint2(two_rounded<Dtype>(values[0], values[1]),
                                             two_rounded<Dtype>(values[2], values[3]));
}

// Four floats, 16 bytes; `to` is a multiple of 16.
INLINE void store_floats(float* to, const float (&values)[4]) {
  *reinterpret_cast<float4*>(to) = make_float4(values[0], values[1], values[2], values[3]);
}

// x * sigmoid(x) by the fast exponential and the fast division: within a few units of fp32, far
// below the rounding to 16 bits that follows.
INLINE float silu(float x) { return __fdividef(x, 1.0f + __expf(-x)); }

// The last of `count` ascending starts that is at or before `place`, found by a whole warp: what
// owns the place. What owns nothing starts where the next one does, and so is not the last.
INLINE int owner(const int* starts, int count, int place, int lane) {
  int started = 0;
  for (int first = 0; first < count; first += 32)
    started += __popc(__ballot_sync(~0u, first + lane < count && starts[first + lane] <= place));
  return started - 1;
}
