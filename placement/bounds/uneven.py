"""Below which expected makespan no homes of an uneven problem can go, and why.

max(x, p) >= w x + (1 - w) p for any weight w from 0 to 1: with weights given, every expert is on
its own and the least is a sum (Lagrange; derived). Fixed homes are the same in all windows, so each
expert takes the unit of least weighted seconds over all of them, at `prices` that keep to slots;
the best weights are the duals of the linear relaxation. Spaces may go elsewhere in each window: the
PIM has a whole number of them, so many experts, those that are cheapest to move at that weight.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..uneven import Uneven

Floats = NDArray[np.float64]

HALVINGS = 40


class UnevenProof(msgspec.Struct, frozen=True, kw_only=True):
    """The weights of one layer. Fixed homes: `[windows, units]`, each row summing to 1, and prices
    `[units]`. Spaces: of the xPU, `[windows, spaces + 1]` for each number of spaces on the PIM."""

    weights: Floats
    prices: Floats


def prove(problem: Uneven, layer: int) -> UnevenProof:
    """Good weights; any are valid."""
    seconds = problem.seconds[:, :, layer]
    if problem.is_fixed:
        return _relaxed(seconds, problem.slots)
    weights = _bisected(seconds, problem.groups)
    return UnevenProof(weights=weights, prices=np.zeros(0))


def proven_s(problem: Uneven, layer: int, proof: UnevenProof) -> float:
    """What the proof says: no homes of this layer have a lower mean makespan."""
    seconds = problem.seconds[:, :, layer]
    weights, windows = proof.weights, seconds.shape[1]
    if problem.is_fixed:
        mean = np.einsum("wu,uwe->ue", weights, seconds) / windows
        least = (mean + proof.prices[:, None]).min(axis=0).sum()
        return float(least - proof.prices @ problem.slots)
    return float(_at_weights(seconds, weights)[0].min(axis=1).mean())


def _relaxed(seconds: Floats, slots: NDArray[np.int64]) -> UnevenProof:
    """The duals of: least mean of T over windows, where each expert may be divided among units and
    T of a window is no less than any unit's share of it."""
    from scipy.optimize import linprog

    units, windows, experts = seconds.shape
    shares = units * experts
    goal = np.concatenate([np.zeros(shares), np.full(windows, 1 / windows)])
    below = np.zeros((units * windows + units, shares + windows))
    for unit in range(units):
        own = slice(unit * experts, (unit + 1) * experts)
        rows = slice(unit * windows, (unit + 1) * windows)
        below[rows, own] = seconds[unit]
        below[rows, shares:] = -np.eye(windows)
        below[units * windows + unit, own] = 1
    once = np.concatenate([np.tile(np.eye(experts), units), np.zeros((experts, windows))], axis=1)
    scale = seconds.max() or 1.0
    below[: units * windows, :shares] /= scale
    limits = np.concatenate([np.zeros(units * windows), slots])
    found = linprog(goal, below, limits, once, np.ones(experts), method="highs")
    duals = np.maximum(-found.ineqlin.marginals, 0)
    weights = duals[: units * windows].reshape(units, windows).T
    sums = weights.sum(axis=1, keepdims=True)
    weights = np.where(sums > 0, weights / np.where(sums > 0, sums, 1), 1 / units)
    return UnevenProof(weights=weights, prices=scale * duals[units * windows :])


def _bisected(seconds: Floats, spaces: int) -> Floats:
    """For each window and number of spaces on the PIM the weight at which the units end together,
    where the bound is largest: it is concave, with the difference of their sums as its slope."""
    low, high = np.zeros((2, seconds.shape[1], spaces + 1))
    high += 1
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        _, slope = _at_weights(seconds, middle)
        low, high = np.where(slope > 0, middle, low), np.where(slope > 0, high, middle)
    return (low + high) / 2


def _at_weights(seconds: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """(the bound, xPU less PIM seconds), both `[windows, spaces + 1]`, of the best experts for so
    many spaces on the PIM."""
    xpu, pim = seconds[:, :, None, :]
    counts = np.arange(weights.shape[1]) * (xpu.shape[-1] // (weights.shape[1] - 1))
    gain = (1 - weights[..., None]) * pim - weights[..., None] * xpu
    order = np.argsort(gain, axis=-1)
    moved = np.arange(xpu.shape[-1]) < counts[:, None]
    on_pim = np.zeros(gain.shape, np.bool_)
    np.put_along_axis(on_pim, order, np.broadcast_to(moved, gain.shape), axis=-1)
    xpu_s, pim_s = np.where(on_pim, 0, xpu).sum(axis=-1), np.where(on_pim, pim, 0).sum(axis=-1)
    return weights * xpu_s + (1 - weights) * pim_s, xpu_s - pim_s
