"""The words `routing`, `placement` and `slots`: a recording's chances, and where experts lie by it.

A placement is learnt on one half of the recording and every row is scored on the other, so that no
row knows the tokens that it is asked about.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, unknown
from ...base.files import content_hash
from ...base.parquet import Columns
from ...workload import ExpertMap, MoEModel, Parallel, RoutingCounts, RoutingTrace
from ...workload.readers.detect import load_parts
from ...workload.routed_step import capped_chances
from .words import asked, value_of

Floats = NDArray[np.float64]

ROUTED = ("routing", "placement", "slots")


class Routed(NamedTuple):
    """`chance` of `make_step`, and the map of `operators`; None: uniform, contiguous."""

    chance: Floats | None = None
    expert_map: ExpertMap | None = None


class Source(NamedTuple):
    """A recording: its file, the part of it, and size and time of change, so that a file that is
    written anew is read anew."""

    path: Path
    part: str
    stamp: tuple[int, int]


class Recorded(NamedTuple):
    """Assignments `[moe_layers, experts]` of the half that is learnt from and of the one that is
    scored; the same where it cannot be split. top_k: None where only counts are known."""

    learnt: Floats
    scored: Floats
    layers: tuple[int, ...]
    top_k: int | None


def asks(words: Columns, rows: int) -> NDArray[np.bool_]:
    """Which rows say something of routing or of where experts lie."""
    out = np.zeros(rows, np.bool_)
    for name in ROUTED:
        if name in words:
            plain = ("", "contiguous") if name == "placement" else ("", 0)
            out |= np.array([value not in plain for value in words[name].tolist()], np.bool_)
    return out


def routed(words: Mapping[str, Any], model: MoEModel, split: Parallel, here: Path) -> Routed:
    """What the words of one row say. here: what the file is relative to. Raises BadInput where the
    recording is of another shape than the model, and for what cannot be placed."""
    routing, placement, slots = (value_of(name, asked(words, name)) for name in ROUTED)
    placed = placement not in ("", "contiguous") or slots
    if not routing:
        if placed:
            raise BadInput("is learnt from a recording: name one as `routing`", key="placement")
        return Routed()
    source = _source(routing, here)
    _check(_recorded(source), model)
    if slots > model.experts.count:
        most = model.experts.count
        raise BadInput(f"must be at most the {most} experts of a layer", key="slots", value=slots)
    chance = _chance(source, model.experts.top_k)
    if not placed:
        return Routed(chance)
    return Routed(chance, _placed(source, placement or "contiguous", slots, split.ep))


def fingerprint(routing: str) -> str:
    """The hash of what is read of a recording. Raises BadInput where it cannot be read."""
    found = _recorded(_source(routing, Path()))
    halves = (np.ascontiguousarray(half, "<f8").tobytes() for half in found[:2])
    return content_hash(*halves, repr((found.layers, found.learnt.shape, found.top_k)))


def _check(recorded: Recorded, model: MoEModel) -> None:
    layers, experts = recorded.scored.shape
    own, top_k = model.experts.count, model.experts.top_k
    if experts != own:
        raise BadInput(
            f"was recorded with {experts} experts; {model.name} has {own}", key="routing"
        )
    if layers != len(model.moe_layers):
        raise BadInput(
            f"holds {layers} layers with experts; {model.name} has {len(model.moe_layers)}",
            key="routing",
        )
    if recorded.top_k not in (None, top_k):
        raise BadInput(
            f"holds {recorded.top_k} experts a token; {model.name} takes {top_k}", key="routing"
        )
    few = np.flatnonzero((recorded.scored > 0).sum(axis=1) < top_k)
    if few.size:
        layer = recorded.layers[int(few[0])]
        raise BadInput(
            f"loads fewer than the {top_k} experts of a token in layer {layer}", key="routing"
        )


def _source(routing: str, here: Path) -> Source:
    """The recording named `FILE`, or `FILE#PART` where a file holds several."""
    file, _, part = routing.partition("#")
    for path, named in ((here / routing, ""), (here / file, part)):
        with contextlib.suppress(OSError, ValueError):
            found = path.stat()
            return Source(path, named, (found.st_size, found.st_mtime_ns))
    raise _missing(here / file)


def _missing(path: Path) -> BadInput:
    """That there is no such file, with the nearest in its folder."""
    names: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        names = [entry.name for entry in path.parent.iterdir()]
    if not names:
        return BadInput("lies in no folder that can be read", key="routing", value=str(path))
    return unknown("recording", path.name, names, key="routing")


@functools.lru_cache(64)
def _recorded(source: Source) -> Recorded:
    name, part = source.path.name, source.part
    try:
        parts = load_parts(source.path)
    except BadInput as fault:
        what = f"{fault.key}: {fault.what}" if fault.key else fault.what
        raise BadInput(f"{name}: {what}", key="routing") from None
    if part and part not in parts:
        raise unknown("part", part, filter(None, parts), key="routing")
    if not part and len(parts) > 1:
        choice = " or ".join(f"{name}#{one}" for one in parts)
        raise BadInput(f"{name} holds several recordings: write {choice}", key="routing")
    found = parts[part] if part else next(iter(parts.values()))
    learnt, scored = _halves(found)
    top_k = found.top_k if isinstance(found, RoutingTrace) else None
    return Recorded(learnt, scored, found.layers, top_k)


def _halves(found: RoutingTrace | RoutingCounts) -> tuple[Floats, Floats]:
    """Assignments of every other request, or window of counts, and of the others; all of them twice
    where there is only one."""
    from ..placements.trials import halves, windows  # opens the simulator

    if isinstance(found, RoutingTrace):
        both = halves(found) if found.tokens > 1 else (found, found)
        learnt, scored = (half.counts() for half in both)
    else:
        learnt, scored = windows(found) if len(found.loads) > 1 else (found, found)
    return learnt.total(), scored.total()


@functools.lru_cache(256)
def _chance(source: Source, top_k: int) -> Floats:
    return np.stack([capped_chances(row, top_k) for row in _recorded(source).scored])


@functools.lru_cache(1024)
def _placed(source: Source, placement: str, slots: int, groups: int) -> ExpertMap:
    """Where the learnt half puts the experts; none of `PLACEMENTS` draws or watches a clock."""
    from ...placement import Problem, solve  # opens the simulator

    recorded = _recorded(source)
    try:
        problem = Problem.of(
            RoutingCounts(loads=recorded.learnt[None], layers=recorded.layers),
            groups,
            slots_per_rank=slots or None,
        )
        return solve(problem, placement).expert_map
    except BadInput as fault:
        key = {"slots_per_rank": "slots", "ranks": "ep"}.get(fault.key or "", fault.key)
        raise BadInput(fault.what, key=key, value=fault.value) from None
