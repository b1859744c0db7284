"""Trees grown by LightGBM: equal to its own prediction, and a correction that carries over."""

import importlib.util
import sys

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.measured import load
from moesaic.simulator.gpu.correction import MOST_FACTOR, columns, factors
from moesaic.simulator.gpu.trees import LEAF, Trees
from moesaic.sweeps.accuracy.boosted import Growth, corrected_s, grow, grow_correction, seen
from moesaic.sweeps.accuracy.families import families
from moesaic.sweeps.accuracy.fit import prior

needs_lightgbm = pytest.mark.skipif(
    importlib.util.find_spec("lightgbm") is None,
    reason="needs lightgbm: pip install 'moesaic[accuracy]'",
)
FEW = Growth(rounds=40, min_data_in_leaf=5, feature_fraction=0.7, bagging_fraction=0.7)


@pytest.fixture(scope="module")
def recorded():
    """A few recorded layers of every family on the L40S."""
    table = load("moe", "l40s")
    return table.take(np.arange(0, len(table), 101))


def drawn(rows=800, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 4))
    return features, np.sin(features[:, 0]) + features[:, 1] * (features[:, 2] > 0)


@needs_lightgbm
def test_our_trees_say_what_lightgbm_says(monkeypatch):
    import lightgbm

    kept, train = [], lightgbm.train

    def keeping(*given):
        kept.append(train(*given))
        return kept[0]

    monkeypatch.setattr(lightgbm, "train", keeping)
    features, target = drawn()
    trees = grow(features, target, "abcd", growth=FEW)
    fresh = drawn(500, seed=1)[0]
    np.testing.assert_allclose(trees(fresh), kept[0].predict(fresh), rtol=0, atol=1e-12)
    assert trees.roots.size == FEW.rounds


@needs_lightgbm
def test_equal_input_grows_equal_trees_and_another_seed_others():
    features, target = drawn()
    one, two, other = (grow(features, target, "abcd", seed=s, growth=FEW) for s in (3, 3, 4))
    assert (one.number == two.number).all()
    assert not np.array_equal(one.number, other.number)


def test_without_lightgbm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    features, target = drawn()
    with pytest.raises(BadInput, match=r"pip install 'moesaic\[accuracy\]'"):
        grow(features, target, "abcd")


def constant(value, name="rows"):
    return Trees(
        names=(name,),
        roots=np.zeros(1, np.int64),
        feature=np.array([LEAF], np.int16),
        number=np.array([value]),
        skip=np.zeros(1, np.int32),
    )


def test_a_factor_is_the_exponential_within_its_limits():
    features = {"rows": np.ones(1)}
    assert factors(constant(0.1), features) == pytest.approx(np.exp(0.1))
    assert factors(constant(9.0), features) == pytest.approx(MOST_FACTOR)
    assert factors(constant(-9.0), features) == pytest.approx(1 / MOST_FACTOR)


def test_an_unknown_family_is_none_of_the_known_and_a_missing_feature_is_refused():
    features = {"rows": np.array([1.0, 2.0]), "is b": np.ones(1)}
    assert columns(features, ["is a", "rows", "is b"]).tolist() == [[0, 1, 1], [0, 2, 1]]
    with pytest.raises(BadInput, match="waves"):
        columns(features, ["waves"])


@needs_lightgbm
def test_a_correction_halves_the_error_of_a_model_that_is_off_by_its_terms(recorded):
    rows = next(iter(families(recorded, device("l40s"))))
    constants = prior(rows)
    terms = rows.terms(constants)
    truth = rows.seconds(constants) + 2 * terms["launch"] + 0.5 * terms["down"]
    rows = msgspec.structs.replace(rows, measured_s=truth)
    even = np.arange(len(rows)) % 2 == 0
    trees = grow_correction([(rows.take(even), constants)], growth=FEW)
    left = rows.take(~even)
    before = np.abs(left.seconds(constants) / left.measured_s - 1).mean()
    after = np.abs(corrected_s(left, constants, trees) / left.measured_s - 1).mean()
    assert after < before / 2


def test_everything_that_a_correction_sees_of_recorded_layers_is_a_finite_number(recorded):
    for rows in families(recorded, device("l40s")):
        for name, values in seen(rows, prior(rows)).items():
            assert np.isfinite(values).all(), name


@pytest.mark.parametrize("kind", ["gemm", "attention"])
def test_calls_of_other_kernels_are_seen_as_finite_numbers_too(kind):
    table = load(kind, "l40s")
    for rows in families(table.take(np.arange(0, len(table), 501)), device("l40s")):
        for name, values in seen(rows, prior(rows)).items():
            assert np.isfinite(values).all(), name
