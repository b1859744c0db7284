"""Sorting slots by expert: counts, starts and rows held against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.kernels.library.count import COUNT
from moesaic.kernels.library.exact import POISON, exactly
from moesaic.kernels.library.grouped_gemm import GroupedGemmShape
from moesaic.kernels.library.offsets import OFFSETS, OffsetsShape
from moesaic.kernels.library.permute import PERMUTE, reference
from moesaic.kernels.library.slots import SPREADS, SlotsShape, counts_of, starts_of

EXPERTS = 5
slots = st.lists(st.integers(-2, EXPERTS + 1), min_size=1, max_size=60)


def plain_rows(ids):
    """The row of each slot by counting one after another."""
    rows, row = [-1] * len(ids), 0
    for expert in range(EXPERTS):
        for slot, named in enumerate(ids):
            if named == expert:
                rows[slot] = row
                row += 1
    return rows


@given(slots)
def test_rows_are_in_the_order_of_experts_and_then_of_slots(ids):
    assert reference(np.array(ids, np.int32), EXPERTS).tolist() == plain_rows(ids)


@given(slots, st.integers(1, 9))
def test_a_row_is_where_expert_and_block_start_and_the_rank_in_the_block(ids, block_slots):
    ids = np.array(ids, np.int32)
    counts = counts_of(ids, EXPERTS, block_slots)
    row_starts = starts_of(counts.sum(axis=1))
    block_starts = starts_of(counts, axis=1)
    rows = reference(ids, EXPERTS)
    for slot in np.flatnonzero(rows >= 0):
        expert, block = ids[slot], slot // block_slots
        rank = (ids[block * block_slots : slot] == expert).sum()
        assert rows[slot] == row_starts[expert] + block_starts[expert, block] + rank
    assert row_starts[-1] == (rows >= 0).sum()


def test_the_starts_are_those_that_the_grouped_gemm_reads():
    one = OFFSETS.config("8-experts")
    problem = OFFSETS.problem(one, OffsetsShape(SlotsShape(100), tile_rows=64), 0)
    shape = GroupedGemmShape(
        tuple(problem.arguments["counts"].sum(axis=1).tolist()), depth=1, columns=1
    )
    assert problem.expected["row_starts"].value.tolist() == shape.row_starts().tolist()
    tiles = shape.tile_starts({"BM": 64})
    assert problem.expected["tile_starts"].value.tolist() == tiles.tolist()


@pytest.mark.parametrize("name", PERMUTE.configs)
def test_a_row_names_the_token_of_its_slot_and_holds_its_numbers(name):
    one = PERMUTE.config(name)
    for shape in PERMUTE.shapes.values():
        problem = PERMUTE.problem(one, shape, 3)
        rows = problem.expected["row_of_slot"].value
        there = np.flatnonzero(rows >= 0)
        tokens = problem.expected["token_of_row"].value
        assert (tokens[rows[there]] == there // one["TOP_K"]).all()
        assert (tokens[len(there) :] == POISON).all()
        if one["MOVE"]:
            activations: Any = problem.arguments["tokens"]
            moved = problem.expected["sorted"].value[: len(there)]
            assert (moved == activations[tokens[: len(there)]]).all()


def test_count_and_permute_have_the_same_blocks():
    for name, one in PERMUTE.configs.items():
        blocks = PERMUTE.launch(one, SlotsShape(300)).grid[0]
        same = COUNT.config({key: one[key] for key in COUNT.parameters})
        slots_here = 300 * one["TOP_K"]
        assert COUNT.launch(same, SlotsShape(-(-slots_here // 4))).grid[0] == blocks, name


def test_the_spreads_are_what_they_are_called():
    rng = np.random.default_rng(0)
    drawn = {name: spread(rng, 4000, EXPERTS) for name, spread in SPREADS.items()}
    real = {name: (ids >= 0) & (ids < EXPERTS) for name, ids in drawn.items()}
    assert real["even"].all()
    assert len(set(drawn["even"])) == EXPERTS
    assert len(set(drawn["one"])) == 1
    assert real["one"].all()
    assert not real["none"].any()
    assert 0.5 < real["some"].mean() < 0.7


def test_an_element_that_was_not_written_shows():
    expected = exactly(np.array([-1, 0, 3], np.int32))
    assert expected.excess(np.array([-1, 0, 3], np.int32)) == 0
    assert expected.excess(np.array([-1, POISON, 3], np.int32)) == np.inf


def test_a_block_that_moves_rows_must_have_whole_tokens():
    values = {"EXPERTS": 64, "TOP_K": 6, "WARPS": 4, "STEPS": 1}
    PERMUTE.config({**values, "MOVE": 0})
    with pytest.raises(BadInput, match=r"whole tokens: .* does not hold for MOVE = 1, STEPS = 1"):
        PERMUTE.config({**values, "MOVE": 1})


def test_a_shape_without_sense_is_refused():
    with pytest.raises(BadInput, match="at least one token"):
        SlotsShape(0)
    with pytest.raises(BadInput, match="did you mean even"):
        SlotsShape(1, "evn")
    with pytest.raises(BadInput, match="one slot in a block"):
        OffsetsShape(SlotsShape(1), block_slots=0)
