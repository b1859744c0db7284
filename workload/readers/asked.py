"""What the user says of a file that the file itself does not: its shape, its layers.

Engines leave dense layers out in different ways. A reader numbers layers from 0 where the file has
no numbers; what was taken for granted stands in the `source` of what was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..counts import RoutingCounts
from ..trace import RoutingTrace
from .columns import MOST_EXPERTS, built, expert_ids, experts_of

Routing = RoutingTrace | RoutingCounts


class Asked(NamedTuple):
    """top_k: experts a token takes. experts: logical experts a layer. layers: the absolute number
    of each MoE layer, ascending. hidden_layers: all layers of the model, dense ones too."""

    top_k: int | None = None
    experts: int | None = None
    layers: tuple[int, ...] | None = None
    hidden_layers: int | None = None

    def refuse(self) -> None:
        """Raises BadInput for numbers that no model has."""
        for name in ("top_k", "experts", "hidden_layers"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MOST_EXPERTS:
                raise BadInput(f"must lie between 1 and {MOST_EXPERTS}", key=name, value=value)
        if self.layers is not None and (
            not self.layers or self.layers[0] < 0 or not (np.diff(self.layers) > 0).all()
        ):
            raise BadInput("must be ascending and not negative", key="layers", value=self.layers)


def trace_of(
    path: str | Path,
    ids: NDArray[Any],
    asked: Asked,
    notes: Sequence[str] = (),
    *,
    layers: tuple[int, ...] | None = None,
    **columns: Any,
) -> RoutingTrace:
    """The trace of `ids [tokens, layers, k]` from a file that names no number of experts."""
    experts = asked.experts
    if experts is None:
        largest = int(ids.max()) if ids.size else 0
        experts = experts_of(max(largest, 0) + 1, path)
        notes = [*notes, f"experts taken as the largest id + 1: {experts}"]
    return built(
        RoutingTrace,
        path,
        expert_ids=expert_ids(ids, experts, path),
        experts=experts,
        layers=tuple(range(ids.shape[1])) if layers is None else layers,
        source=told(path, *notes),
        **columns,
    )


def told(path: str | Path, *notes: str) -> str:
    """The name of a file and what to know of its reading."""
    name = Path(path).name
    return f"{name} ({'; '.join(notes)})" if notes else name


def settled(routing: Routing, asked: Asked, numbered: bool, path: Path) -> Routing:
    """The routing with the layers that were asked for; refuses what contradicts the file.

    numbered: the file tells the absolute numbers of its layers, so that `asked.layers` picks some
    of them; otherwise they are given to its layers in order.
    """
    if asked.experts is not None and routing.experts != asked.experts:
        raise BadInput(f"holds {routing.experts} experts", file=path, value=asked.experts)
    if isinstance(routing, RoutingTrace) and asked.top_k not in (None, routing.top_k):
        raise BadInput(f"holds {routing.top_k} choices a token", file=path, value=asked.top_k)
    if asked.layers is None:
        if numbered or routing.layers != tuple(range(len(routing.layers))):
            return routing
        return msgspec.structs.replace(routing, source=routing.source + "; layers counted from 0")
    if numbered:
        return _picked(routing, asked.layers, path)
    if len(asked.layers) != len(routing.layers):
        raise BadInput(
            f"holds {len(routing.layers)} MoE layers; {len(asked.layers)} numbers are given",
            file=path,
            key="layers",
        )
    changes: dict[str, Any] = {"layers": asked.layers}
    if isinstance(routing, RoutingCounts):
        new = dict(zip(routing.layers, asked.layers, strict=True))
        changes["pairs"] = tuple((new[a], new[b]) for a, b in routing.pairs)
    return msgspec.structs.replace(routing, **changes)


def _picked(routing: Routing, layers: tuple[int, ...], path: Path) -> Routing:
    """Some layers of a routing whose layers bear their absolute numbers."""
    for layer in layers:
        if layer not in routing.layers:
            raise BadInput(
                f"holds nothing of layer {layer}; it holds {_runs(routing.layers)}", file=path
            )
    rows = [routing.layers.index(layer) for layer in layers]
    changes: dict[str, Any] = {"layers": layers}
    if isinstance(routing, RoutingTrace):
        changes["expert_ids"] = routing.expert_ids[:, rows]
        if routing.weights is not None:
            changes["weights"] = routing.weights[:, rows]
    else:
        changes["loads"] = routing.loads[:, rows]
        kept = [i for i, pair in enumerate(routing.pairs) if set(pair) <= set(layers)]
        changes["pairs"] = tuple(routing.pairs[i] for i in kept)
        if routing.transitions is not None:
            changes["transitions"] = routing.transitions[kept] if kept else None
    return msgspec.structs.replace(routing, **changes)


def _runs(layers: tuple[int, ...]) -> str:
    """`0, 3-60` for the layers 0, 3, 4, ..., 60."""
    cuts = np.flatnonzero(np.diff(layers) != 1) + 1
    runs = [part.tolist() for part in np.split(np.array(layers), cuts)]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
