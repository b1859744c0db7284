"""Drawn loads: do they keep the chances, and does one drawing serve every batch size?"""

from __future__ import annotations

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.workload.activated import inclusion_chance
from moesaic.workload.drawn import drawn_loads, weights_of

SKEWED = np.array([0.9, 0.5, 0.3, 0.2, 0.1, 0.0])


def test_every_token_takes_top_k_experts():
    loads = drawn_loads(np.full(16, 4 / 16), 4, 37, 20, seed=1)
    assert loads.shape == (20, 16)
    assert (loads.sum(axis=1) == 4 * 37).all()
    assert (loads <= 37).all()


def test_running_loads_are_those_of_the_first_tokens():
    running = drawn_loads(np.full(8, 2 / 8), 2, 50, 3, seed=2, running=True)
    assert running.shape == (3, 51, 8)
    assert (running.sum(axis=2) == 2 * np.arange(51)).all()
    assert set(np.unique(np.diff(running, axis=1))) <= {0, 1}


def test_weights_give_the_chances_asked_for():
    weights = weights_of(SKEWED, 2)
    assert inclusion_chance(weights, 2) == pytest.approx(SKEWED, abs=2e-4)


def test_loads_follow_skewed_chances():
    loads = drawn_loads(SKEWED, 2, 400, 50, seed=3)
    error = loads.mean(axis=0) / 400 - SKEWED
    assert np.abs(error).max() < 5 * 0.5 / np.sqrt(400 * 50)


def test_uniform_loads_vary_as_single_tokens_do():
    loads = drawn_loads(np.full(8, 2 / 8), 2, 64, 2000, seed=4)
    assert loads.var() == pytest.approx(64 * 0.25 * 0.75, rel=0.05)


def test_the_same_seed_draws_the_same_loads():
    asked = np.full(8, 2 / 8), 2, 64, 5
    assert (drawn_loads(*asked, seed=5) == drawn_loads(*asked, seed=5)).all()
    assert (drawn_loads(*asked, seed=5) != drawn_loads(*asked, seed=6)).any()


@pytest.mark.parametrize(
    ("chance", "top_k", "tokens", "words"),
    [
        ([0.5, 0.4], 1, 4, "must sum to top_k = 1"),
        ([1.5, 0.5], 2, 4, "between 0 and 1"),
        ([0.5, 0.5], 1, 0, "at least one token"),
        ([0.5, 0.5], 1, 2**30, "at most 134,217,728 counts"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(chance, top_k, tokens, words):
    with pytest.raises(BadInput, match=words):
        drawn_loads(chance, top_k, tokens, 1, seed=0, running=tokens > 4)
