"""The router's choice: its float64 meaning, its inputs, its error bound and its limits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels.library.route import (
    BIASES,
    LOGITS,
    ROUTE,
    SCALE,
    SIGMOID,
    RouteShape,
    error_bound,
    reference,
)

LOGIT_ROW = np.array([[0.0, 2, 1, 2, -1, 0, 0, 0]])
NO_BIAS = np.zeros(8)


def config(**changes):
    return ROUTE.config({**ROUTE.configs["softmax-8-top2"], **changes})


def test_softmax_chooses_the_largest_and_the_lower_of_equals():
    ids, weights = reference(LOGIT_ROW, NO_BIAS, config(RENORMALISE=0))
    assert ids.tolist() == [[1, 3]]
    np.testing.assert_allclose(weights, np.exp(2) / np.exp(LOGIT_ROW).sum())
    ids, weights = reference(LOGIT_ROW, NO_BIAS, config(RENORMALISE=1))
    assert ids.tolist() == [[1, 3]]
    np.testing.assert_allclose(weights, 0.5)


def test_the_bias_moves_the_choice_and_not_the_weight():
    bias = np.array([0.0, 0, 0.9, 0, 0, 0, 0, 0])
    ids, weights = reference(LOGIT_ROW, bias, config(SCORING=SIGMOID, RENORMALISE=0))
    assert ids.tolist() == [[2, 1]]
    np.testing.assert_allclose(weights, [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-2))]])


def test_the_inputs_leave_no_choice_to_rounding():
    quarters = np.unique(LOGITS["mixed"](np.random.default_rng(0), 100, 100))
    scores = np.sort(np.add.outer(1 / (1 + np.exp(-quarters.astype(float))), BIASES).ravel())
    assert np.diff(scores).min() > 2.0**-9
    assert (BIASES.astype(np.float32) == BIASES).all()


@pytest.mark.parametrize("name", ROUTE.configs)
def test_fp32_keeps_the_bound_and_a_wrong_weight_does_not(name):
    one = ROUTE.config(name)
    for shape in ROUTE.shapes.values():
        problem = ROUTE.problem(one, shape, 1)
        expected = problem.expected["weights"]
        arguments: dict[str, Any] = dict(problem.arguments)
        logits = arguments["logits"]
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        if one["SCORING"] == SIGMOID:
            scores = 1 / (1 + np.exp(-logits))
        weights = np.take_along_axis(scores, problem.expected["experts"].value, axis=1)
        if one["RENORMALISE"]:
            weights /= weights.sum(axis=1, keepdims=True)
        elif one["SCORING"] != SIGMOID:
            weights /= scores.sum(axis=1, keepdims=True)
        weights *= SCALE
        assert weights.dtype == np.float32
        assert expected.excess(weights) <= 1
        assert expected.excess(weights * np.float32(1 + 2.0**-12)) > 1
        assert expected.excess(arguments["weights"]) == np.inf


def test_the_bound_grows_with_the_distance_in_the_exponent():
    near, far = (np.array([[0.0, -d, 0, 0, 0, 0, 0, 0]]) for d in (1, 9))
    ids, weights = np.array([[0, 1]]), np.ones((1, 2))
    bounds = [error_bound(logits, ids, weights, config()) for logits in (near, far)]
    assert (bounds[0] < bounds[1]).all()
    assert bounds[1].max() < 2.0**-16


def test_the_grid_has_lanes_for_every_token():
    for one, tokens in itertools.product(ROUTE.configs.values(), (1, 31, 64, 1000)):
        launch = ROUTE.launch(one, RouteShape(tokens))
        room = launch.grid[0] * launch.threads // one["LANES"]
        assert tokens <= room < tokens + launch.threads


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"LANES": 4}, "lane reads equally many 16-byte pieces"),
        ({"TOP_K": 3}, "lane j of a token holds its j-th choice"),
        ({"EXPERTS": 512, "LANES": 8, "TOP_K": 8}, "at most 32 scores in registers"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(changes, sentence):
    with pytest.raises(BadInput, match=sentence):
        config(**changes)


def test_a_shape_without_sense_is_refused():
    with pytest.raises(BadInput, match="at least one token"):
        RouteShape(0)
    with pytest.raises(BadInput, match="did you mean mixed"):
        RouteShape(1, "mixd")
