"""Every design of the grid on every board, and the exact Pareto front of each board."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import Fpga
from ...simulator.fpga.estimate import check_image
from ...simulator.fpga.precision import PRECISIONS, precision
from ...workload import MoEModel
from ..design.pareto import front
from .queues import even
from .space import NAMES, OBJECTIVES, Axes, Evaluated, Space

MOST_POINTS = 2**24
"""Of one board and precision: what is kept of them must fit in memory."""


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """The designs of one board and precision that no other dominates.

    place: `[designs, axes]`, of each parameter's value in the axes; found: what they give; points:
    how many were evaluated, of which `inside` stay inside every budget. least_interval_s: the
    shortest from image to image that any of these allows.
    """

    space: Space
    points: int
    inside: int
    place: NDArray[np.int64]
    found: Evaluated
    least_interval_s: float

    @property
    def name(self) -> str:
        return f"{self.space.board.name} {self.space.precision.name}"

    def parameters(self, design: int) -> dict[str, float]:
        """The values of one design of the front."""
        return parameters(self.space, self.place[design])


def parameters(space: Space, place: NDArray[np.int64]) -> dict[str, float]:
    """The parameters of the point at these places of the axes."""
    return {
        name: values[at]
        for name, values, at in zip(NAMES, space.axes.values, place.tolist(), strict=True)
    }


def search(
    boards: Iterable[Fpga],
    model: MoEModel,
    tokens: int,
    precisions: Sequence[str] = tuple(PRECISIONS),
    *,
    axes: Axes | None = None,
    queues: NDArray[np.int64] | None = None,
    workers: int = 2,
) -> tuple[Front, ...]:
    """The exact front of each board and precision, in their order, whatever the workers.

    Complete: every point of the grid is evaluated. Points over a budget of the board are dropped,
    then those that another point dominates; nothing else is.
    """
    axes = Axes() if axes is None else axes
    if axes.size > MOST_POINTS:
        raise BadInput(f"hold {axes.size} points, at most {MOST_POINTS} are searched", key="axes")
    if workers < 1:
        raise BadInput("must be at least 1", key="workers", value=workers)
    boards = tuple(boards)
    _check_once("boards", [board.name for board in boards])
    _check_once("precisions", precisions)
    check_image(model, tokens)
    images = even(model, tokens) if queues is None else queues
    wanted = (len(images), len(model.moe_layers), model.experts.count)
    if images.shape != wanted or images.dtype.kind not in "iu" or images.min() < 0:
        raise BadInput(f"must be whole numbers of the shape {wanted}", key="queues")
    spaces = [
        Space(board=b, precision=precision(p), model=model, tokens=tokens, queues=images, axes=axes)
        for b in boards
        for p in precisions
    ]
    with ThreadPoolExecutor(workers) as pool:
        return tuple(pool.map(exact, spaces))


def _check_once(key: str, names: Sequence[str]) -> None:
    """Raises BadInput for a name that comes again: it would stand for two fronts."""
    for name, times in Counter(names).items():
        if times > 1:
            raise BadInput(f"are named once each; {name} comes {times} times", key=key)


def exact(space: Space) -> Front:
    """The front of one space."""
    whole = space.grid()
    inside = np.flatnonzero(whole.inside)
    kept = inside[front(whole.objectives[inside])]
    place = np.stack(np.unravel_index(kept, space.axes.shape), axis=1).astype(np.int64)
    found = Evaluated(**{
        name: getattr(whole, name)[kept] for name in Evaluated.__struct_fields__
    })  # fmt: skip
    return Front(
        space=space,
        points=space.axes.size,
        inside=inside.size,
        place=place,
        found=found,
        least_interval_s=float(whole.interval_s[inside].min(initial=np.inf)),
    )


def best(front: Front, objective: str = OBJECTIVES[0]) -> int:
    """The design of the front that is least in one objective; of equals the first."""
    return int(np.argmin(front.found.objectives[:, OBJECTIVES.index(objective)]))
