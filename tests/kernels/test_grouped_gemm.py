"""grouped-gemm, split-reduce: sizes, rules, the meaning in float64 and the bounds of the error."""

from __future__ import annotations

import re

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels import build, kernel
from moesaic.kernels.compiled.execute import execute
from moesaic.kernels.library.experts import ExpertsShape, draw, reference, sums_of, swiglu
from moesaic.kernels.library.formats import BF16, DTYPES
from moesaic.kernels.library.grouped_gemm import GroupedGemmShape
from moesaic.kernels.library.split_reduce import SplitReduceShape
from moesaic.kernels.library.split_reduce import reference as added

GEMM = kernel("grouped-gemm")
ARCHES = (80, 89, 90, 100, 120)


def test_the_reference_is_swiglu_of_each_experts_rows():
    rng = np.random.default_rng(0)
    starts = ExpertsShape(rows=(2, 0, 3), depth=4, columns=5).row_starts()
    x, w = rng.standard_normal((5, 4)), rng.standard_normal((3, 10, 4))
    out = reference(x, w, starts, True)
    for row, expert in enumerate([0, 0, 2, 2, 2]):
        gate, up = w[expert, :5] @ x[row], w[expert, 5:] @ x[row]
        np.testing.assert_allclose(out[row], gate / (1 + np.exp(-gate)) * up)
    down = reference(x, w[:, :5], starts, False)
    np.testing.assert_allclose(down[4], w[2, :5] @ x[4])


def test_splits_add_up_to_the_whole():
    shape = GEMM.shapes["tails"]
    whole = GEMM.problem(GEMM.config("gate-up-16x64"), shape, 3)
    split = GEMM.problem(GEMM.config("gate-up-16x64-split4"), shape, 3)
    sums = split.expected["out"].value
    assert sums.shape == (4, 2, 96, 512)
    np.testing.assert_allclose(added(sums, True), whole.expected["out"].value, rtol=1e-9)


def test_tiles_count_the_tails_and_the_grid_holds_for_any_routing():
    config = GEMM.config("down-16x128")
    shape = GroupedGemmShape(rows=(0, 1, 16, 17), depth=128, columns=256)
    assert shape.row_starts().tolist() == [0, 0, 1, 17, 34]
    assert shape.tile_starts(config).tolist() == [0, 0, 1, 2, 4]
    launch = GEMM.launch(config, shape)
    # 34 rows on 4 experts need at most 5 tiles: 4 of a row each and one of the other 30.
    assert launch.grid == (2 * 5, 1, 1)
    assert launch.threads == 128
    assert launch.shared_bytes == 4 * (16 + 128) * 64 * 2
    for seed in range(20):
        rows = np.random.default_rng(seed).multinomial(34, [0.7, 0.1, 0.1, 0.1])
        spread = GroupedGemmShape(rows=tuple(rows.tolist()), depth=128, columns=256)
        assert spread.tile_starts(config)[-1] <= 5


def test_splits_and_a_walking_grid_change_the_number_of_blocks():
    shape = GroupedGemmShape(rows=(5,), depth=256, columns=256, blocks=7)
    assert GEMM.launch(GEMM.config("down-16x128-split4"), shape).grid == (2 * 4, 1, 1)
    assert GEMM.launch(GEMM.config("down-64x128-persistent"), shape).grid == (7, 1, 1)


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("down-16x128", (96, 128), "depth is read in whole tiles: depth % BK == 0"),
        ("down-16x128", (128, 192), "column tiles have no tail: columns % BN == 0"),
        ("down-16x128-split4", (192, 128), "every split has something to add"),
    ],
)
def test_a_shape_that_the_config_cannot_serve_is_refused(name, shape, sentence):
    with pytest.raises(BadInput, match=re.escape(sentence)):
        GEMM.launch(GEMM.config(name), GroupedGemmShape((4,), *shape))


@pytest.mark.parametrize("bad", [((), 1, 1), ((-1,), 1, 1), ((1,), 0, 1)])
def test_a_shape_without_sense_is_refused(bad):
    with pytest.raises(BadInput, match="at least one expert"):
        GroupedGemmShape(*bad)
    with pytest.raises(BadInput, match="at least one column"):
        SplitReduceShape(rows=1, columns=0)


def test_each_feature_and_each_shape_is_met_by_configs_of_every_architecture():
    for arch in ARCHES:
        configs = GEMM.registered(arch)
        assert len(configs) <= 48
        met = {(name, value) for config in configs.values() for name, value in config.items()}
        assert {(n, v) for n in ("FUSE_SWIGLU", "GATHER", "PERSISTENT") for v in (0, 1)} <= met
        assert {("SPLIT_K", 2), ("SPLIT_K", 4), ("FRAGMENTS", 2), ("DTYPE", 1)} <= met
        assert (("DTYPE", 2) in met) == (arch in (89, 120))
        served = {shape for config in configs.values() for shape in GEMM.serves(config)}
        assert served == set(GEMM.shapes)
        assert all("usual" in GEMM.serves(config) for config in configs.values())


def test_the_name_of_a_config_says_what_it_is():
    for name, config in GEMM.configs.items():
        assert f"-{config['BM']}x{config['BN']}" in name
        assert name.startswith("gate-up" if config["FUSE_SWIGLU"] else "down")
        assert ("gather" in name) == bool(config["GATHER"])
        assert ("persistent" in name) == bool(config["PERSISTENT"])
        assert ("split" in name) == (config["SPLIT_K"] > 1)
        assert ("bf16", "fp16", "e4m3")[config["DTYPE"]] in f"{name}-bf16"


@pytest.mark.parametrize("name", ["grouped-gemm", "split-reduce", "decode"])
def test_arguments_come_in_the_order_of_the_source(name):
    found = kernel(name)
    source = found.texts()[found.source]
    parameters = source[source.index(f"\n{found.entry}(") :].split(")", 1)[0]
    names = re.findall(r"(\w+)(?:,|$)", parameters)
    head = source[: source.index("#include")]
    for config in list(found.configs.values())[::6]:
        problem = found.problem(config, next(iter(found.shapes.values())), 0)
        assert list(problem.arguments) == names
    assert all(re.search(rf"\b{one}\b", head) for one in names)


@pytest.mark.parametrize("dtype", range(3))
def test_operands_that_no_row_reads_are_nan_and_scales_reach_the_top(dtype):
    shape = ExpertsShape(rows=(0, 3, 0, 2), depth=64, columns=8)
    operands = draw(shape, {"DTYPE": dtype, "FUSE_SWIGLU": 0, "GATHER": 1}, 0)
    rows, weights = operands.numbers()
    assert rows.shape == (5, 64)
    assert np.isfinite(rows).all()
    assert np.isnan(weights[[0, 2]]).all()
    assert np.isfinite(weights[[1, 3]]).all()
    assert np.isnan(DTYPES[dtype].decode(operands.inputs)[3:]).all()
    assert sorted(operands.tokens.tolist()) == [0, 0, 1, 1, 2]
    if dtype == 2:
        assert (np.abs(DTYPES[2].decode(operands.inputs))[:3].max(axis=1) == 448).all()


def test_a_sum_in_fp32_keeps_the_bound_and_the_wrong_expert_does_not():
    config, shape = GEMM.config("gate-up-64x64"), GEMM.shapes["usual"]
    problem = GEMM.problem(config, shape, 1)
    operands = draw(shape, config, 1)
    x, w = operands.numbers()
    starts = shape.row_starts()
    expected = problem.expected["out"]
    out = swiglu(*(sums.astype(np.float32) for sums in sums_of(operands, shape, slice(None))))
    assert expected.excess(BF16.encode(out)) <= 1
    off_by_one = np.clip(starts + np.array([0, 1, 1, 1, 0]), 0, starts[-1])
    assert expected.excess(BF16.encode(reference(x, w, off_by_one, True))) > 100
    assert expected.excess(np.asarray(problem.arguments["out"])) == np.inf


@pytest.mark.parametrize(
    ("name", "most"),
    [("gate-up-64x64", 1 / 500), ("down-64x128", 1 / 250), ("down-64x128-fp16", 1 / 1000),
     ("down-64x128-e4m3", 1 / 20), ("gate-up-64x64-gather-persistent-e4m3", 1 / 10)],
)  # fmt: skip
def test_a_bound_is_a_small_part_of_what_is_written(name, most):
    expected = GEMM.problem(GEMM.config(name), GEMM.shapes["usual"], 0).expected["out"]
    assert np.median(expected.bound) < most * np.std(expected.value)


@pytest.mark.parametrize(
    ("name", "arch"),
    [("gate-up-16x128", "sm_80"), ("down-128x256", "sm_90"), ("gate-up-64x64-ahead", "sm_100"),
     ("gate-up-64x64-gather-persistent-e4m3", "sm_120"), ("down-16x128-split4", "sm_89")],
)  # fmt: skip
def test_the_result_keeps_its_bound_without_bank_conflicts(run, name, arch):
    problem, done = run(GEMM, name, arch=arch)
    assert done.faults == ()
    assert problem.expected["out"].excess(done.outputs["out"]) <= 1
    assert done.counters.shared_conflicts == done.counters.ldmatrix_conflicts == 0


@pytest.mark.parametrize("name", ["gate-up-64x64", "down-64x128", "down-128x128"])
def test_order_of_warps_walk_of_blocks_and_loading_ahead_leave_the_bits(run, name):
    words = {"gate-up-64x64": "ahead", "down-64x128": "persistent"}.get(name, "persistent-ahead")
    _, plain = run(GEMM, name, "tails")
    _, early = run(GEMM, name, "tails", seed=5, late_copies=False)
    _, other = run(GEMM, f"{name}-{words}", "tails")
    np.testing.assert_array_equal(plain.outputs["out"], early.outputs["out"])
    np.testing.assert_array_equal(plain.outputs["out"], other.outputs["out"])


def test_the_multiplications_are_those_of_the_tiles(run):
    _, done = run(GEMM, "gate-up-64x64", "tails")
    # 65 and 31 rows are three tiles of 64; an mma makes 16 x 8 of 16 products, gate and up.
    tiles = 3 * 64 // 16 * (512 // 8) * (384 // 16) * 2
    assert sum(done.counters.multiplies.values()) == tiles
    # Both experts with rows and no other: every weight is read, each sector once by its array.
    assert done.counters.read_bytes["weights"] == 2 * (2 * 512) * 384 * 2


def test_split_sums_go_through_the_reduction_to_the_whole(run):
    parts, done = run(GEMM, "gate-up-16x64-split4")
    whole = GEMM.problem(GEMM.config("gate-up-16x64"), GEMM.shapes["usual"], 0)
    wanted = whole.expected["out"]
    out = np.asarray(whole.arguments["out"])
    reduce = kernel("split-reduce")
    launch = reduce.launch(reduce.config("gate-up-4"), SplitReduceShape(*out.shape))
    arguments = {"sums": done.outputs["out"], "out": out, "numbers": np.uint32(out.size)}
    added_up = execute(build(reduce, "gate-up-4", "sm_80"), launch, arguments)
    assert added_up.faults == ()
    assert parts.expected["out"].excess(done.outputs["out"]) <= 1
    # fp32 roundings of three more additions are far below those to bf16.
    assert wanted.excess(added_up.outputs["out"]) <= 1.01
