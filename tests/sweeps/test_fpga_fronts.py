"""Pareto fronts and hypervolumes: exact, whatever the points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moesaic.base import BadInput
from moesaic.sweeps.design import pareto
from moesaic.sweeps.design.hypervolume import hypervolume
from moesaic.sweeps.design.nsga import ranked
from moesaic.sweeps.design.pareto import front

FEW = settings(max_examples=20)
grids = st.integers(1, 5).flatmap(
    lambda k: arrays(np.float64, st.tuples(st.integers(1, 40), st.just(k)),
                     elements=st.integers(0, 3).map(float))
)  # fmt: skip
"""Points `[n, k]` with many equal values."""


def plain_front(points):
    """The points that no other is smaller than in one objective and no larger than in all."""
    no_larger = (points[:, None] <= points[None]).all(axis=2)
    smaller = (points[:, None] < points[None]).any(axis=2)
    return np.flatnonzero(~(no_larger & smaller).any(axis=0)).tolist()


def cells(points, reference):
    """Unit cells below `reference` and above some point: the volume of whole numbers."""
    sides = [np.arange(4)] * points.shape[1]
    corner = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, points.shape[1])
    above = (points[:, None] <= corner[None]).all(axis=2).any(axis=0)
    return (above & (corner < reference).all(axis=1)).sum()


@FEW
@given(points=grids, elite=st.integers(1, 9))
def test_the_front_is_what_every_pair_compared_leaves(points, elite):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "ELITE", elite)
        assert front(points).tolist() == plain_front(points)


def test_a_large_front_is_what_every_pair_compared_leaves():
    points = np.random.default_rng(0).random((1000, 4))
    assert front(points).tolist() == plain_front(points)


@FEW
@given(grids, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(points, shuffler):
    order = list(range(len(points)))
    shuffler.shuffle(order)
    assert sorted(np.array(order)[front(points[order])]) == front(points).tolist()


@FEW
@given(points=grids, data=st.data())
def test_the_hypervolume_is_the_cells_that_some_point_is_below(points, data):
    reference = np.array([data.draw(st.integers(0, 4)) for _ in range(points.shape[1])], float)
    assert hypervolume(points, reference) == cells(points, reference)


def test_five_objectives_with_fractions_agree_with_inclusion_and_exclusion():
    rng = np.random.default_rng(3)
    points = rng.random((9, 5))
    total = 0.0
    for chosen in range(1, 2 ** len(points)):
        few = points[[i for i in range(len(points)) if chosen >> i & 1]]
        total += (-1) ** (len(few) + 1) * np.prod(1 - few.max(axis=0))
    assert hypervolume(points, np.ones(5)) == pytest.approx(total)


@FEW
@given(grids)
def test_only_the_front_has_volume(points):
    reference = np.full(points.shape[1], 4.0)
    assert hypervolume(points[front(points)], reference) == hypervolume(points, reference)


def test_no_points_have_no_front_and_no_volume_and_odd_ones_are_refused():
    assert front(np.zeros((0, 3))).size == 0
    assert hypervolume(np.zeros((0, 3)), np.ones(3)) == 0
    with pytest.raises(BadInput, match="finite"):
        front(np.array([[1.0, np.nan]]))


@FEW
@given(grids, st.data())
def test_a_rank_of_nsga_is_what_the_ranks_before_leave(points, data):
    excess = np.array([data.draw(st.sampled_from((0.0, 0.5, 1.0))) for _ in points])
    rank, crowd = ranked(points, excess)
    assert (crowd >= 0).all()
    inside = np.flatnonzero(excess == 0)
    for level in range(rank.max() + 1):
        left = inside[rank[inside] >= level]
        if left.size:
            assert sorted(left[front(points[left])]) == sorted(inside[rank[inside] == level])
    # Whoever is further outside the budgets comes later.
    for less, more in ((0.0, 0.5), (0.5, 1.0)):
        if (excess == less).any() and (excess == more).any():
            assert rank[excess == less].max() < rank[excess == more].min()
