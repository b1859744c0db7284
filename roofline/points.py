"""A million design points at once: the compiled twin of `operators` followed by `bound`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import BadInput
from ..workload import make_step
from .bound import spent_by_resource
from .fit import fit
from .operators import operators
from .reasons import ACTIVATIONS, CACHE, KV, LATENCY, LINK, TENSOR, WEIGHTS
from .setups import Setup, flatten, regular

RESOURCES = (TENSOR, WEIGHTS, KV, ACTIVATIONS, CACHE, LINK, LATENCY)
"""The columns of `Points.by_resource`, named as in `Estimate.by_resource`. What that calls
imbalance counts here with what the busiest device spends it on."""


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """One number per point: seconds of the step `[points]`, their split by resource
    `[points, RESOURCES]`, and the bytes to spare on the fullest device `[points]` (negative: it
    does not fit)."""

    seconds: NDArray[np.float64]
    by_resource: NDArray[np.float64]
    spare_bytes: NDArray[np.float64]

    def limiter(self) -> list[str]:
        """The resource with the largest share of each point."""
        return [RESOURCES[i] for i in np.argmax(self.by_resource, axis=1)]


def points(
    setups: Sequence[Setup],
    index: ArrayLike,
    *,
    batch: ArrayLike = 0,
    context: ArrayLike = 0,
    prefill: ArrayLike = 0,
    cached: ArrayLike = 0,
    prefill_requests: ArrayLike = 1,
) -> Points:
    """The roofline of many steps under uniform routing and contiguous experts.

    index: `[points]`, the setup of each point; the others: whole numbers `[points]` or one for
    all, as in `workload.make_step`. Equal to `bound(operators(...))` of each point. Setups of
    unequal devices, or whose stages cross the tiers unevenly, take that plain path.
    """
    which = _whole("index", index, np.size(index)).astype(np.int64)
    if which.max(initial=-1) >= len(setups):
        raise BadInput(f"must lie in 0..{len(setups) - 1}", key="index")
    asked = {
        "batch": batch,
        "context": context,
        "prefill": prefill,
        "cached": cached,
        "prefill_requests": prefill_requests,
    }
    columns = {key: _whole(key, value, which.size) for key, value in asked.items()}
    if (columns["prefill_requests"] < 1).any():
        raise BadInput("must be at least 1", key="prefill_requests")
    if ((columns["batch"] == 0) & (columns["prefill"] == 0)).any():
        raise BadInput("computes no token: give a batch or a prefill", key="points")
    plain = np.array([not regular(setup) for setup in setups])
    out = Points(
        seconds=np.zeros(which.size),
        by_resource=np.zeros((which.size, len(RESOURCES))),
        spare_bytes=np.zeros(which.size),
    )
    if not plain.all():
        _fast(setups, plain, which, columns, out)
    for point in np.flatnonzero(plain[which]).tolist():
        _slow(setups[which[point]], {k: int(v[point]) for k, v in columns.items()}, out, point)
    return out


def _whole(key: str, value: ArrayLike, size: int) -> NDArray[np.float64]:
    try:
        column = np.broadcast_to(np.asarray(value), (size,))
    except ValueError:
        raise BadInput(f"needs one number or {size}, got {np.shape(value)}", key=key) from None
    if (
        column.dtype.kind not in "iuf"
        or not (np.isfinite(column) & (column >= 0) & (column == np.floor(column))).all()
    ):
        raise BadInput("must hold whole numbers that are not negative", key=key)
    return np.ascontiguousarray(column, np.float64)


def _fast(
    setups: Sequence[Setup],
    plain: NDArray[np.bool_],
    which: NDArray[np.int64],
    columns: dict[str, NDArray[np.float64]],
    out: Points,
) -> None:
    from .walk import walk

    kept = np.flatnonzero(~plain)
    place = np.full(len(setups), -1)
    place[kept] = np.arange(kept.size)
    flat = flatten([setups[i] for i in kept.tolist()])
    arguments: list[Any] = [place[which], *columns.values()]
    arguments += [getattr(flat, name) for name in flat.__struct_fields__]
    arguments += [out.seconds, out.by_resource, out.spare_bytes]
    walk(*arguments)


def _slow(setup: Setup, asked: dict[str, int], out: Points, point: int) -> None:
    step = make_step(
        setup.model,
        batch=asked["batch"],
        context=asked["context"],
        prefill=asked["prefill"],
        cached=asked["cached"],
        prefill_requests=asked["prefill_requests"],
    )
    table = operators(setup.model, step, setup.system, setup.parallel)
    held = fit(setup.model, table, setup.system, setup.parallel)
    spent = spent_by_resource(table, setup.system)
    out.by_resource[point] = [spent.get(name, 0.0) for name in RESOURCES]
    out.seconds[point] = out.by_resource[point].sum()
    out.spare_bytes[point] = float((held.capacity - held.needed).min())
