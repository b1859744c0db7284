"""The Gaussian process against its closed form, and what it learns from made-up surfaces."""

import numpy as np
import pytest
from scipy.linalg import lapack
from scipy.optimize import check_grad

from moesaic.kernels.search import Space
from moesaic.kernels.search.surrogate import (
    WIDE,
    Belief,
    _surprise,
    distances,
    learnt,
    unlearnt,
)

SPACE = Space.of(
    "toy", ({"a": a, "b": b, "c": c} for a in (1, 2, 4, 8) for b in (0, 1, 2) for c in ("u", "v"))
)
APART = distances(SPACE)


def whole(covariance):
    """All covariances `[configs, configs]`."""
    rows = range(len(SPACE))
    return np.array([covariance.column(SPACE.table, row) for row in rows])


def test_values_are_apart_by_doublings_and_words_by_one():
    assert APART[0].tolist() == [[abs(i - j) for j in range(4)] for i in range(4)]
    assert APART[1][0] == pytest.approx([0, 1, np.log2(3)])
    assert APART[2].tolist() == [[0, 1], [1, 0]]


def test_a_configuration_is_as_like_itself_as_can_be():
    found = whole(unlearnt(APART, 2.0))
    assert np.diag(found) == pytest.approx(2.0)
    assert (found <= 2.0).all()
    assert np.linalg.eigvalsh(found).min() > 0


def test_told_one_by_one_it_believes_what_the_closed_form_says():
    rng = np.random.default_rng(0)
    covariance, prior = unlearnt(APART, 0.7), rng.normal(size=len(SPACE))
    belief = Belief(prior, covariance, SPACE.table)
    rows, logs = rng.permutation(len(SPACE))[:9], rng.normal(size=9)
    for row, log_s in zip(rows, logs, strict=True):
        belief.tell(int(row), log_s)
    k = whole(covariance) + WIDE * covariance.variance
    inverse = np.linalg.inv(k[np.ix_(rows, rows)] + covariance.nugget * np.eye(9))
    level = prior + logs[0] - prior[rows[0]]
    assert belief.mean == pytest.approx(
        level + k[:, rows] @ inverse @ (logs - level[rows]), abs=1e-4
    )
    variance = np.diag(k - k[:, rows] @ inverse @ k[rows])
    assert belief.variance == pytest.approx(variance, abs=1e-4)


def test_expected_gain_is_the_mean_of_what_is_gained():
    rng = np.random.default_rng(1)
    belief = Belief(np.zeros(len(SPACE)), unlearnt(APART, 1.0), SPACE.table)
    for row, log_s in ((0, 0.0), (5, -1.0), (11, 0.5)):
        belief.tell(row, log_s)
    spread = np.sqrt(belief.variance * belief.scale)
    drawn = belief.mean + spread * rng.normal(size=(200_000, len(SPACE)))
    assert belief.expected_gain(-1.0) == pytest.approx(
        np.maximum(-1.0 - drawn, 0).mean(axis=0), abs=0.02
    )


def test_the_belief_that_was_right_has_the_more_evidence():
    truth = np.random.default_rng(2).normal(size=len(SPACE))
    right, wrong = (Belief(prior, unlearnt(APART, 0.1), SPACE.table) for prior in (truth, -truth))
    for row in range(10):
        right.tell(row, truth[row] + 5)
        wrong.tell(row, truth[row] + 5)
    assert right.log_evidence > wrong.log_evidence + 5


def test_the_gradient_of_the_surprise_is_that_of_differences():
    rng = np.random.default_rng(3)
    alike = [np.exp(-d[np.ix_(p, p)] / 2) for d, p in zip(APART, SPACE.table.T, strict=True)]
    values, point = rng.normal(size=len(SPACE)), rng.normal(size=5)
    off = check_grad(
        lambda x: _surprise(x, alike, values, 1.0, lapack)[0],
        lambda x: _surprise(x, alike, values, 1.0, lapack)[1],
        point,
    )
    assert off < 1e-4


def test_it_learns_which_parameter_matters():
    values = SPACE.table[:, 0].astype(float) ** 2
    covariance = learnt(APART, SPACE.table, values)
    far = [near.min() for near in covariance.near]
    assert far[0] < 0.5
    assert min(far[1:]) > 0.9
