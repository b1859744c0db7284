"""The weighted sum of the experts' results: its float64 meaning, its bound, its limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels.library.combine import COMBINE, CombineShape, reference
from moesaic.kernels.library.formats import DTYPES


def test_the_reference_adds_weighted_rows_and_skips_slots_without_one():
    rows = np.array([[1.0, 2], [10, 20], [100, 200]])
    weights = np.array([[0.5, 2], [3, np.nan]])
    shared = np.array([[7.0, 0], [0, 7]])
    out = reference(rows, np.array([[2, 0], [1, -1]]), weights, shared)
    assert out.tolist() == [[59, 104], [30, 67]]


@pytest.mark.parametrize("name", COMBINE.configs)
def test_fp32_keeps_the_bound_and_a_lost_slot_does_not(name):
    one = COMBINE.config(name)
    form = DTYPES[one["DTYPE"]]
    problem = COMBINE.problem(one, CombineShape(16, 64), 2)
    arguments: dict[str, Any] = dict(problem.arguments)
    expected = problem.expected["out"]
    rows = form.decode(arguments["rows"]).astype(np.float32)
    there, row_of_slot = arguments["row_of_slot"] >= 0, arguments["row_of_slot"]
    first = form.decode(arguments["shared"]) if one["SHARED"] else np.zeros((16, 64))
    sums, lost = first.astype(np.float32), first.astype(np.float32)
    for slot in range(one["TOP_K"]):
        weight = np.where(there[:, slot], arguments["weights"][:, slot], 0).astype(np.float32)
        term = weight[:, None] * rows[np.maximum(row_of_slot[:, slot], 0)]
        sums = sums + term
        if slot + 1 < one["TOP_K"]:
            lost = lost + term
    assert sums.dtype == np.float32
    assert expected.excess(form.encode(sums)) <= 1
    assert expected.excess(form.encode(lost)) > 10
    assert expected.excess(arguments["out"]) == np.inf


def test_blocks_cover_the_columns():
    for one in COMBINE.configs.values():
        for columns in (8, 264, 4096):
            launch = COMBINE.launch(one, CombineShape(3, columns))
            reach = launch.threads * one["VECTORS"] * 8
            assert launch.grid[0] == 3
            assert (launch.grid[1] - 1) * reach < columns <= launch.grid[1] * reach


def test_columns_that_are_no_whole_pieces_are_refused():
    with pytest.raises(BadInput, match=r"16-byte pieces: columns % 8 == 0"):
        COMBINE.launch(COMBINE.config("top2-bf16-64x1"), CombineShape(1, 12))


@pytest.mark.parametrize("bad", [(0, 8, 0), (1, 0, 0), (1, 8, 1.5), (1, 8, -0.1)])
def test_a_shape_without_sense_is_refused(bad):
    with pytest.raises(BadInput, match="a share between 0 and 1"):
        CombineShape(*bad)
