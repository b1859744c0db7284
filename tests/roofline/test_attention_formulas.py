"""Query-key pairs, keys read and held, and the flops of each kind of mixer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.roofline import attention

COUNT = st.integers(1, 40)
CACHED = st.integers(0, 40)
WINDOW = st.integers(0, 50)


def visible(query: int, window: int) -> range:
    """Positions that the query at position `query` sees: itself and what stands before it."""
    return range(max(0, query + 1 - window) if window else 0, query + 1)


@given(COUNT, CACHED, WINDOW)
def test_causal_pairs_are_those_of_a_loop_over_queries(tokens, cached, window):
    looped = sum(len(visible(cached + i, window)) for i in range(tokens))
    assert attention.chunk_pairs(tokens, cached, window, True) == looped


@given(COUNT, CACHED)
def test_without_a_mask_every_new_token_sees_every_position(tokens, cached):
    assert attention.chunk_pairs(tokens, cached, 0, False) == tokens * (cached + tokens)


@given(COUNT, CACHED, WINDOW)
def test_keys_read_are_the_cached_positions_that_some_query_sees(tokens, cached, window):
    seen = {key for i in range(tokens) for key in visible(cached + i, window)}
    assert attention.keys_read(tokens, cached, window) == len(seen & set(range(cached)))


@given(COUNT, CACHED, WINDOW)
def test_keys_held_are_those_of_the_last_query(tokens, cached, window):
    last = visible(cached + tokens - 1, window)
    assert attention.keys_held(tokens, cached, window) == len(last)


def test_scores_and_values_take_two_products_of_two_operations():
    assert attention.gqa_core(10, 8, 16) == 2 * 2 * 10 * 8 * 16


def test_latent_attention_decodes_in_the_latent_space_and_prefills_expanded():
    shape = {"heads": 16, "kv_rank": 512, "nope_dim": 128, "rope_dim": 64, "v_dim": 128}
    expand = 2 * 512 * 16 * (128 + 128)
    one = attention.mla_core(1, 4095, 4096, **shape)
    assert one == expand + 2 * 4096 * 16 * (2 * 512 + 64)
    pairs = attention.chunk_pairs(4096, 0, 0, True)
    many = attention.mla_core(4096, 0, pairs, **shape)
    assert many == 4096 * expand + 2 * pairs * 16 * (128 + 64 + 128)


def test_linear_attention_updates_and_reads_a_square_state():
    assert attention.linear_attention_core(3, 4, 16) == 3 * 4 * 16 * 16 * (2 + 2)


def test_a_selective_scan_costs_the_same_for_every_token():
    one = attention.mamba_core(1, 8192, 16, 4)
    assert one == 8192 * (6 * 16 + 3 + 2 * 4)
    assert attention.mamba_core(7, 8192, 16, 4) == pytest.approx(7 * one)
