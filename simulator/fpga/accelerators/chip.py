"""Chip: a design, its plan, and the sizes of the model whose image it computes."""

from __future__ import annotations

import msgspec

from ..closed_forms import stream_steps, tiles
from ..designs import Design
from .plan import Plan


class Chip(msgspec.Struct, frozen=True, kw_only=True):
    """tokens, width: rows of features and their width. heads: of the attention, whose rows are
    `inner` wide. widest: the widest row that the linear kernel meets; weights: of the largest
    matrix."""

    plan: Plan
    design: Design
    tokens: int
    width: int
    inner: int
    heads: int
    widest: int
    weights: int

    @property
    def beats(self) -> int:
        """Beats of a row of features."""
        return int(tiles(self.width, self.design.lanes))

    @property
    def inner_beats(self) -> int:
        """Beats of a row of queries, keys or values, all heads together."""
        return int(tiles(self.inner, self.design.lanes))

    @property
    def queries(self) -> int:
        return min(self.design.queries, self.tokens)

    @property
    def key_rows(self) -> int:
        """Rows of keys that stream past the queries."""
        return int(stream_steps(self.tokens, self.queries))

    @property
    def score_bits(self) -> int:
        """A query's score with a key, for every head."""
        return self.heads * self.design.feature_bits
