"""The annealing engine: equal to its plain reference, inside its limits, safe from misuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic import _core
from moesaic.placement.solvers.anneal import _objective, swept_reference


def task(seed, layers=3, experts=6, ranks=4, copies=0, node_ranks=2, whole=True):
    """A random task: whole numbers, so that sums are exact and both paths decide alike."""
    rng = np.random.default_rng(seed)
    items = experts + copies
    held = np.stack(
        [np.r_[np.arange(experts), rng.choice(experts, copies, False)] for _ in range(layers)]
    ).astype(np.int32)
    homes = np.stack([_spread(row, ranks, rng) for row in held]).astype(np.int32)
    pairs = rng.integers(0, 9, (layers, items, items)).astype(float)
    pairs = pairs + pairs.transpose(0, 2, 1)
    pairs[:, np.arange(items), np.arange(items)] = 0
    loads = rng.integers(1, 20, (layers, items)).astype(float)
    return {
        "flow": rng.integers(0, 30, (layers - 1, items, items)).astype(float),
        "loads": loads,
        "limit": loads.sum(axis=1) / ranks * 1.4,
        "held": held,
        "homes": homes,
        "ranks": ranks,
        "node_ranks": node_ranks,
        "pairs": pairs,
        "bias": rng.integers(0, 9, (layers, ranks, items)).astype(float),
        "flow_rank": 1.0,
        "flow_node": 2.0,
        "pair_rank": 0.5,
        "pair_node": 1.0,
    }


def _spread(held, ranks, rng):
    """Homes with equal slots and no expert twice on a rank."""
    while True:
        homes = rng.permutation(np.arange(len(held)) % ranks)
        if len(set(zip(homes.tolist(), held.tolist(), strict=True))) == len(held):
            return homes


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 2]), st.sampled_from([0.0, 5.0, 100.0]))
def test_a_sweep_equals_the_plain_reference(seed, copies, temperature):
    asked = task(seed, copies=copies)
    engine = _core.HopAnneal(**asked, seed=seed)
    state = (seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) % 2**64
    plain = asked
    for _ in range(2):
        engine.sweep(temperature, 2)
        homes, state = swept_reference(plain, temperature, 2, state)
        plain = {**asked, "homes": homes}
        assert (engine.homes() == homes).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 2]))
def test_slots_copies_and_limits_are_kept_and_the_descent_never_loses(seed, copies):
    asked = task(seed, copies=copies)
    engine = _core.HopAnneal(**asked, seed=seed)
    engine.sweep(20.0, 5)
    before = engine.homes()
    engine.descend(1e-9, 10**6)
    after = engine.homes()
    assert _objective(asked, after) >= _objective(asked, before)
    for row, homes in enumerate(after):
        assert sorted(homes) == sorted(asked["homes"][row])
        pairs = set(zip(homes.tolist(), asked["held"][row].tolist(), strict=True))
        assert len(pairs) == len(homes)
        busiest, at_first = (
            np.bincount(h, asked["loads"][row]).max() for h in (homes, asked["homes"][row])
        )
        assert busiest <= max(asked["limit"][row], at_first)


def test_after_the_descent_no_swap_gains():
    asked = task(3)
    engine = _core.HopAnneal(**asked)
    engine.descend(1e-9, 10**6)
    best, homes = _objective(asked, engine.homes()), engine.homes()
    limit = asked["limit"]
    for row in range(len(homes)):
        for a in range(homes.shape[1]):
            for b in range(a):
                trial = homes.copy()
                trial[row, [a, b]] = homes[row, [b, a]]
                loads = np.bincount(trial[row], asked["loads"][row])
                if loads.max() <= limit[row]:
                    assert _objective(asked, trial) <= best + 1e-6


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"homes": np.full((3, 6), 4, np.int32)}, "homes must lie"),
        ({"held": np.full((3, 6), 6, np.int32)}, "held must lie"),
        ({"node_ranks": 3}, "node_ranks must divide"),
        ({"flow": np.zeros((3, 6, 6))}, "flow must be"),
        ({"pairs": np.zeros((3, 6, 5))}, "pairs must be"),
        ({"bias": np.zeros((3, 6, 6))}, "bias must be"),
        ({"limit": np.zeros(2)}, "limit must be"),
        ({"loads": np.full((3, 6), np.nan)}, "loads must be finite"),
    ],
)
def test_misuse_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        _core.HopAnneal(**{**task(0), **change})
