"""Rows are cut into tiles per expert; no tile holds rows of two experts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moesaic.simulator.gpu import TILE_ROWS, even_load, load_of


@given(st.lists(st.integers(0, 500), min_size=1, max_size=20))
def test_tiles_of_a_load_are_counted_expert_by_expert(loads):
    load = load_of(np.array([loads]))
    assert load.rows[0] == sum(loads)
    assert load.touched[0] == sum(rows > 0 for rows in loads)
    for column, height in enumerate(TILE_ROWS):
        assert load.tiles[0, column] == sum(-(-rows // height) for rows in loads)


@given(st.integers(1, 5000), st.integers(1, 300))
def test_an_even_load_is_the_load_of_rows_dealt_in_turn(rows, experts):
    dealt = np.full((1, experts), rows // experts)
    dealt[0, : rows % experts] += 1
    wanted, got = load_of(dealt), even_load(np.array([float(rows)]), np.array([float(experts)]))
    np.testing.assert_allclose(got.tiles, wanted.tiles)
    np.testing.assert_allclose(got.touched, wanted.touched)


def test_draws_are_averaged():
    load = load_of(np.array([[16, 0], [17, 1]]))
    assert load.rows[0] == 17
    assert load.touched[0] == 1.5
    assert load.tiles[0, 0] == (1 + 3) / 2
