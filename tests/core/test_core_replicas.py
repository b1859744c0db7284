"""The doors to copies and to easing: their checks, their promises, and that inputs stay."""

from __future__ import annotations

import numpy as np
import pytest

from moesaic._core import ease_ranks, place_replicas


def random_case(rng):
    """Loads `[3, experts]`, many of them equal, and equal room on each rank."""
    ranks, experts = int(rng.integers(1, 7)), int(rng.integers(1, 13))
    per_rank = int(rng.integers(-(-experts // ranks), experts + 1))
    return rng.integers(0, 9, (3, experts)).astype(float), np.full(ranks, per_rank)


@pytest.mark.parametrize("seed", range(150))
def test_slots_hold_every_expert_and_none_twice_on_a_rank(seed):
    loads, room = random_case(np.random.default_rng(seed))
    before = loads.copy()
    held, swaps = place_replicas(loads, room, len(room), 1000)
    assert (loads == before).all()
    assert (swaps >= 0).all()
    for row in held:
        assert set(row.tolist()) == set(range(loads.shape[1]))
        assert all(len(set(rank)) == room[0] for rank in row.reshape(len(room), -1).tolist())


@pytest.mark.parametrize("seed", range(150))
@pytest.mark.parametrize("priced", [True, False])
def test_easing_counts_its_moves_and_ends_at_the_loads_that_it_says(seed, priced):
    rng = np.random.default_rng(seed)
    loads, room = random_case(rng)
    ranks, slots, experts = len(room), int(room.sum()), loads.shape[1]
    held = np.stack(
        [rng.permutation(np.r_[np.arange(experts), rng.integers(0, experts, slots - experts)])] * 3
    ).astype(np.int32)
    start, rank_of = held.copy(), np.repeat(np.arange(ranks, dtype=np.int32), room)
    targets = loads.sum(axis=1) / ranks + 0.1
    out, heaviest, moved, steps = ease_ranks(
        loads, held, rank_of, ranks, targets, np.array([50, 3, 0]), priced
    )
    assert (held == start).all()
    assert (steps <= [50, 3, 0]).all()
    for row, last in enumerate(steps):
        copies = np.bincount(out[row], minlength=experts)
        on_rank = np.bincount(rank_of, (loads[row] / copies)[out[row]], minlength=ranks)
        assert copies.min() >= 1
        assert heaviest[row, last] == pytest.approx(on_rank.max())
        new = set(zip(out[row].tolist(), rank_of.tolist(), strict=True)) - set(
            zip(start[row].tolist(), rank_of.tolist(), strict=True)
        )
        assert moved[row, last] == len(new)
        if not priced:
            before = np.bincount(start[row], minlength=experts)
            was = np.bincount(rank_of, (loads[row] / before)[start[row]], minlength=ranks)
            over, over_was = (np.maximum(x - targets[row], 0) for x in (on_rank, was))
            assert (over**2).sum() <= (over_was**2).sum() * (1 + 1e-9)


@pytest.mark.parametrize(
    ("loads", "room", "most"),
    [
        (np.ones(4), np.array([2, 2]), 1),
        (np.ones((1, 4)), np.array([1, 2]), 1),
        (np.ones((1, 4)), np.array([2, 3]), 1),
        (np.ones((1, 4)), np.array([5, 5]), 1),
        (np.ones((1, 4)), np.array([-1, 5]), 1),
        (-np.ones((1, 4)), np.array([2, 2]), 1),
        (np.ones((1, 4)), np.array([2, 2]), -1),
    ],
)
def test_room_and_loads_out_of_range_are_refused_at_the_door(loads, room, most):
    with pytest.raises(ValueError, match="must"):
        place_replicas(loads, room, 2, most)


@pytest.mark.parametrize(
    "change",
    [
        {"held": np.array([[0, 1, 2, 2]], np.int32)},
        {"held": np.array([[0, 1, 2, 9]], np.int32)},
        {"rank_of": np.array([0, 0, 1, 5], np.int32)},
        {"targets": np.array([0.0])},
        {"targets": np.array([np.nan])},
        {"most_steps": np.array([-1])},
        {"loads": -np.ones((1, 4))},
        {"ranks": 0},
    ],
)
def test_maps_and_targets_out_of_range_are_refused_at_the_door(change):
    asked = {
        "loads": np.ones((1, 4)),
        "held": np.arange(4, dtype=np.int32)[None],
        "rank_of": np.array([0, 0, 1, 1], np.int32),
        "ranks": 2,
        "targets": np.array([2.0]),
        "most_steps": np.array([3]),
        "priced": True,
    } | change
    with pytest.raises(ValueError, match="must"):
        ease_ranks(**asked)
