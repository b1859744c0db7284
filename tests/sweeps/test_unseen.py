"""Learnt again without a shape or a GPU: what predicts a row has never seen it."""

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.measured import load
from moesaic.simulator.gpu import ExpertConstants
from moesaic.simulator.gpu.fitted import UNKNOWN
from moesaic.sweeps.accuracy import fits, unseen_gpus
from moesaic.sweeps.accuracy.compare import CROSS_VALIDATED, Comparison, compare_models
from moesaic.sweeps.accuracy.families import families
from moesaic.sweeps.accuracy.fit import fit, prior
from moesaic.sweeps.accuracy.folds import across_folds
from moesaic.sweeps.accuracy.prediction import Prediction, scattered, spread
from moesaic.sweeps.accuracy.rows import joined
from moesaic.sweeps.accuracy.unseen import by_unseen_shapes
from moesaic.sweeps.accuracy.unseen_gpus import SEEN, UNSEEN, between, tile_unseen_gpus
from moesaic.sweeps.accuracy.why import WHY, reasons_of

L40S = device("l40s")


def silent(line):
    return None


def interval(made):
    assert made.low_s is not None
    assert made.high_s is not None
    return made.low_s, made.high_s


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOESAIC_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def thin():
    """A few rows of one family on the L40S that other GPUs ran too."""
    recorded = load("moe", "l40s").where(
        kernel_source="moe_torch_flow_cutlass", dtype="bf16", tp=[1, 4], ep=[1, 8]
    )
    return recorded.take(np.arange(0, len(recorded), 23))


def test_spread_and_folds_give_an_interval_that_holds_eight_rows_of_ten():
    rng = np.random.default_rng(0)
    measured = np.exp(rng.normal(size=5000))
    predicted = measured * np.exp(rng.normal(0.1, 0.2, size=5000))
    low, high = spread(predicted, measured)
    inside = (predicted * low <= measured) & (measured <= predicted * high)
    assert inside.mean() == pytest.approx(0.8, abs=0.01)
    fold = rng.integers(0, 5, size=5000)
    made = across_folds(predicted, measured, [fold == number for number in range(5)])
    low_s, high_s = interval(made)
    inside = (low_s <= measured) & (measured <= high_s)
    assert inside.mean() == pytest.approx(0.8, abs=0.02)


def test_what_was_never_learnt_keeps_the_wide_interval():
    made = across_folds(np.ones(3), np.ones(3), [])
    low, high = interval(made)
    np.testing.assert_allclose(low, UNKNOWN[0])
    np.testing.assert_allclose(high, UNKNOWN[1])


def test_families_are_put_back_where_their_rows_were():
    one = Prediction(seconds=np.array([1.0, 2.0]), parts={"a": np.array([True, False])})
    other = Prediction(seconds=np.array([3.0]))
    whole = scattered(3, [(np.array([2, 0]), one), (np.array([1]), other)])
    assert whole.seconds.tolist() == [2, 3, 1]
    assert whole.parts["a"].tolist() == [False, False, True]
    assert whole.low_s is None


@pytest.mark.slow
def test_three_models_stand_on_the_same_folds_and_the_tile_model_beats_plain_trees(thin):
    pytest.importorskip("lightgbm")
    made = by_unseen_shapes(thin, L40S, 0, silent, CROSS_VALIDATED["shape"])
    error = {name: np.abs(one.seconds / thin["latency_s"] - 1).mean() for name, one in made.items()}
    assert set(error) == {"boosted", "tile", "tile+trees"}
    assert error["tile"] < 0.25
    assert error["tile"] < error["boosted"]
    for one in made.values():
        low, high = interval(one)
        assert (low < one.seconds).all()
        assert (one.seconds < high).all()


def some_of(kind, system):
    """Every fifteenth row of a shipped table."""
    table = load(kind, system)
    return table.take(np.arange(0, len(table), 15))


def test_a_gpu_is_predicted_from_the_others_and_says_what_they_ran(thin, monkeypatch):
    monkeypatch.setattr(unseen_gpus, "systems", lambda kind: ["h100-sxm", "l40s"])
    monkeypatch.setattr(unseen_gpus, "SAMPLE", 200)
    monkeypatch.setattr(unseen_gpus, "load", some_of)
    made = tile_unseen_gpus(thin, L40S, 0, silent)
    assert made.parts[SEEN].all()
    assert not made.parts[UNSEEN].any()
    error = np.abs(made.seconds / thin["latency_s"] - 1)
    assert np.median(error) < 0.20
    own = msgspec.structs.replace(
        thin, columns={**thin.columns, "latency_s": thin["latency_s"] * 7}
    )
    np.testing.assert_array_equal(tile_unseen_gpus(own, L40S, 0, silent).seconds, made.seconds)


def test_a_fit_is_remembered_until_its_rows_or_its_code_change(thin, monkeypatch):
    (rows,) = families(thin, L40S)
    first = fit(rows)

    def never(rows, seed):
        raise AssertionError("fitted again")

    monkeypatch.setattr("moesaic.sweeps.accuracy.fit._best_fit", never)
    assert fit(rows) == first
    with pytest.raises(AssertionError, match="fitted again"):
        fit(rows, seed=1)
    with pytest.raises(AssertionError, match="fitted again"):
        fit(msgspec.structs.replace(rows, measured_s=rows.measured_s * 2))
    monkeypatch.setattr(fits, "_source", lambda kernel: "changed")
    with pytest.raises(AssertionError, match="fitted again"):
        fit(rows)


def test_a_damaged_memory_is_made_anew(thin, tmp_path, monkeypatch):
    (rows,) = families(thin, L40S)
    wanted = ExpertConstants(launch_cycles=5e4)
    monkeypatch.setattr("moesaic.sweeps.accuracy.fit._best_fit", lambda rows, seed: wanted)
    assert fit(rows) == wanted
    (file,) = (tmp_path / "fits").glob("*.json")
    for text in ("", "{", '{"kernel": "experts", "launch_cycles": -1}'):
        file.write_text(text)
        assert fit(rows) == wanted


def test_a_slowdown_by_skew_is_held_against_its_own_balanced_row():
    table = load("moe", "l40s").where(
        kernel_source="moe_torch_flow_cutlass", dtype="bf16", tp=1, num_tokens=256
    )
    comparison = Comparison(
        what="moe",
        system="l40s",
        model="double",
        table=table,
        prediction=Prediction(seconds=2 * table["latency_s"]),
        predicted_evidence="simulated",
        measured_evidence="measured-published",
    )
    rows = comparison.by_slowdown()
    assert {row.band for row in rows} == {"pl1.01 over balanced", "pl1.2 over balanced"}
    assert all(row.mape == pytest.approx(0) for row in rows)


@pytest.mark.parametrize(
    ("models", "more", "told"),
    [
        (["roofline"], {"cv": "shape"}, "boosted"),
        (["tile"], {"cv": "planet"}, "planet"),
        ([len], {"cv": "shape"}, "of its own"),
        (["tile"], {"cv": "shape", "constants": "x.toml"}, "--constants"),
        (["roofline"], {"constants": "x.toml"}, "--constants"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_work(models, more, told):
    with pytest.raises(BadInput, match=told):
        next(compare_models("moe", "l40s", models, **more))


def test_the_reasons_of_a_measured_time_add_up_to_it_whatever_the_model_says():
    table = load("moe", "l40s").where(tp=1, num_tokens=[1, 256, 8192])
    found = reasons_of(table, L40S)
    assert tuple(found) == WHY
    np.testing.assert_allclose(sum(found.values()), table["latency_s"], rtol=1e-9)
    assert (found["activated experts"] >= -1e-12).all()
    assert abs(np.median(found["unexplained"] / table["latency_s"])) < 0.05
    with pytest.raises(BadInput, match="moe tables"):
        reasons_of(load("gemm", "l40s"), L40S)


@pytest.mark.parametrize("kind", ["moe", "gemm", "attention"])
def test_rows_of_several_gpus_are_priced_together_as_each_alone(kind):
    found = []
    for gpu in ("l40s", "h100-sxm"):
        table = load(kind, gpu)
        thinned = table.take(np.arange(0, len(table), len(table) // 900))
        found.append({rows.family: rows for rows in families(thinned, device(gpu))})
    for name in found[0].keys() & found[1].keys():
        parts = [one[name] for one in found]
        constants = prior(parts[0])
        alone = np.concatenate([part.seconds(constants) for part in parts])
        np.testing.assert_allclose(joined(parts).seconds(constants), alone)


@pytest.mark.parametrize("count", [2, 3])
def test_an_interval_from_gpus_left_out_in_turn_holds_about_eight_rows_of_ten_on_the_next(count):
    """GPUs differ from one another by more than the rows of one do."""
    rng, held = np.random.default_rng(count), []
    for _ in range(300):
        *seen, new = (rng.normal(rng.normal(0, 0.15), 0.05, 100) for _ in range(count + 1))
        low, high = between(dict(zip("abc", seen, strict=False)), [])
        held.append(np.mean((np.log(low) <= new) & (new <= np.log(high))))
    assert 0.7 < np.mean(held) < 0.9


def test_a_family_that_one_gpu_taught_takes_the_errors_of_those_taught_alike():
    own = {"a": np.linspace(-0.1, 0.1, 50)}
    others = [{"a": np.linspace(-0.2, 0.2, 50)}, {"b": np.linspace(-0.2, 0.2, 50)}]
    assert between(own, []) == UNKNOWN
    assert between({}, [own]) == UNKNOWN
    low, high = between(own, others)
    assert low == pytest.approx(1 / high)
    assert high > np.exp(0.2)  # two GPUs only: far wider than what was seen
    three = {name: np.linspace(-0.2, 0.2, 50) for name in "abc"}
    assert between(three, others)[1] < high
    wild = {"a": np.linspace(-3, 3, 50), "b": np.linspace(-3, 3, 50)}
    assert between(wild, []) == UNKNOWN
