"""Products, touched copies of experts, and the chance that a token needs a group of experts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.roofline.dense import elementwise, linear
from moesaic.roofline.experts import copy_touched, distinct_groups, expert_matrices


def test_a_product_multiplies_and_adds_and_moves_each_operand_once():
    flops, weights, moved = linear(3, 64, 32, 1.0, 2.0)
    assert flops == 2 * 3 * 64 * 32
    assert weights == 64 * 32 * 1.0
    assert moved == 3 * (64 + 32) * 2.0


def test_no_row_reads_no_weight():
    assert linear(0, 64, 32, 1.0, 2.0) == (0, 0, 0)


def test_an_operator_without_products_moves_what_it_reads_and_writes():
    assert elementwise(3, 2, 1, 2.0) == 3 * 3 * 2.0


def test_only_touched_experts_are_read():
    flops, weights, moved = expert_matrices(10, 3, 64, 32, 1.0, 2.0)
    assert flops == 2 * 10 * 64 * 32
    assert weights == 3 * 64 * 32
    assert moved == 10 * (64 + 32) * 2.0


@given(st.integers(2, 8).flatmap(lambda n: st.tuples(*[st.integers(1, n)] * 2, st.just(n))))
def test_the_chance_to_need_a_group_is_that_of_all_choices_counted(sizes):
    top_k, local, experts = sizes
    choices = list(itertools.combinations(range(experts), top_k))
    hit = sum(any(expert < local for expert in choice) for choice in choices)
    assert distinct_groups(experts, local, top_k) == pytest.approx(hit / len(choices))


@given(st.integers(1, 5), st.integers(1, 4))
def test_a_copy_is_touched_as_often_as_in_all_deals_of_certain_tokens(tokens, copies):
    deals = list(itertools.product(range(copies), repeat=tokens))
    touched = sum(0 in deal for deal in deals) / len(deals)
    one = copy_touched(np.array([float(tokens)]), np.ones(1), np.array([copies]), 7.0)
    assert one[0] == pytest.approx(touched)


@given(st.integers(1, 30), st.floats(0.01, 0.99), st.integers(1, 5))
def test_a_copy_of_an_expert_that_tokens_may_take_is_touched_by_its_share(tokens, p, copies):
    touched = np.array([1 - (1 - p) ** tokens])
    if touched[0] == 1.0:
        return
    one = copy_touched(np.array([p * tokens]), touched, np.array([copies]), float(tokens))
    assert one[0] == pytest.approx(1 - (1 - p / copies) ** tokens)


def test_an_expert_that_nobody_takes_touches_no_copy():
    assert copy_touched(np.zeros(2), np.zeros(2), np.array([1, 3]), 0.0).tolist() == [0, 0]
