"""StageCosts by `estimate`: every stage at the roofline, or at another detail of a step."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Evidence
from ...hardware import System
from ...roofline import fit, operators
from ...workload import Chunk, Decode, MoEModel, Parallel, Requests, Step, make_step
from ..step import estimate
from .costs import Priced

CHORDS = {"bound": 1e-4, "tile": 2e-3, "cycle": 1e-4}
"""Most that a stage may lie off the straight line between two priced stages, of itself, by detail:
tiles fill up in steps, which it would take thousands of stages to follow."""
FIRST_CELL = 256
"""Cached tokens of a request, the mean, up to which the first cell reaches; each next one ends at
twice as many."""

Both = tuple[float, float]
"""Seconds and joules of a stage."""


class EstimatedCosts:
    """Stages priced by `estimate` under uniform routing, with the mean number of touched experts.

    Runs of decode stages are priced at few contexts and lie on the chords between them: attention
    is affine in cached tokens but where the limiter or the unit changes, so cells of contexts
    are halved until the middle of each lies within `CHORDS` of its chord. Answers are remembered.
    """

    def __init__(
        self, model: MoEModel, system: System, parallel: Parallel, *, detail: str = "bound"
    ) -> None:
        if model.two_stacks:
            raise BadInput("has an encoder, whose prompts are not decoded", key=model.name)
        self.model, self.system, self.parallel, self.detail = model, system, parallel, detail
        self.evidence: Evidence = "bound" if detail == "bound" else "simulated"
        whole = parallel.pp > 1 or detail == "tile"  # tiles of equal layers are priced once anyway
        self.thin = [(model, 1.0)] if whole else _thinned(model)
        self.known: dict[tuple[int, int, tuple[tuple[int, int], ...]], Both] = {}
        self.cells: dict[tuple[int, int], NDArray[np.float64]] = {}

    def decode(self, requests: int, contexts: NDArray[np.int64]) -> Priced:
        cells = np.ceil(np.log2(np.maximum(contexts / requests, FIRST_CELL) / FIRST_CELL))
        out = np.empty((2, contexts.size))
        for cell in np.unique(cells).astype(np.int64).tolist():
            knots, *values = self._cell(requests, cell)
            inside = cells == cell
            out[:, inside] = [np.interp(contexts[inside], knots, column) for column in values]
        return Priced(seconds=out[0], energy_j=out[1])

    def mixed(self, requests: int, context: int, prompts: tuple[tuple[int, int], ...]) -> Priced:
        seconds, joules = self._stage(requests, context, prompts)
        return Priced(seconds=np.array([seconds]), energy_j=np.array([joules]))

    def _cell(self, requests: int, cell: int) -> NDArray[np.float64]:
        """Cached tokens, seconds and joules at the knots of a cell, `[3, knots]`."""
        if (requests, cell) not in self.cells:
            high = requests * FIRST_CELL * 2**cell
            low = high // 2 if cell else 0
            knots = [low, *self._knots(requests, low, high), high]
            rows = [(float(at), *self._stage(requests, at, ())) for at in knots]
            self.cells[requests, cell] = np.array(rows).T
        return self.cells[requests, cell]

    def _knots(self, requests: int, low: int, high: int) -> list[int]:
        """Cached tokens between two knots at which stages are priced, ascending."""
        middle = (low + high) // 2
        if middle - low < requests:
            return []
        ends = np.array([self._stage(requests, at, ()) for at in (low, high)])
        found, chord = np.array(self._stage(requests, middle, ())), ends.mean(axis=0)
        off = np.abs(found - chord) > CHORDS[self.detail] * found  # unknown energies are NaN
        if not off.any():
            return []
        return [
            *self._knots(requests, low, middle), middle, *self._knots(requests, middle, high)
        ]  # fmt: skip

    def _stage(self, requests: int, context: int, prompts: tuple[tuple[int, int], ...]) -> Both:
        key = requests, context, tuple(sorted(prompts))
        if key not in self.known:
            seconds = joules = 0.0
            for model, times in self.thin:
                found = estimate(
                    model,
                    stage_step(model, *key),
                    self.system,
                    parallel=self.parallel,
                    detail=self.detail,
                    ignore_capacity=True,
                )
                seconds += times * found.seconds
                joules += times * (np.nan if found.energy_j is None else found.energy_j)
            self.known[key] = seconds, joules
        return self.known[key]


def _thinned(model: MoEModel) -> list[tuple[MoEModel, float]]:
    """Models of few layers, and how often each counts, that together cost what the model does.

    derived: layers run one after another and equal ones cost the same, so a step costs what one
    layer of each kind does, and for every further layer what one more of its kind adds to that.
    """
    kinds = [layer for layer, _ in model.groups]
    more = [len(numbers) - 1 for _, numbers in model.groups]
    if sum(more) <= len(kinds):
        return [(model, 1.0)]
    thin = [(msgspec.structs.replace(model, layers=tuple(kinds)), 1.0 - sum(more))]
    for kind, times in zip(kinds, more, strict=True):
        if times:
            longer = msgspec.structs.replace(model, layers=(*kinds, kind))
            thin.append((longer, float(times)))
    return thin


def stage_step(
    model: MoEModel, requests: int, context: int, prompts: tuple[tuple[int, int], ...]
) -> Step:
    """The stage as a step: contexts as equal as whole tokens allow, equal prompts together."""
    tokens = requests + sum(now for now, _ in prompts)
    each, more = divmod(context, max(requests, 1))
    groups = [(requests - more, each), (more, each + 1)]
    return msgspec.structs.replace(
        make_step(model, batch=tokens),
        chunks=tuple(
            Chunk(tokens=now, cached=cached, requests=times)
            for (now, cached), times in Counter(prompts).items()
        ),
        decode=tuple(Decode(requests=n, context=c) for n, c in groups if n),
    )


def cache_room(
    model: MoEModel, system: System, parallel: Parallel, requests: Requests, most_requests: int
) -> int:
    """Cached tokens for which the memory has room beside weights and the activations of a stage
    with `most_requests` decoding requests and the longest prompt.

    A token's bytes are those in a request of mean length (a window caps what is held). Raises
    BadInput where the weights alone do not fit.
    """
    prompt = int(requests.prompt_tokens.max())
    mean = int((requests.prompt_tokens + requests.output_tokens).mean())
    stage = operators(model, stage_step(model, most_requests, 0, ((prompt, 0),)), system, parallel)
    beside = fit(model, stage, system, parallel)
    msgspec.structs.replace(beside, kv=0 * beside.kv).demand(system)
    spread = most_requests * parallel.dp
    held = operators(model, stage_step(model, spread, spread * mean, ()), system, parallel)
    per_token = held.cache_bytes.sum(axis=0) / (spread * (mean + 1))
    free = beside.capacity - beside.weights - beside.activations
    return int((free / np.maximum(per_token, 1e-9)).min())
