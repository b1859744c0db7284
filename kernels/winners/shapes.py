"""Shape: one device's share of a layer of experts; and which known models have a published one."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from ...base import BadInput, Count, Spec
from ...base.spec import load
from ...workload import Experts, MoEModel
from ...workload.load import model, names

SPLITS = (1, 2, 4, 8, 16)
"""Tensor parallelism that tuning runs were made for."""


class Shape(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """inter: an expert's width on one device. gated: its first product has two halves."""

    experts: int
    inter: int
    hidden: int
    top_k: int
    gated: bool

    @property
    def up_columns(self) -> int:
        """Columns of the first product."""
        return self.inter * (2 if self.gated else 1)


def shape_of(one: MoEModel, tp: int = 1) -> Shape:
    """A model's routed experts, each split over tp devices. Raises BadInput where tp does not
    divide their width."""
    kinds = expert_blocks(one)
    if not kinds:
        raise BadInput("has no routed experts", key=one.name)
    widest = max(kinds, key=lambda kind: kind.count * kind.inter)
    if tp < 1 or widest.inter % tp:
        raise BadInput(f"must divide the expert width {widest.inter}", key="--tp", value=tp)
    return _split(widest, one.hidden, tp)


def expert_blocks(one: MoEModel) -> list[Experts]:
    """The different expert blocks of a model."""
    return list(dict.fromkeys(x.ffn for x in one.layers if isinstance(x.ffn, Experts)))


def _split(block: Experts, hidden: int, tp: int, fused: int = 0) -> Shape:
    return Shape(
        experts=block.count + fused,
        inter=block.inter // tp,
        hidden=hidden,
        top_k=block.top_k + fused,
        gated=block.gated,
    )


class _More(Spec, frozen=True, kw_only=True):
    """Sizes of a model's experts that the catalogue lacks."""

    name: str
    experts: Count
    inter: Count
    hidden: Count
    top_k: Count
    gated: bool
    source: str


class _Models(Spec, frozen=True, kw_only=True):
    model: tuple[_More, ...]


@functools.cache
def known_shapes() -> dict[tuple[int, int], tuple[Shape, ...]]:
    """Shapes of known models by (experts, inter), the two sizes that a published winner states.

    A shared expert may be fused: one expert more, which every token takes.
    """
    blocks = [(block, one.hidden) for one in map(model, names()) for block in expert_blocks(one)]
    for more in load(_Models, Path(__file__).parent / "shapes.toml").model:
        block = Experts(count=more.experts, top_k=more.top_k, inter=more.inter, gated=more.gated)
        blocks.append((block, more.hidden))
    found: dict[tuple[int, int], set[Shape]] = {}
    for block, hidden in blocks:
        for tp in SPLITS:
            if block.inter % tp == 0:
                for fused in (0, 1) if block.shared_inter else (0,):
                    shape = _split(block, hidden, tp, fused)
                    found.setdefault((shape.experts, shape.inter), set()).add(shape)
    return {key: tuple(sorted(shapes)) for key, shapes in found.items()}
