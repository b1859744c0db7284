"""The executor on small CUDA kernels: what lanes, warps and blocks do to each other, and what of it
is a fault."""

from __future__ import annotations

import numpy as np
import pytest

from moesaic._core import PtxProgram

SOURCE = r"""
typedef unsigned int u32;
typedef unsigned long long u64;
#define ENTRY extern "C" __global__ void
#define LANE (threadIdx.x % 32)

ENTRY copy_strided(const float* in, float* out, int stride) {
  out[threadIdx.x] = in[threadIdx.x * stride];
}
ENTRY copy_vectors(const float4* in, float4* out) { out[threadIdx.x] = in[threadIdx.x]; }
ENTRY banks(float* out, int stride) {
  __shared__ float s[32 * 33];
  s[threadIdx.x * stride] = 1;
  asm volatile("" ::: "memory");  // so that the compiler does read it
  out[threadIdx.x] = s[threadIdx.x * stride];
}
ENTRY transpose_bytes(const signed char* in, unsigned char* out, short* wide) {
  out[threadIdx.x] = (unsigned char)in[31 - threadIdx.x];
  wide[threadIdx.x] = in[threadIdx.x];
}
ENTRY collatz(const u32* in, u32* steps) {
  u32 x = in[threadIdx.x], n = 0;
  while (x != 1) { if (x % 2) x = 3 * x + 1; else x /= 2; ++n; }
  steps[threadIdx.x] = n;
}
ENTRY nested(const int* in, int* out) {
  int x = in[threadIdx.x], y = 0;
  for (int i = 0; i < x; ++i) {
    if (i % 3 == 0) continue;
    if (i > 20) break;
    for (int j = 0; j < i; ++j) y += j ^ x;
  }
  if (x < 0) return;
  out[threadIdx.x] = y;
}
ENTRY warp_sum(const int* in, int* out) {
  int x = in[threadIdx.x];
  for (int d = 16; d; d /= 2) x += __shfl_xor_sync(~0u, x, d);
  out[threadIdx.x] = x;
}
ENTRY shuffles(const int* in, int* out) {
  int x = in[threadIdx.x];
  out[threadIdx.x] = __shfl_up_sync(~0u, x, 3, 16);
  out[32 + threadIdx.x] = __shfl_down_sync(~0u, x, 5, 8);
  out[64 + threadIdx.x] = __shfl_sync(~0u, x, 9, 4);
  out[96 + threadIdx.x] = __shfl_xor_sync(~0u, x, 17);
}
ENTRY votes(const int* in, u32* out) {
  int x = in[threadIdx.x];
  out[threadIdx.x] = __ballot_sync(~0u, x > 10);
  out[32 + threadIdx.x] = __all_sync(~0u, x > 10) * 2 + __any_sync(~0u, x > 10);
  u32 same;
  asm("match.any.sync.b32 %0, %1, -1;" : "=r"(same) : "r"(x));
  out[64 + threadIdx.x] = same;
  u32 sum;
  asm("redux.sync.add.u32 %0, %1, -1;" : "=r"(sum) : "r"(x));
  out[96 + threadIdx.x] = sum;
}
ENTRY partial_vote(u32* out) {
  if (LANE < 8) out[LANE] = __ballot_sync(255u, LANE % 2);
}
ENTRY absent(u32* out) {
  if (LANE < 8) out[LANE] = __ballot_sync(~0u, LANE % 2);
  else out[LANE] = __shfl_sync(~0u, LANE, 3);
}
ENTRY histogram(const int* in, int* counts, int n) {
  __shared__ int own[8];
  if (threadIdx.x < 8) own[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    asm volatile("{ .reg .u32 t; atom.shared.add.u32 t, [%0], 1; }" ::
                 "r"((u32)__cvta_generic_to_shared(own + in[i])) : "memory");
  __syncthreads();
  if (threadIdx.x < 8)
    asm volatile("red.global.add.u32 [%0], %1;"
                 :: "l"(counts + threadIdx.x), "r"(own[threadIdx.x]));
}
ENTRY reverse(const float* in, float* out) {
  extern __shared__ float s[];
  s[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
}
ENTRY reverse_without_barrier(const float* in, float* out) {
  extern __shared__ float s[];
  s[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
}
ENTRY overwritten_too_soon(const float* in, float* out) {
  extern __shared__ float s[];
  float sum = 0;
  for (int round = 0; round < 3; ++round) {
    s[threadIdx.x] = in[threadIdx.x] * (round + 1);
    __syncthreads();
    sum += s[blockDim.x - 1 - threadIdx.x];
  }
  out[threadIdx.x] = sum;
}
ENTRY warp_private(const float* in, float* out) {
  extern __shared__ float s[];
  s[threadIdx.x] = in[threadIdx.x];
  __syncwarp();
  out[threadIdx.x] = s[threadIdx.x ^ 31];
}
ENTRY warp_private_unsynced(const float* in, float* out) {
  extern __shared__ float s[];
  s[threadIdx.x] = in[threadIdx.x];
  asm volatile("" ::: "memory");
  out[threadIdx.x] = s[threadIdx.x ^ 31];
}
ENTRY last_reader_writes(const float* in, float* out) {
  extern __shared__ float s[];
  s[threadIdx.x] = in[threadIdx.x];
  __syncwarp();
  const float x = s[0];  // all lanes read what the last one overwrites
  if (LANE == 31) s[0] = 7;
  out[threadIdx.x] = x;
}
ENTRY pairs_meet(const float* in, float* out) {
  extern __shared__ float s[];
  const int pair = threadIdx.x / 64 + 1;
  s[threadIdx.x] = in[threadIdx.x];
  asm volatile("barrier.sync.aligned %0, 64;" :: "r"(pair) : "memory");
  out[threadIdx.x] = s[threadIdx.x ^ 63];
}
ENTRY pairs_stray(const float* in, float* out) {
  extern __shared__ float s[];
  const int pair = threadIdx.x / 64 + 1;
  s[threadIdx.x] = in[threadIdx.x];
  asm volatile("barrier.sync.aligned %0, 64;" :: "r"(pair) : "memory");
  out[threadIdx.x] = s[threadIdx.x ^ 127];
}
ENTRY handed_over(float* out, int late) {
  extern __shared__ float s[];
  if (threadIdx.x < 32) {
    s[LANE] = LANE;
    asm volatile("barrier.arrive 1, 64;" ::: "memory");
    if (late) s[LANE] = 100;
  } else {
    asm volatile("barrier.sync 1, 64;" ::: "memory");
    out[LANE] = s[LANE];
  }
}
ENTRY too_few_meet(const float* in, float* out) {
  extern __shared__ float s[];
  s[threadIdx.x] = in[threadIdx.x];
  asm volatile("barrier.sync 1, 64;" ::: "memory");
  out[threadIdx.x] = s[threadIdx.x ^ 64];
}
ENTRY half_at_the_barrier(int* out) {
  asm volatile("{ .reg .pred p; setp.lt.u32 p, %0, 16; @p bar.sync 0; }" :: "r"(LANE));
  out[threadIdx.x] = 1;
}
ENTRY counted_and_read(u32* out) {
  __shared__ u32 n;
  if (threadIdx.x == 0) n = 0;
  __syncthreads();
  asm volatile("red.shared.add.u32 [%0], 1;" :: "r"((u32)__cvta_generic_to_shared(&n)) : "memory");
  if (threadIdx.x == blockDim.x - 1) out[0] = n;
}
ENTRY through_its_own_array(const int* in, float* out) {
  extern __shared__ float s[];
  float a[8];
  for (int i = 0; i < 8; ++i) a[in[i]] = s[i];
  out[threadIdx.x] = a[in[threadIdx.x % 8]];
}
ENTRY some_copy(const float4* in, float4* out, int n) {
  extern __shared__ float4 ring[];
  const u32 to = (u32)__cvta_generic_to_shared(ring + threadIdx.x);
  if (threadIdx.x < n) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(to), "l"(in + threadIdx.x));
    asm volatile("cp.async.commit_group;");
  }
  asm volatile("cp.async.wait_group 0;" ::: "memory");
  __syncthreads();
  if (threadIdx.x < n) out[threadIdx.x] = ring[n - 1 - threadIdx.x];
}
ENTRY three_of_four(const float* in, float* out) {
  extern __shared__ float4 v[];
  float* mine = (float*)(v + threadIdx.x);
  for (int i = 0; i < 3; ++i) mine[i] = in[threadIdx.x] + i;
  asm volatile("" ::: "memory");
  const float4 all = v[threadIdx.x];
  out[threadIdx.x] = all.x + all.y + all.z;
}
ENTRY volatile_readers(const float* in, float* out) {
  out[threadIdx.x] = *(const volatile float*)in + in[1 + 0 * threadIdx.x];
}
ENTRY here_and_there(const float* in, float* out) {
  __shared__ float s[32];
  s[LANE] = 100 + LANE;
  __syncwarp();
  const float* from = LANE % 2 ? s + LANE : in + LANE;
  float x;
  asm volatile("ld.f32 %0, [%1];" : "=f"(x) : "l"(from));
  out[LANE] = x;
}
ENTRY rounded(const float* in, float* out) {
  const float x = in[LANE];
  out[LANE] = floorf(x) + 100 * ceilf(x) + 10000 * truncf(x) + 1000000 * rintf(x);
}
ENTRY never_written(float* out) {
  extern __shared__ float s[];
  if (threadIdx.x < 16) s[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x] + 1;
}
ENTRY read_but_not_used(float* out) {
  extern __shared__ float s[];
  if (threadIdx.x < 16) s[threadIdx.x] = 1;
  __syncthreads();
  const float x = s[threadIdx.x] + 1;
  out[threadIdx.x] = threadIdx.x < 16 ? x : 0;
}
ENTRY branch_on_nothing(float* out) {
  extern __shared__ int t[];
  if (t[threadIdx.x] > 3) out[threadIdx.x] = 1;
}
ENTRY address_of_nothing(float* out) {
  extern __shared__ int t[];
  out[t[threadIdx.x]] = 1;
}
ENTRY beyond(const float* in, float* out, int shift) { out[threadIdx.x] = in[threadIdx.x + shift]; }
ENTRY askew(const char* in, float* out) {
  out[threadIdx.x] = *(const float*)(in + 4 * threadIdx.x + 1);
}
ENTRY beyond_shared(float* out, int shift) {
  extern __shared__ float s[];
  s[threadIdx.x + shift] = 1;
  asm volatile("" ::: "memory");
  out[threadIdx.x] = 1;
}
ENTRY blocks_meet(float* out) { out[threadIdx.x] = blockIdx.x; }
ENTRY blocks_read_each_other(int* data) {
  data[gridDim.x + blockIdx.x] = data[(blockIdx.x + 1) % gridDim.x];
  data[blockIdx.x] = 7;
}
ENTRY lanes_collide(int* out) { out[threadIdx.x / 2] = threadIdx.x; }
ENTRY deadlock(int* out) {
  if (threadIdx.x < 32) asm volatile("barrier.sync.aligned 1, 64;");
  else asm volatile("barrier.sync.aligned 2, 64;");
  out[0] = 1;
}
ENTRY divergent_barrier(int* out) {
  if (LANE < 16) asm volatile("bar.sync 1;");
  else asm volatile("bar.sync 2;");
  out[threadIdx.x] = 1;
}
ENTRY early_leavers(const int* in, int* out) {
  extern __shared__ int t[];
  if (threadIdx.x >= 64) return;
  t[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = t[63 - threadIdx.x];
}
ENTRY endless(volatile int* flag) { while (*flag == 0) {} }
ENTRY stops(int* out) { if (threadIdx.x == 5) __trap(); out[threadIdx.x] = 1; }
ENTRY own_array(const int* in, int* out) {
  int a[16];
  for (int i = 0; i < 16; ++i) a[i] = in[threadIdx.x] * i;
  out[threadIdx.x] = a[in[32 + threadIdx.x]];
}
ENTRY matrices(const unsigned short* in, u32* out) {
  __shared__ __align__(16) unsigned short s[4 * 64];
  for (int i = threadIdx.x; i < 256; i += 32) s[i] = in[i];
  __syncwarp();
  u32 a[4];
  const u32 row = (u32)__cvta_generic_to_shared(s + 8 * LANE);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(row));
  for (int m = 0; m < 4; ++m) out[32 * m + LANE] = a[m];
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(row));
  for (int m = 0; m < 4; ++m) out[128 + 32 * m + LANE] = a[m];
}
#define COPY(to, from, bytes) \
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" \
               :: "r"(to), "l"(from), "r"(bytes) : "memory")
ENTRY copies(const float4* in, float4* out, int rounds, int n) {
  extern __shared__ float4 ring[];
  const u32 base = (u32)__cvta_generic_to_shared(ring + threadIdx.x);
  const int width = blockDim.x;
  for (int r = 0; r < 2; ++r) {
    COPY(base + r * width * 16, in + r * width + threadIdx.x, r * width + threadIdx.x < n ? 16 : 0);
    asm volatile("cp.async.commit_group;");
  }
  for (int r = 0; r < rounds; ++r) {
    asm volatile("cp.async.wait_group " WAIT ";" ::: "memory");
    __syncthreads();
    out[r * width + threadIdx.x] = ring[r % 3 * width + (threadIdx.x ^ 33)];
    const int next = r + 2;
    if (next < rounds)
      COPY(base + next % 3 * width * 16, in + next * width + threadIdx.x,
           next * width + threadIdx.x < n ? 16 : 0);
    asm volatile("cp.async.commit_group;");
  }
}
"""


def compiled(**macros):
    cupy = pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    nvrtc = cupy.cuda.nvrtc
    program = nvrtc.createProgram(SOURCE, "small.cu", [], [])
    options = ["-arch=compute_80", "-default-device", "-lineinfo"]
    nvrtc.compileProgram(program, (*options, *(f"-D{k}={v}" for k, v in macros.items())))
    return nvrtc.getPTX(program).rstrip(b"\0").decode()


@pytest.fixture(scope="module")
def ptx():
    return compiled(WAIT='"1"')


def launch(
    text, entry, *arguments, grid=(1, 1, 1), threads=32, shared=0, seed=0, late=True, most=10**6
):
    """Runs the entry on arrays (in place) and numbers; (faults, counts, program, sectors)."""
    program = PtxProgram(text, entry)
    arrays, values = [], []
    for one in arguments:
        if isinstance(one, np.ndarray):
            arrays.append(one)
            values.append(len(arrays) << 40)
        else:
            values.append(int(one) % 2**32)
    found = program.run(
        grid=grid, threads=(threads, 1, 1), shared_bytes=shared, arrays=arrays, values=values,
        seed=seed, late_copies=late, most_instructions=most,
    )  # fmt: skip
    return found["faults"], found["counts"], program, found["sectors"]


def kinds(faults) -> set[str]:
    return {fault[0] for fault in faults}


def counted(counts, program, kind, column) -> int:
    return int(counts[np.array(program.kinds) == kind, column].sum())


@pytest.mark.parametrize(("stride", "sectors"), [(1, 4), (2, 8), (8, 32), (16, 32)])
def test_a_strided_load_touches_the_sectors_that_it_must(ptx, stride, sectors):
    data, out = np.arange(1024, dtype=np.float32), np.zeros(32, np.float32)
    faults, counts, program, moved = launch(ptx, "copy_strided", data, out, stride)
    assert faults == []
    np.testing.assert_array_equal(out, data[::stride][:32])
    assert counted(counts, program, "global load", 3) == sectors
    assert counted(counts, program, "global load", 2) == 128
    assert moved == [(sectors, 0), (0, 4)]


def test_vectors_of_sixteen_bytes_move_whole_sectors(ptx):
    data, out = np.arange(128, dtype=np.float32), np.zeros(128, np.float32)
    faults, counts, program, _ = launch(ptx, "copy_vectors", data, out)
    assert faults == []
    np.testing.assert_array_equal(out, data)
    assert counted(counts, program, "global load", 3) == 16


@pytest.mark.parametrize(("stride", "ways"), [(1, 1), (2, 2), (3, 1), (4, 4), (32, 32), (33, 1)])
def test_bank_conflicts_are_those_of_the_stride(ptx, stride, ways):
    out = np.zeros(32, np.float32)
    faults, counts, program, _ = launch(ptx, "banks", out, stride)
    assert faults == []
    for kind in ("shared load", "shared store"):
        assert counted(counts, program, kind, 4) == ways
        assert counted(counts, program, kind, 5) == ways - 1


def test_bytes_and_shorts_keep_their_signs(ptx):
    data = np.arange(-16, 16, dtype=np.int8)
    out, wide = np.zeros(32, np.uint8), np.zeros(32, np.int16)
    faults, *_ = launch(ptx, "transpose_bytes", data, out, wide)
    assert faults == []
    np.testing.assert_array_equal(out, data[::-1].view(np.uint8))
    np.testing.assert_array_equal(wide, data)


def test_lanes_that_leave_a_loop_wait_for_the_others(ptx):
    data = np.arange(1, 33, dtype=np.uint32)
    steps = np.zeros(32, np.uint32)
    faults, counts, program, _ = launch(ptx, "collatz", data, steps)

    def length(x):
        return 0 if x == 1 else 1 + length(3 * x + 1 if x % 2 else x // 2)

    assert faults == []
    np.testing.assert_array_equal(steps, [length(int(x)) for x in data])
    # All lanes store together: they have met again.
    assert counted(counts, program, "global store", 0) == 1


def test_nested_loops_breaks_and_early_returns(ptx):
    data = np.random.default_rng(0).integers(-5, 40, 32).astype(np.int32)
    out = np.full(32, -1, np.int32)
    faults, *_ = launch(ptx, "nested", data, out)
    want = []
    for x in map(int, data):
        y = sum(sum(j ^ x for j in range(i)) for i in range(max(x, 0)) if i % 3 and i <= 20)
        want.append(-1 if x < 0 else y)
    assert faults == []
    np.testing.assert_array_equal(out, want)


def test_shuffles_give_what_their_segments_say(ptx):
    data, out = np.arange(100, 132, dtype=np.int32), np.zeros(128, np.int32)
    faults, *_ = launch(ptx, "shuffles", data, out)
    lane = np.arange(32)
    up = np.where(lane % 16 >= 3, lane - 3, lane)
    down = np.where(lane % 8 + 5 < 8, lane + 5, lane)
    assert faults == []
    np.testing.assert_array_equal(out[:32], data[up])
    np.testing.assert_array_equal(out[32:64], data[down])
    np.testing.assert_array_equal(out[64:96], data[lane // 4 * 4 + 9 % 4])
    np.testing.assert_array_equal(out[96:], data[lane ^ 17])
    total = np.zeros(32, np.int32)
    assert launch(ptx, "warp_sum", data, total)[0] == []
    np.testing.assert_array_equal(total, data.sum())


def test_votes_matches_and_reductions(ptx):
    data, out = (np.arange(32) % 5 * 4).astype(np.int32), np.zeros(128, np.uint32)
    faults, *_ = launch(ptx, "votes", data, out)
    assert faults == []
    np.testing.assert_array_equal(out[:32], sum(1 << i for i in range(32) if data[i] > 10))
    np.testing.assert_array_equal(out[32:64], 1)
    same = [sum(1 << j for j in range(32) if data[j] == data[i]) for i in range(32)]
    np.testing.assert_array_equal(out[64:96], same)
    np.testing.assert_array_equal(out[96:], data.sum())


def test_a_vote_of_some_lanes_is_theirs_alone(ptx):
    out = np.zeros(32, np.uint32)
    assert launch(ptx, "partial_vote", out)[0] == []
    np.testing.assert_array_equal(out[:8], 0b10101010)
    assert "absent lanes" in kinds(launch(ptx, "absent", out)[0])


DETOUR = """.version 8.0
.target sm_80
.address_size 64
.visible .entry detour(.param .u64 detour_param_0) {
  .reg .pred %p<3>;
  .reg .b32 %r<5>;
  .reg .b64 %rd<4>;
  mov.u32 %r1, %tid.x;
  setp.lt.u32 %p1, %r1, 5;
  mov.u32 %r2, 1;
  @%p1 bra AWAY;
MEET:
  setp.ne.u32 %p2, %r2, 0;
  vote.sync.ballot.b32 %r3, %p2, 0xffffffff;
  ld.param.u64 %rd1, [detour_param_0];
  mul.wide.u32 %rd2, %r1, 4;
  add.s64 %rd3, %rd1, %rd2;
  st.global.u32 [%rd3], %r3;
  ret;
AWAY:
  mov.u32 %r2, 0;
  bra MEET;
}"""


def test_lanes_wait_at_a_vote_for_those_that_come_by_a_longer_way():
    out = np.zeros(32, np.uint32)
    assert launch(DETOUR, "detour", out)[0] == []
    np.testing.assert_array_equal(out, 0xFFFFFFE0)


def test_atomics_of_shared_and_global_memory_add_up(ptx):
    data, counts = (
        np.random.default_rng(0).integers(0, 8, 1000).astype(np.int32),
        np.zeros(8, np.int32),
    )
    faults, *_ = launch(ptx, "histogram", data, counts, 1000, grid=(3, 1, 1), threads=96)
    assert faults == []
    np.testing.assert_array_equal(counts, np.bincount(data, minlength=8))


@pytest.mark.parametrize("seed", range(3))
def test_a_barrier_orders_what_warps_do(ptx, seed):
    data, out = np.arange(128, dtype=np.float32), np.zeros(128, np.float32)
    assert launch(ptx, "reverse", data, out, threads=128, shared=512, seed=seed)[0] == []
    np.testing.assert_array_equal(out, data[::-1])
    faults, _, program, _ = launch(
        ptx, "reverse_without_barrier", data, out, threads=128, shared=512, seed=seed
    )
    assert "race" in kinds(faults)
    # The fault names the line that reads: the last but one of its function.
    line = (
        SOURCE.splitlines().index("ENTRY reverse_without_barrier(const float* in, float* out) {")
        + 1
    )
    assert {int(program.places[f[1], 1]) for f in faults if f[0] == "race"} <= {line + 2, line + 3}


def test_writing_again_before_all_have_read_is_a_race(ptx):
    data, out = np.ones(64, np.float32), np.zeros(64, np.float32)
    faults, *_ = launch(ptx, "overwritten_too_soon", data, out, threads=64, shared=256)
    assert kinds(faults) == {"race"}


def test_what_one_warp_does_alone_needs_no_barrier(ptx):
    data, out = np.arange(128, dtype=np.float32), np.zeros(128, np.float32)
    assert launch(ptx, "warp_private", data, out, threads=128, shared=512)[0] == []
    np.testing.assert_array_equal(out, data[np.arange(128) ^ 31])


def test_lanes_of_one_warp_need_a_barrier_of_the_warp(ptx):
    data, out = np.arange(32, dtype=np.float32), np.zeros(32, np.float32)
    for entry in ("warp_private_unsynced", "last_reader_writes"):
        ((kind, _, words, *_),) = launch(ptx, entry, data, out, shared=128)[0]
        assert kind == "race"
        assert "another lane of the warp" in words


def test_named_barriers_order_those_who_meet_there_only(ptx):
    data, out = np.arange(128, dtype=np.float32), np.zeros(128, np.float32)
    for seed in range(3):
        assert launch(ptx, "pairs_meet", data, out, threads=128, shared=512, seed=seed)[0] == []
        np.testing.assert_array_equal(out, data[np.arange(128) ^ 63])
        faults = launch(ptx, "pairs_stray", data, out, threads=128, shared=512, seed=seed)[0]
        assert "race" in kinds(faults)


@pytest.mark.parametrize("seed", range(4))
def test_who_only_arrives_hands_over_what_it_did_before_and_no_more(ptx, seed):
    out = np.zeros(32, np.float32)
    assert launch(ptx, "handed_over", out, 0, threads=64, shared=128, seed=seed)[0] == []
    np.testing.assert_array_equal(out, np.arange(32))
    assert kinds(launch(ptx, "handed_over", out, 1, threads=64, shared=128, seed=seed)[0]) == {
        "race"
    }


def test_a_barrier_of_two_warps_lets_two_warps_go(ptx):
    data, out = np.ones(128, np.float32), np.zeros(128, np.float32)
    faults = [
        launch(ptx, "too_few_meet", data, out, threads=128, shared=512, seed=seed)[0]
        for seed in range(8)
    ]
    assert any("race" in kinds(found) for found in faults)
    out = np.zeros(32, np.int32)
    assert "absent lanes" in kinds(launch(ptx, "half_at_the_barrier", out)[0])


@pytest.mark.parametrize("threads", [32, 128])
def test_a_plain_read_after_atomics_needs_a_barrier_whoever_came_last(ptx, threads):
    for seed in range(6):
        found = launch(ptx, "counted_and_read", np.zeros(1, np.uint32), threads=threads, seed=seed)
        assert kinds(found[0]) == {"race"}


def test_a_threads_own_array_does_not_make_data_defined(ptx):
    data, out = np.arange(8, dtype=np.int32), np.zeros(32, np.float32)
    assert kinds(launch(ptx, "through_its_own_array", data, out, shared=32)[0]) == {"uninitialised"}


def test_groups_of_copies_belong_to_lanes(ptx):
    data, out = np.arange(256, dtype=np.float32), np.zeros(256, np.float32)
    assert launch(ptx, "some_copy", data, out, 40, threads=64, shared=1024)[0] == []
    np.testing.assert_array_equal(out[:160].reshape(40, 4), data[:160].reshape(40, 4)[::-1])


def test_a_vector_is_undefined_element_by_element(ptx):
    data, out = np.ones(32, np.float32), np.zeros(32, np.float32)
    assert launch(ptx, "three_of_four", data, out, shared=512)[0] == []
    np.testing.assert_array_equal(out, 6)


def test_readers_that_are_volatile_are_still_readers(ptx):
    data, out = np.arange(8, dtype=np.float32), np.zeros(64, np.float32)
    faults, _, _, sectors = launch(ptx, "volatile_readers", data, out, threads=64)
    assert faults == []
    assert sectors[0] == (1, 0)


def test_lanes_of_one_load_may_look_at_different_memories(ptx):
    data, out = np.arange(32, dtype=np.float32), np.zeros(32, np.float32)
    assert launch(ptx, "here_and_there", data, out)[0] == []
    np.testing.assert_array_equal(out, np.where(np.arange(32) % 2, 100 + np.arange(32), data))


def test_floats_are_rounded_to_whole_ones_in_four_ways(ptx):
    data, out = np.linspace(-2, 2, 32, dtype=np.float32), np.zeros(32, np.float32)
    assert launch(ptx, "rounded", data, out)[0] == []
    x = data.astype(float)
    want = np.floor(x) + 100 * np.ceil(x) + 10000 * np.trunc(x) + 1000000 * np.rint(x)
    np.testing.assert_array_equal(out, want)


def test_what_nothing_has_written_must_not_be_used(ptx):
    out = np.zeros(32, np.float32)
    ((kind, _, _, _, thread, _),) = launch(ptx, "never_written", out, shared=128)[0]
    assert (kind, thread) == ("uninitialised", 16)
    assert launch(ptx, "read_but_not_used", out, shared=128)[0] == []
    for entry in ("branch_on_nothing", "address_of_nothing"):
        assert kinds(launch(ptx, entry, out, shared=128)[0]) == {"uninitialised"}


@pytest.mark.parametrize(("shift", "first"), [(1, 31), (40, 0), (-3, 0)])
def test_an_access_beyond_an_array_names_the_thread(ptx, shift, first):
    data, out = np.arange(32, dtype=np.float32), np.zeros(32, np.float32)
    faults = launch(ptx, "beyond", data, out, shift)[0]
    assert ("out of bounds", first) in {(f[0], f[4]) for f in faults}
    assert launch(ptx, "beyond", data, out, 0)[0] == []


def test_shared_memory_ends_where_the_launch_says(ptx):
    out = np.zeros(32, np.float32)
    assert launch(ptx, "beyond_shared", out, 0, shared=128)[0] == []
    assert kinds(launch(ptx, "beyond_shared", out, 1, shared=128)[0]) == {"out of bounds"}
    assert kinds(launch(ptx, "beyond_shared", out, 1 << 20, shared=128)[0]) == {"out of bounds"}


def test_an_address_must_divide_by_its_bytes(ptx):
    data, out = np.zeros(256, np.int8), np.zeros(32, np.float32)
    assert "misaligned" in kinds(launch(ptx, "askew", data, out)[0])


def test_blocks_have_no_order_among_them(ptx):
    out = np.zeros(32, np.float32)
    assert kinds(launch(ptx, "blocks_meet", out, grid=(2, 1, 1))[0]) == {"race"}
    # A read before the first write of an array: the run is made anew with that array watched.
    for seed in range(3):
        data = np.zeros(8, np.int32)
        faults = launch(ptx, "blocks_read_each_other", data, grid=(4, 1, 1), threads=1, seed=seed)[
            0
        ]
        assert kinds(faults) == {"race"}


def test_two_lanes_of_one_store_at_one_place_are_a_race(ptx):
    assert kinds(launch(ptx, "lanes_collide", np.zeros(16, np.int32))[0]) == {"race"}


def test_warps_that_wait_for_each_other_are_a_deadlock(ptx):
    out = np.zeros(64, np.int32)
    assert kinds(launch(ptx, "deadlock", out, threads=64)[0]) == {"deadlock"}
    assert "absent lanes" in kinds(launch(ptx, "divergent_barrier", out, threads=64)[0])


def test_threads_that_have_ended_are_not_waited_for(ptx):
    data, out = np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    assert launch(ptx, "early_leavers", data, out, threads=128, shared=256)[0] == []
    np.testing.assert_array_equal(out, data[::-1])


def test_a_loop_without_end_is_a_hang(ptx):
    ((kind, *_),) = launch(ptx, "endless", np.zeros(1, np.int32), threads=32)[0]
    assert kind == "hang"


def test_a_kernel_that_stops_itself_is_a_fault(ptx):
    ((kind, _, _, _, thread, times),) = launch(ptx, "stops", np.zeros(32, np.int32))[0]
    assert (kind, thread, times) == ("trap", 5, 1)


def test_a_threads_own_array_is_its_own(ptx):
    data = np.concatenate([np.arange(32), np.arange(32) % 16]).astype(np.int32)
    out = np.zeros(32, np.int32)
    assert launch(ptx, "own_array", data, out)[0] == []
    np.testing.assert_array_equal(out, np.arange(32) * (np.arange(32) % 16))


def test_ldmatrix_hands_out_rows_and_columns(ptx):
    data, out = np.arange(256, dtype=np.uint16), np.zeros(256, np.uint32)
    faults, counts, program, _ = launch(ptx, "matrices", data, out)
    assert faults == []
    assert counted(counts, program, "ldmatrix", 4) == 8
    words = out.view(np.uint16).reshape(2, 4, 32, 2)
    for matrix in range(4):
        rows = data[64 * matrix : 64 * matrix + 64].reshape(8, 8)
        np.testing.assert_array_equal(words[0, matrix].reshape(8, 8), rows)
        np.testing.assert_array_equal(words[1, matrix].reshape(8, 8), rows.T)


@pytest.mark.parametrize("late", [False, True])
def test_copies_land_when_they_are_waited_for(ptx, late):
    n, width = 300, 64
    data = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    out = np.zeros((6 * width, 4), np.float32)
    padded = np.zeros((6 * width, 4), np.float32)
    padded[:n] = data
    want = padded.reshape(6, width, 4)[:, np.arange(width) ^ 33].reshape(-1, 4)
    shared = 3 * width * 16
    source = np.concatenate([data, np.zeros((6 * width - n, 4), np.float32)])
    faults = launch(ptx, "copies", source, out, 6, n, threads=width, shared=shared, late=late)[0]
    assert faults == []
    np.testing.assert_array_equal(out, want)
    # Lanes that copy nothing read nothing: the array may end there.
    assert launch(ptx, "copies", data.copy(), out, 6, n, threads=width, shared=shared)[0] == []
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("late", [False, True])
def test_a_wait_for_too_few_copies_is_a_race_whenever_they_land(late):
    text = compiled(WAIT='"2"')
    data, out = np.ones((384, 4), np.float32), np.zeros((384, 4), np.float32)
    faults = launch(text, "copies", data, out, 6, 384, threads=64, shared=3072, late=late)[0]
    assert any("cp.async is still filling" in f[2] for f in faults)


def test_the_same_seed_gives_the_same_run(ptx):
    data, out = np.ones(64, np.float32), np.zeros(64, np.float32)
    runs = [
        launch(ptx, "overwritten_too_soon", data, out.copy(), threads=64, shared=256, seed=5)
        for _ in range(2)
    ]
    assert runs[0][0] == runs[1][0]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grid": (0, 1, 1)}, "1 to 2.22 blocks"),
        ({"threads": 1025}, "1 to 1024 threads"),
        ({"shared": 1 << 21}, "1 MiB of shared memory"),
    ],
)
def test_a_launch_that_cannot_be_is_refused(ptx, changes, words):
    with pytest.raises(ValueError, match=words):
        launch(ptx, "blocks_meet", np.zeros(32, np.float32), **changes)
    with pytest.raises(ValueError, match="has 1 parameters, the launch gives 2"):
        launch(ptx, "blocks_meet", np.zeros(32, np.float32), 3)
    frozen = np.zeros(32, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        launch(ptx, "blocks_meet", frozen)


def test_a_trace_tells_who_touched_which_sectors(ptx):
    program = PtxProgram(ptx, "copy_strided")
    data, out = np.arange(512, dtype=np.float32), np.zeros(32, np.float32)

    def traced(most, stride):
        return program.run(
            grid=(1, 1, 1), threads=(32, 1, 1), shared_bytes=0, arrays=[data, out],
            values=[1 << 40, 2 << 40, stride], seed=0, late_copies=True, most_instructions=1000,
            most_touches=most,
        )  # fmt: skip

    found = traced(100, 1)
    rows = [
        found["trace"][name].tolist() for name in ("array", "first_sector", "sectors", "writes")
    ]
    assert rows == [[0, 1], [0, 0], [4, 4], [False, True]]
    # Every other sector: runs of one. What is beyond the most is counted.
    assert traced(100, 16)["trace"]["sectors"].tolist() == [1] * 32 + [4]
    short = traced(1, 1)
    assert (len(short["trace"]["array"]), short["untraced"]) == (1, 1)
