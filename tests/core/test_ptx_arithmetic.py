"""The executor's arithmetic, opcode by opcode, against numpy on 32 lanes of hostile numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from moesaic._core import PtxProgram

NUMPY: dict[str, Any] = {
    "u16": np.uint16, "s16": np.int16, "b16": np.uint16, "u32": np.uint32, "s32": np.int32,
    "b32": np.uint32, "f32": np.float32, "u64": np.uint64, "s64": np.int64, "b64": np.uint64,
    "f64": np.float64,
}  # fmt: skip


def program(opcode: str, result: str, sources: list[str], tail: str = "", guard: str = "") -> str:
    """A kernel that loads a number for each source from its own array, and stores the result."""
    names = [*(f"s{k}" for k in range(len(sources))), "d"]
    kinds = [*sources, "b32" if result == "pred" else result]
    lines = [".version 8.0", ".target sm_80", ".address_size 64", ".visible .entry k("]
    lines.append(",\n".join(f".param .u64 k_param_{i}" for i in range(len(names))))
    lines += [")", "{", ".reg .pred %p<4>;", ".reg .b32 %tid, %four;", ".reg .b64 %a<9>, %w<9>;"]
    lines += [f".reg .{kind} %{name};" for name, kind in zip(names, kinds, strict=True)]
    lines += ["mov.u32 %tid, %tid.x;"]
    for i, kind in enumerate(kinds):
        size = NUMPY[kind]().itemsize
        lines += [
            f"ld.param.u64 %a{i}, [k_param_{i}];",
            f"mul.wide.u32 %w{i}, %tid, {size};",
            f"add.s64 %a{i}, %a{i}, %w{i};",
        ]
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        lines.append(f"ld.global.{kind} %{name}, [%a{i}];")
    operands = ", ".join(f"%{name}" for name in names[:-1])
    lines.append("setp.lt.u32 %p1, %tid, 20;")
    if result == "pred":
        lines += [f"{opcode} %p0, {operands}{tail};", "selp.b32 %d, 1, 0, %p0;"]
    else:
        lines.append(f"{guard}{opcode} %d, {operands}{tail};")
    lines += [f"st.global.{kinds[-1]} [%a{len(sources)}], %d;", "ret;", "}"]
    return "\n".join(lines)


def run(text, arrays):
    found = PtxProgram(text, "k").run(
        grid=(1, 1, 1),
        threads=(32, 1, 1),
        shared_bytes=0,
        arrays=arrays,
        values=[(i + 1) << 40 for i in range(len(arrays))],
        seed=0,
        late_copies=True,
        most_instructions=10**6,
    )
    return found["faults"]


def numbers(kind: str, rng: np.random.Generator) -> np.ndarray:
    """32 numbers of a kind, the ends of its range among them."""
    dtype = NUMPY[kind]
    if kind[0] == "f":
        edges = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 1e-30, -1e30, np.inf, -np.inf, np.nan]
        return np.concatenate(
            [edges, rng.normal(size=20) * 10.0 ** rng.integers(-3, 12, 20)]
        ).astype(dtype)
    info = np.iinfo(dtype)
    edges = [0, 1, 2, 3, 31, 32, 33, info.max, info.max - 1, info.min, info.min // 2, 5]
    rest = rng.integers(info.min, info.max, 20, dtype=dtype, endpoint=True)
    return np.concatenate([np.array(edges, dtype), rest])


def shifted(a, by, bits):
    by = by.astype(np.uint64)
    wide = a.astype(object)
    return np.array(
        [(int(x) << int(b)) % 2**bits if b < bits else 0 for x, b in zip(wide, by, strict=True)],
        a.dtype,
    )


def shifted_right(a, by, bits):
    return np.array([int(x) >> min(int(b), bits) for x, b in zip(a, by, strict=True)], a.dtype)


def as_int(a, b, f, bits, signed):
    """f in whole numbers of any size, cut to the bits."""
    out = [f(int(x), int(y)) % 2**bits for x, y in zip(a, b, strict=True)]
    cut = np.array(out, np.uint64).astype(f"u{bits // 8}")
    return cut.view(f"i{bits // 8}") if signed else cut


def quotient(a, b):
    """Toward zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a, b):
    return a - b * quotient(a, b)


CASES: dict[str, Any] = {}
for kind in ("u16", "s16", "u32", "s32", "u64", "s64"):
    bits, signed = int(kind[1:]), kind[0] == "s"
    for word, of in (
        ("add", lambda x, y: x + y),
        ("sub", lambda x, y: x - y),
        ("mul.lo", lambda x, y: x * y),
        ("min", min),
        ("max", max),
    ):
        CASES[f"{word}.{kind}"] = (
            kind, [kind, kind], lambda a, b, f=of, n=bits, s=signed: as_int(a, b, f, n, s),
        )  # fmt: skip
    for word, compare in (
        ("eq", np.equal), ("ne", np.not_equal), ("lt", np.less), ("le", np.less_equal),
        ("gt", np.greater), ("ge", np.greater_equal),
    ):  # fmt: skip
        CASES[f"setp.{word}.{kind}"] = ("pred", [kind, kind], compare)
for kind in ("u32", "s32"):
    signed = kind[0] == "s"
    wide = kind[0] + "64"
    CASES[f"mul.wide.{kind}"] = (
        wide, [kind, kind], lambda a, b, s=signed: as_int(a, b, lambda x, y: x * y, 64, s),
    )  # fmt: skip
    CASES[f"mul.hi.{kind}"] = (
        kind, [kind, kind], lambda a, b, s=signed: as_int(a, b, lambda x, y: x * y >> 32, 32, s),
    )  # fmt: skip
    CASES[f"mad.lo.{kind}"] = (
        kind, [kind, kind, kind],
        lambda a, b, c, s=signed: as_int(
            as_int(a, b, lambda x, y: x * y, 32, s), c, lambda x, y: x + y, 32, s
        ),
    )  # fmt: skip
    CASES[f"mad.wide.{kind}"] = (
        wide, [kind, kind, wide],
        lambda a, b, c, s=signed: as_int(
            as_int(a, b, lambda x, y: x * y, 64, s), c, lambda x, y: x + y, 64, s
        ),
    )  # fmt: skip
for kind in ("u64", "s64"):
    CASES[f"mul.hi.{kind}"] = (
        kind, [kind, kind],
        lambda a, b, s=kind[0] == "s": as_int(a, b, lambda x, y: x * y >> 64, 64, s),
    )  # fmt: skip
for kind in ("b16", "b32", "b64"):
    for word, of in (("and", np.bitwise_and), ("or", np.bitwise_or), ("xor", np.bitwise_xor)):
        CASES[f"{word}.{kind}"] = (kind, [kind, kind], of)
    CASES[f"not.{kind}"] = (kind, [kind], np.invert)
    CASES[f"shl.{kind}"] = (
        kind, [kind, "u32"], lambda a, by, n=int(kind[1:]): shifted(a, by, n),
    )  # fmt: skip
for kind in ("u16", "s16", "u32", "s32", "u64", "s64", "b32", "b64"):
    CASES[f"shr.{kind}"] = (
        kind, [kind, "u32"], lambda a, by, n=int(kind[1:]): shifted_right(a, by, n),
    )  # fmt: skip
for kind in ("f32", "f64"):
    CASES |= {
        f"add.{kind}": (kind, [kind, kind], np.add),
        f"sub.{kind}": (kind, [kind, kind], np.subtract),
        f"mul.{kind}": (kind, [kind, kind], np.multiply),
        f"div.rn.{kind}": (kind, [kind, kind], np.divide),
        f"min.{kind}": (kind, [kind, kind], np.fmin),
        f"max.{kind}": (kind, [kind, kind], np.fmax),
        f"neg.{kind}": (kind, [kind], np.negative),
        f"abs.{kind}": (kind, [kind], np.abs),
        f"setp.lt.{kind}": ("pred", [kind, kind], np.less),
        f"setp.ge.{kind}": ("pred", [kind, kind], np.greater_equal),
        f"setp.neu.{kind}": ("pred", [kind, kind], np.not_equal),
        f"setp.ne.{kind}": (
            "pred", [kind, kind], lambda a, b: (a != b) & ~np.isnan(a) & ~np.isnan(b),
        ),
        f"setp.ltu.{kind}": ("pred", [kind, kind], lambda a, b: ~(a >= b)),
        f"setp.nan.{kind}": ("pred", [kind, kind], lambda a, b: np.isnan(a) | np.isnan(b)),
    }  # fmt: skip


def bit_field(a, at, length):
    at, length = int(at) & 255, int(length) & 255
    return (int(a) >> at) & (2**length - 1)


def signed_field(bits):
    """The field, its last bit repeated above it; where it ends beyond the number, the number's."""

    def of(a, at, length):
        if length == 0:
            return 0
        last = min(at + length - 1, bits - 1)
        kept = (a % 2**bits) >> at & (2 ** (last - at + 1) - 1) if at <= last else 0
        sign = a % 2**bits >> last & 1
        return kept - sign * 2 ** max(last - at + 1, 0)

    return lambda *a: np.array([of(*map(int, x)) for x in zip(*a, strict=True)], f"i{bits // 8}")


def inserted(a, b, at, length, bits=32):
    at, length = int(at) & 255, int(length) & 255
    field = ((2**length - 1) << at) % 2**bits if at < bits else 0
    return (int(b) & ~field) | ((int(a) << at) & field)


def permuted(a, b, selector):
    pool = [int(x) >> 8 * k & 255 for x in (a, b) for k in range(4)]
    out = 0
    for k in range(4):
        pick = int(selector) >> 4 * k & 15
        byte = pool[pick & 7]
        out |= (255 * (byte >> 7) if pick & 8 else byte) << 8 * k
    return out


def each(f, kind: Any = np.uint32):
    return lambda *a: np.array([f(*map(int, x)) for x in zip(*a, strict=True)], np.uint64).astype(
        kind
    )


def saturated(how, dtype):
    def of(a):
        info = np.iinfo(dtype)
        return np.array(
            [
                0 if np.isnan(x) else info.max if x > info.max else info.min if x < info.min
                else int(how(x)) for x in a.astype(float)
            ], dtype,
        )  # fmt: skip

    return of


def to_bf16(a):
    bits = a.view(np.uint32).astype(np.uint64)
    return np.where(np.isnan(a), 0x7FFF, (bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint32)


def to_f16(a):
    with np.errstate(over="ignore"):
        return np.where(np.isnan(a), 0x7FFF, a.astype(np.float16).view(np.uint16)).astype(np.uint32)


CASES |= {
    "popc.b32": ("u32", ["b32"], each(lambda x: x.bit_count())),
    "popc.b64": ("u32", ["b64"], each(lambda x: x.bit_count())),
    "clz.b32": ("u32", ["b32"], each(lambda x: 32 - x.bit_length())),
    "clz.b64": ("u32", ["b64"], each(lambda x: 64 - x.bit_length())),
    "brev.b32": ("b32", ["b32"], each(lambda x: int(f"{x:032b}"[::-1], 2))),
    "bfind.u32": ("u32", ["u32"], each(lambda x: (x.bit_length() - 1) % 2**32)),
    "bfe.u32": ("u32", ["u32", "u32", "u32"], each(bit_field)),
    "bfi.b32": ("b32", ["b32", "b32", "u32", "u32"], each(inserted)),
    "prmt.b32": ("b32", ["b32", "b32", "b32"], each(permuted)),
    "shf.l.wrap.b32": (
        "b32", ["b32", "b32", "u32"],
        each(lambda a, b, n: ((b << 32 | a) << (n & 31) >> 32) % 2**32),
    ),
    "shf.r.wrap.b32": (
        "b32", ["b32", "b32", "u32"], each(lambda a, b, n: ((b << 32 | a) >> (n & 31)) % 2**32),
    ),
    "fma.rn.f64": ("f64", ["f64", "f64", "f64"], None),
    "bfe.s32": ("s32", ["s32", "u32", "u32"], signed_field(32)),
    "bfe.s64": ("s64", ["s64", "u32", "u32"], signed_field(64)),
    "bfe.u64": ("u64", ["u64", "u32", "u32"], each(bit_field, np.uint64)),
    "bfi.b64": (
        "b64", ["b64", "b64", "u32", "u32"],
        each(lambda a, b, c, d: inserted(a, b, c, d, 64), np.uint64),
    ),
    "mad.hi.u32": ("u32", ["u32"] * 3, each(lambda a, b, c: ((a * b >> 32) + c) % 2**32)),
    "mad.wide.u16": ("u32", ["u16", "u16", "u32"], each(lambda a, b, c: (a * b + c) % 2**32)),
    "mul.wide.u16": ("u32", ["u16", "u16"], each(lambda a, b: a * b)),
    "cvt.rn.bf16.f32": ("b16", ["f32"], to_bf16),
    "cvt.rn.f16.f32": ("b16", ["f32"], to_f16),
    "cvt.s64.s32": ("s64", ["s32"], lambda a: a.astype(np.int64)),
    "cvt.u64.u32": ("u64", ["u32"], lambda a: a.astype(np.uint64)),
    "cvt.u32.u64": ("u32", ["u64"], lambda a: a.astype(np.uint32)),
    "cvt.u16.u32": ("u16", ["u32"], lambda a: a.astype(np.uint16)),
    "cvt.s32.s16": ("s32", ["s16"], lambda a: a.astype(np.int32)),
    "cvt.rn.f32.s32": ("f32", ["s32"], lambda a: a.astype(np.float32)),
    "cvt.rn.f32.u64": ("f32", ["u64"], lambda a: a.astype(np.float32)),
    "cvt.rzi.s32.f32": ("s32", ["f32"], saturated(np.trunc, np.int32)),
    "cvt.rni.s32.f32": ("s32", ["f32"], saturated(np.rint, np.int32)),
    "cvt.rmi.u32.f32": ("u32", ["f32"], saturated(np.floor, np.uint32)),
    "cvt.rpi.s64.f32": ("s64", ["f32"], saturated(np.ceil, np.int64)),
    "cvt.f64.f32": ("f64", ["f32"], lambda a: a.astype(np.float64)),
    "cvt.f32.bf16": ("f32", ["b16"], lambda a: (a.astype(np.uint32) << 16).view(np.float32)),
    "cvt.f32.f16": ("f32", ["b16"], lambda a: a.view(np.float16).astype(np.float32)),
    "cvt.rn.bf16x2.f32": ("b32", ["f32", "f32"], lambda a, b: to_bf16(a) << 16 | to_bf16(b)),
    "cvt.rn.f16x2.f32": ("b32", ["f32", "f32"], lambda a, b: to_f16(a) << 16 | to_f16(b)),
}  # fmt: skip
del CASES["fma.rn.f64"]


@pytest.mark.parametrize("opcode", CASES)
def test_an_opcode_gives_what_numpy_gives(opcode):
    result, sources, expected = CASES[opcode]
    rng = np.random.default_rng(sum(map(ord, opcode)))
    arrays = [numbers(kind, rng) for kind in sources]
    for array in arrays[1:]:
        rng.shuffle(array)
    if opcode.startswith("sh"):
        arrays[-1] = rng.integers(0, 70, 32, dtype=np.uint32)
    if opcode.startswith("bf") and len(arrays) > 2:
        arrays[-2:] = [rng.integers(0, 40, 32, dtype=np.uint32) for _ in range(2)]
    out = np.zeros(32, NUMPY["b32" if result == "pred" else result])
    faults = run(program(opcode, result, sources), [*arrays, out])
    assert faults == []
    with np.errstate(all="ignore"):
        want = np.asarray(expected(*arrays)).astype(out.dtype)
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("opcode", ["add.s32", "mul.wide.s32", "fma.rn.f32", "cvt.u64.u32"])
def test_lanes_whose_guard_fails_keep_what_they_had(opcode):
    result, sources = {
        "add.s32": ("s32", ["s32", "s32"]),
        "mul.wide.s32": ("s64", ["s32", "s32"]),
        "fma.rn.f32": ("f32", ["f32", "f32", "f32"]),
        "cvt.u64.u32": ("u64", ["u32"]),
    }[opcode]
    rng = np.random.default_rng(1)
    arrays = [numbers(kind, rng) for kind in sources]
    first = numbers(result, rng)
    all_lanes, some_lanes = first.copy(), first.copy()
    assert run(program(opcode, result, sources), [*arrays, all_lanes]) == []
    assert run(program(opcode, result, sources, guard="@%p1 "), [*arrays, some_lanes]) == []
    np.testing.assert_array_equal(some_lanes[:20], all_lanes[:20])
    np.testing.assert_array_equal(some_lanes[20:], first[20:])


@pytest.mark.parametrize("word", ["div", "rem"])
@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_whole_division_goes_toward_zero(word, kind):
    rng = np.random.default_rng(2)
    a, b = numbers(kind, rng), rng.permutation(numbers(kind, rng))
    b[b == 0] = 7
    out = np.zeros_like(a)
    assert run(program(f"{word}.{kind}", kind, [kind, kind]), [a, b, out]) == []
    of = quotient if word == "div" else remainder
    want = as_int(a, b, of, int(kind[1:]), kind[0] == "s")
    np.testing.assert_array_equal(out, want)


def test_a_fused_multiply_add_is_rounded_once():
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=32).astype(np.float32) for _ in range(2))
    c = (-(a.astype(np.float64) * b)).astype(np.float32)  # what is left is the product's rounding
    out = np.zeros(32, np.float32)
    assert run(program("fma.rn.f32", "f32", ["f32"] * 3), [a, b, c, out]) == []
    np.testing.assert_array_equal(out, (a.astype(np.float64) * b + c).astype(np.float32))
    assert np.any(out != 0)


@pytest.mark.parametrize("table", [0x00, 0x96, 0xE8, 0x6A, 0xFF])
def test_lop3_looks_each_bit_up(table):
    rng = np.random.default_rng(table)
    a, b, c = (rng.integers(0, 2**32, 32, dtype=np.uint32) for _ in range(3))
    out = np.zeros(32, np.uint32)
    assert run(program("lop3.b32", "b32", ["b32"] * 3, f", {table}"), [a, b, c, out]) == []
    want = np.zeros(32, np.uint32)
    for bit in range(32):
        row = (a >> bit & 1) * 4 + (b >> bit & 1) * 2 + (c >> bit & 1)
        want |= (table >> row & 1).astype(np.uint32) << np.uint32(bit)
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize(
    ("opcode", "of"),
    [
        ("ex2.approx.f32", np.exp2),
        ("lg2.approx.f32", np.log2),
        ("rcp.approx.f32", np.reciprocal),
        ("rsqrt.approx.f32", lambda a: 1 / np.sqrt(a)),
        ("sqrt.rn.f32", np.sqrt),
        ("tanh.approx.f32", np.tanh),
    ],
)
def test_approximations_lie_within_two_units_of_the_last_place(opcode, of):
    a = np.random.default_rng(4).uniform(0.01, 20, 32).astype(np.float32)
    out = np.zeros(32, np.float32)
    assert run(program(opcode, "f32", ["f32"]), [a, out]) == []
    exact = of(a.astype(np.float64))
    assert np.all(np.abs(out - exact) <= 2 * np.spacing(np.abs(exact).astype(np.float32)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("add.s32 %d", "addd.s32 %d"), "does not know this instruction"),
        (("add.s32 %d, %s0, %s1", "add.s32 %d, %s0, %w1"), "not known"),
        (("add.s32 %d, %s0, %s1", "add.s32 %d, %s0"), "operands of this kind"),
        (("ret;", "bra nowhere;"), "no such label"),
        (("[k_param_0]", "[k_param_9]"), "no such parameter"),
        ((".reg .b32 %tid", ".reg .b128 %tid"), "registers of this type"),
        (("ret;\n}", "ret;\n"), "does not end"),
        ((".entry k(", ".entry j("), "no entry called k"),
        (("ret;", ""), "does not end with a return"),
        (("mul.wide.u32 %w0, %tid, 4", "mul.wide.u32 %w0, %tid, 4x"), "is not a number"),
    ],
)
def test_text_that_it_does_not_know_is_refused_with_the_line(change, words):
    text = program("add.s32", "s32", ["s32", "s32"])
    assert change[0] in text
    with pytest.raises(ValueError, match=words):
        PtxProgram(text.replace(*change), "k")


PROGRAMS = [
    program("mad.wide.s32", "s64", ["s32", "s32", "s64"]),
    program("setp.lt.f32", "pred", ["f32", "f32"]),
    program("bfi.b32", "b32", ["b32", "b32", "u32", "u32"]),
]
PIECES = [
    "%p1", "%d", "%s0", "%a0", "_", "{%d, %d}", "[%a0]", "[%a0+-8]", "-1", "0f3F800000", "!",
    "@%p1", ";", "{", "}", "bra ", "ret;", ".reg .b32 %x<9>;", ".shared .b8 v[64];", "%tid.x",
    "vote.sync.ballot.b32", "0x7fffffffffffffff", "shfl.sync.bfly.b32", "bar.sync 0;", "v:",
    ".loc 1", "ldmatrix.sync.aligned.m8n8.x1.shared.b16", "mov.b64", "cp.async.cg.shared.global",
]  # fmt: skip


def broken(text: str, rng: np.random.Generator) -> str:
    """The text with a few of its tokens lost, doubled, swapped or replaced."""
    tokens = re.findall(r"[%\w.:]+|\s+|.", text)
    for _ in range(rng.integers(1, 4)):
        at, other = rng.integers(0, len(tokens), 2)
        change = rng.integers(0, 4)
        if change == 0:
            tokens[at] = ""
        elif change == 1:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        elif change == 2:
            tokens[at] = str(rng.choice(PIECES))
        else:
            tokens.insert(at, tokens[other])
    return "".join(tokens)


@pytest.mark.parametrize("text", PROGRAMS)
def test_broken_text_is_refused_or_runs_within_its_bounds(text):
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(200):
        arrays = [np.zeros(64, np.uint64) for _ in range(8)]
        try:
            found = PtxProgram(broken(text, rng), "k")
        except ValueError:
            refused += 1
            continue
        count = len(found.parameters)
        found.run(
            grid=(2, 1, 1),
            threads=(48, 1, 1),
            shared_bytes=256,
            arrays=arrays[:count],
            values=[(i + 1) << 40 for i in range(count)],
            seed=0,
            late_copies=True,
            most_instructions=2000,
        )
    assert 50 < refused < 200
