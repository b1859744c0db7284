"""Are errors, cases and models what they say, and what do they say about the shipped tables?"""

import math

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.sweeps.accuracy import MODELS, compare, errors
from moesaic.sweeps.accuracy.cases import drawn_load, even_share, gemm_cases, moe_cases
from moesaic.sweeps.accuracy.predict import constant, roofline, roofline_busiest
from moesaic.sweeps.accuracy.prediction import Prediction
from moesaic.sweeps.chapters.comparisons import error_cells


@pytest.fixture(scope="module")
def h100():
    return compare("moe", "h100-sxm")


def test_errors_of_a_hand_made_band():
    predicted, measured = np.array([1.0, 2.0, 3.0, 8.0]), np.array([2.0, 2.0, 2.0, 2.0])
    row = errors("all", Prediction(seconds=predicted), measured)
    assert (row.band, row.rows) == ("all", 4)
    assert row.signed == pytest.approx(0.25)  # of -0.5, 0, 0.5, 3
    assert row.mape == pytest.approx(1.0)
    assert row.median_ape == pytest.approx(0.5)
    assert math.isnan(row.spearman)  # all measured alike: there is no order to find


def test_the_order_counts_for_spearman_not_the_size():
    measured = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert errors("", Prediction(seconds=measured**3), measured).spearman == pytest.approx(1)
    assert errors("", Prediction(seconds=1 / measured), measured).spearman == pytest.approx(-1)
    # 1 - 6 * (1 + 1) / (5 * 24): one neighbouring pair is swapped.
    swapped = np.array([2.0, 1.0, 3.0, 4.0, 5.0])
    assert errors("", Prediction(seconds=swapped), measured).spearman == pytest.approx(0.9)


def test_an_empty_band_has_no_errors():
    row = errors("none", Prediction(seconds=np.array([])), np.array([]))
    assert row.rows == 0
    assert math.isnan(row.mape)


def test_what_has_no_number_is_shown_as_a_dash():
    assert error_cells(errors("none", Prediction(seconds=np.array([])), np.array([]))) == (
        "none",
        "0",
        *"-----",
    )


def test_a_balanced_layer_by_hand(table):
    # 4 tokens, top 2 of 8 experts on 2 groups, 32 wide on 2 devices: 4 rows meet the 4 local
    # experts; gate and up are 64 -> 2 * 16, down is 16 -> 64, all in 2 bytes.
    up, down = moe_cases(table("moe", {"ep": 2, "tp": 2}))
    assert (up.name, down.name) == ("experts.gate_up", "experts.down")
    assert up.flops.tolist() == [2 * 4 * 64 * 32]
    assert up.weight_bytes.tolist() == [4 * 64 * 32 * 2]
    assert up.activation_bytes.tolist() == [4 * (64 + 32) * 2]
    assert down.flops.tolist() == [2 * 4 * 16 * 64]
    assert down.weight_bytes.tolist() == [4 * 16 * 64 * 2]


def test_without_a_gate_the_first_product_is_half_as_wide(table):
    gated, plain = (moe_cases(table("moe", {"gated": gate}))[0] for gate in (1, 0))
    assert gated.flops == 2 * plain.flops
    assert gated.weight_bytes == 2 * plain.weight_bytes


def test_narrow_weights_keep_wide_activations(table):
    wide, narrow = (moe_cases(table("moe", {"dtype": dtype}))[0] for dtype in ("bf16", "int4"))
    assert narrow.weight_bytes == wide.weight_bytes * (4 + 16 / 128) / 16
    assert narrow.activation_bytes == wide.activation_bytes


def test_few_tokens_touch_few_experts_and_a_timed_rank_has_a_row(table):
    cases = table("moe", {"num_tokens": 1}, {"num_tokens": 1, "ep": 8}, {"num_tokens": 99})
    rows, touched = even_share(cases)
    assert rows.tolist() == [2, 1, 198]
    assert touched.tolist() == [2, 1, 8]


def test_tokens_that_choose_at_random_meet_an_expectation(table):
    _, touched = even_share(table("moe", {"distribution": "uniform", "num_tokens": 3}))
    assert touched == pytest.approx(8 * (1 - (1 - 2 / 8) ** 3))


def test_a_gemm_by_hand(table):
    (case,) = gemm_cases(table("gemm", {}))
    assert case.flops == 2 * 4 * 32 * 64
    assert case.weight_bytes == 64 * 32 * 2
    assert case.activation_bytes == 4 * (64 + 32) * 2


def test_the_roofline_of_one_row_by_hand(table):
    gpu, one = device("h100-sxm"), {"hidden": 4096, "inter": 14336, "num_tokens": 8}
    weights = 8 * 3 * 4096 * 14336 * 2  # all eight experts, once; activations stay in the cache
    assert roofline(table("moe", one), gpu, 0) == pytest.approx(
        weights / gpu.memory.bandwidth_bytes_per_s
    )
    many = table("gemm", {"m": 8192, "n": 8192, "k": 8192})
    assert roofline(many, gpu, 0) == pytest.approx(2 * 8192**3 / gpu.peak("bf16"))
    assert constant(many, gpu, 0) == pytest.approx(2 * 8192**3 / gpu.peak("bf16") / 0.7)


def test_drawn_loads_touch_only_skewed_rows_and_repeat(table):
    both = table("moe", {"num_tokens": 64, "ep": 4}, {"num_tokens": 64, "ep": 4})
    both.columns["distribution"][1] = "pl1.2"
    rows, touched = even_share(both)
    drawn, met = drawn_load(both, rows, touched, 5)
    assert (drawn[0], met[0]) == (rows[0], touched[0])
    assert drawn[1] > rows[1]
    assert met[1] <= 2
    again, other = (drawn_load(both, rows, touched, seed)[0] for seed in (5, 6))
    assert (again == drawn).all()
    assert other[1] != drawn[1]


def test_bands_part_the_rows_and_constant_is_slower_than_the_roofline(h100):
    whole, *bands = h100.by_band()
    assert whole.rows == len(h100.table) == sum(band.rows for band in bands) == 250_149
    assert sum(row.rows for row in h100.by("dtype")) == whole.rows
    slower = constant(h100.table, device("h100-sxm"), 0)
    assert (slower >= h100.predicted_s).all()
    assert (slower <= h100.predicted_s / 0.7 * (1 + 1e-12)).all()


def test_the_busiest_rank_is_never_faster_where_arithmetic_limits(h100):
    many = h100.table.where(num_tokens=lambda n: n > 4096, dtype="bf16")
    gpu = device("h100-sxm")
    even, busiest = roofline(many, gpu, 0), roofline_busiest(many, gpu, 0)
    skewed = many["distribution"].astype(str) != "balanced"
    assert (busiest[~skewed] == even[~skewed]).all()
    assert busiest[skewed].mean() > even[skewed].mean()
    spread = skewed & (many["ep"] >= 8)
    assert np.median(busiest[spread] / even[spread]) > 1.5


def test_skewed_loads_order_the_table_better_than_even_ones(h100):
    skewed = compare("moe", "h100-sxm", "roofline-busiest")
    assert skewed.by_band()[0].spearman == pytest.approx(0.902, abs=0.005)
    assert h100.by_band()[0].spearman == pytest.approx(0.861, abs=0.005)
    assert skewed.predicted_evidence == "simulated"


@pytest.mark.parametrize(
    ("model", "mape", "median"),
    [
        ("roofline", (63.5, 61.8, 56.0, 75.4), (71.0, 69.9, 59.4, 81.1)),
        ("constant", (57.2, 56.9, 49.1, 68.7), (64.2, 64.1, 50.8, 75.6)),
    ],
)
def test_the_baseline_on_the_shipped_table(h100, model, mape, median):
    rows = (h100 if model == h100.model else compare("moe", "h100-sxm", model)).by_band()
    assert [100 * row.mape for row in rows] == pytest.approx(mape, abs=0.1)
    assert [100 * row.median_ape for row in rows] == pytest.approx(median, abs=0.1)


def test_without_a_cache_the_roofline_is_the_published_yardstick(h100):
    # The yardstick counts every activation byte: MAPE 62.6 % (median 69.9), then by band.
    bare = msgspec.structs.replace(device("h100-sxm"), cache=None)
    predicted = roofline(h100.table, bare, 0)
    rows = msgspec.structs.replace(h100, prediction=Prediction(seconds=predicted)).by_band()
    assert [100 * row.mape for row in rows] == pytest.approx((62.6, 61.7, 54.8, 74.2), abs=0.1)
    assert 100 * rows[0].median_ape == pytest.approx(69.9, abs=0.1)


def test_a_model_of_ones_own_is_simulated(table, monkeypatch):
    def double(rows, gpu, seed):
        return 2 * rows["latency_s"]

    held = compare("gemm", "l40s", double)
    assert (held.model, held.predicted_evidence) == ("double", "simulated")
    assert [row.mape for row in held.by_band()] == pytest.approx([1.0] * 4)
    assert held.faster == len(held.table)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("moo", "h100-sxm"), "did you mean moe"),
        (("comm", "h100-sxm"), "comparison"),
        (("moe", "h100"), "h100-sxm"),
        (("moe", ""), "name the device"),
        (("cpu", "h100-sxm"), "leave --on away"),
        (("moe", "h100-sxm", "rooflin"), "roofline"),
    ],
)
def test_unknown_words_are_refused_before_any_work(words, told):
    with pytest.raises(BadInput, match=told):
        compare(*words)


def test_a_column_of_many_values_groups_nothing(h100):
    with pytest.raises(BadInput, match="values"):
        h100.by("latency_s")
    with pytest.raises(BadInput, match="column"):
        h100.by("no such")


@pytest.mark.parametrize("name", ["roofline", "roofline-busiest", "constant"])
@pytest.mark.parametrize("kind", ["moe", "gemm"])
def test_the_baselines_predict_every_kind(table, kind, name):
    predicted = MODELS[name](table(kind, {}, {}), device("h100-sxm"), 0, print)
    assert (predicted.seconds > 0).all()
