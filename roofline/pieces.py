"""Pieces that layers are made of: products, norms, dense blocks and the joining of a replica."""

from __future__ import annotations

from typing import Any

from ..base import number_format
from .dense import elementwise, linear
from .links import group_link
from .shapes import Matrix
from .shards import Drafts, Shards
from .table import Floats


def size_of(shards: Shards, part: str) -> float:
    """Bytes per element of a part of the model: a field of its Formats."""
    return number_format(getattr(shards.model.formats, part)).bytes_per_element


def product(
    out: Drafts,
    shards: Shards,
    name: str,
    tokens: Floats,
    inputs: float,
    outputs: float,
    part: str = "weights",
    **more: Any,
) -> int:
    flops, weights, moved = linear(
        tokens, inputs, outputs, size_of(shards, part), size_of(shards, "activations")
    )
    dtype = getattr(shards.model.formats, part)
    shape = Matrix(rows=tokens, inputs=inputs, outputs=outputs)
    return out.add(
        name, dtype, flops=flops, weights=weights, activations=moved, shape=shape, **more
    )


def norm(out: Drafts, shards: Shards, tokens: Floats) -> None:
    """A norm with the residual added: reads two rows, writes two."""
    width = shards.model.hidden
    moved = elementwise(tokens, 2 * width, 2 * width, size_of(shards, "activations"))
    out.add("norm.residual", shards.model.formats.activations, activations=moved)


def block(
    out: Drafts,
    shards: Shards,
    tokens: Floats,
    name: str,
    inter: int,
    gated: bool,
    after: tuple[int, ...] | None = None,
) -> int:
    """A dense block or the shared experts, split over a replica."""
    width, part = shards.model.hidden, inter / shards.parallel.tp
    up = (2 if gated else 1) * part
    product(out, shards, f"{name}.gate_up", tokens, width, up, after=after)
    return product(out, shards, f"{name}.down", tokens, part, width)


def all_reduce(
    out: Drafts, shards: Shards, tokens: Floats, part: str, kind: str = "all-reduce"
) -> None:
    """Joins the devices of a replica: sums their parts, or only gathers them."""
    if shards.parallel.tp == 1:
        return
    payload = tokens * shards.model.hidden * size_of(shards, "activations")
    link, latency_s = group_link(shards.system, shards.first, shards.parallel.tp, payload, kind)
    out.add(
        f"{kind}.{part}",
        shards.model.formats.activations,
        link=link,
        group="replica",
        latency_s=latency_s,
    )
