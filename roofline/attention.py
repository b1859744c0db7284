"""Flops and bytes of attention: grouped-query, latent, linear and Mamba; prefill and decode.

Plain arithmetic on floats or arrays: `operators` calls it as it stands, `points` compiles it.
A window of 0 stands for none.
"""

from __future__ import annotations

from .dense import Number


def chunk_pairs(tokens: Number, cached: Number, window: Number, causal: Number) -> Number:
    """Query-key pairs of `tokens` new tokens after `cached` ones.

    derived: query i (from 1) sees cached + i keys, at most `window`; without a mask each sees all.
    """
    if not causal:
        return 1.0 * tokens * (cached + tokens)
    total = tokens * cached + tokens * (tokens + 1) / 2
    if window:
        # The last `late` queries would see more than the window: take their excess 1..late away,
        # less the part of that run which lies before the first query.
        late = max(0.0, cached + tokens - window)
        before = max(0.0, late - tokens)
        total -= late * (late + 1) / 2 - before * (before + 1) / 2
    return 1.0 * total


def keys_read(tokens: Number, cached: Number, window: Number) -> Number:
    """Cached positions that the new tokens read at least once, the new ones left out."""
    if window and cached > window - 1:
        return 1.0 * max(0, window - 1)
    return 1.0 * cached


def keys_held(tokens: Number, cached: Number, window: Number) -> Number:
    """Positions that stay in the cache once the new tokens are in: at most a window of them."""
    return 1.0 * (min(cached + tokens, window) if window else cached + tokens)


def gqa_core(pairs: Number, heads: Number, head_dim: Number) -> Number:
    """Flops of scores and weighted values: 2 * 2 * pairs * heads * head_dim."""
    return 4.0 * pairs * heads * head_dim


def mla_core(
    tokens: Number,
    cached: Number,
    pairs: Number,
    heads: Number,
    kv_rank: Number,
    nope_dim: Number,
    rope_dim: Number,
    v_dim: Number,
) -> Number:
    """Flops of latent attention over one request, in the cheaper of its two forms.

    Expanded: keys and values are made from the latents of all keys, cached ones again
    (DeepSeek-V2, arXiv 2405.04434, equations 9-14). Absorbed: queries and outputs are carried into
    the latent space instead, and every head attends to the latent (section 2.1.2).
    """
    expand = 2.0 * kv_rank * heads * (nope_dim + v_dim)
    expanded = expand * (cached + tokens) + 2.0 * pairs * heads * (nope_dim + rope_dim + v_dim)
    absorbed = expand * tokens + 2.0 * pairs * heads * (2 * kv_rank + rope_dim)
    return min(expanded, absorbed)


def linear_attention_core(tokens: Number, heads: Number, head_dim: Number) -> Number:
    """Flops of lightning attention in its recurrent form: state update and read-out per token.

    derived: k v^T is added to a head_dim x head_dim state and q reads it, 2 operations each.
    """
    return 4.0 * tokens * heads * head_dim * head_dim


def mamba_core(tokens: Number, inner: Number, state: Number, conv: Number) -> Number:
    """Flops of a selective scan and its convolution per token.

    derived: discretise (2), update (2) and read (2) each of inner x state, gate and skip 3 per
    channel, conv taps 2 each (Mamba, arXiv 2312.00752, algorithm 2).
    """
    return tokens * inner * (6.0 * state + 3.0 + 2.0 * conv)
