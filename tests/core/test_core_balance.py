"""The door to the swap engine: its checks, and that it changes nothing it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from moesaic._core import balance_swaps

LOADS = np.array([[8.0, 7.0, 2.0, 1.0]])
HOMES = np.array([[0, 0, 1, 1]], np.int32)


def test_one_swap_balances_two_ranks_and_the_input_stays():
    homes, swaps = balance_swaps(LOADS, HOMES, 2, 10)
    # 8 for 2 and 7 for 1 both give 9 and 9; the first is taken.
    assert homes.tolist() == [[1, 0, 0, 1]]
    assert swaps.tolist() == [1]
    assert HOMES.tolist() == [[0, 0, 1, 1]]


def test_no_swaps_allowed_means_none_made():
    homes, swaps = balance_swaps(LOADS, HOMES, 2, 0)
    assert (homes == HOMES).all()
    assert swaps.tolist() == [0]


@pytest.mark.parametrize(
    ("loads", "homes", "ranks", "most"),
    [
        (LOADS, HOMES[:, :3], 2, 1),
        (LOADS[0], HOMES[0], 2, 1),
        (LOADS, HOMES, 1, 1),
        (LOADS, HOMES, 0, 1),
        (LOADS, HOMES - 1, 2, 1),
        (-LOADS, HOMES, 2, 1),
        (LOADS * np.nan, HOMES, 2, 1),
        (LOADS, HOMES, 2, -1),
    ],
)
def test_what_is_out_of_range_is_refused_at_the_door(loads, homes, ranks, most):
    with pytest.raises(ValueError, match="must"):
        balance_swaps(np.ascontiguousarray(loads), np.ascontiguousarray(homes), ranks, most)


def test_another_dtype_is_an_error_not_a_silent_copy():
    short: Any = LOADS.astype(np.float32)
    wide: Any = HOMES.astype(np.int64)
    with pytest.raises(TypeError):
        balance_swaps(short, HOMES, 2, 1)
    with pytest.raises(TypeError):
        balance_swaps(LOADS, wide, 2, 1)
