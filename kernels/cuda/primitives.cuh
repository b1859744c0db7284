// The instructions that the kernels are made of, one PTX instruction each, and the words for them.
// No CUDA header is included, so NVRTC needs no include path.
#pragma once

typedef unsigned short bf16;  // the 16 bits of a bfloat16
typedef unsigned int u32;
typedef unsigned long long u64;

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

// Four 8 x 8 matrices of 16-bit numbers: lane 8m + r names row r of matrix m (16 bytes), and every
// lane gets two neighbours of row lane / 4 of each matrix.
INLINE void load_four_matrices(u32 (&to)[4], u32 row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(row) : "memory");
}

// sum[16 x 8] += left[16 x 16] * right[16 x 8] on the tensor cores, bf16 in, fp32 sums. sm_80.
INLINE void multiply_add(float (&sum)[4], const u32 (&left)[4], u32 right_low, u32 right_high) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]),
                 "r"(right_low), "r"(right_high));
}

// Two floats rounded to nearest even bf16; `first` lies at the lower address.
INLINE u32 two_bf16(float first, float second) {
  u32 both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  return both;
}

// x * sigmoid(x) by the fast exponential and the fast division: within a few units of fp32, far
// below the rounding to bf16 that follows.
INLINE float silu(float x) { return __fdividef(x, 1.0f + __expf(-x)); }
