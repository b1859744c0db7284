"""Unseen GPUs: rows predicted by constants that were fitted on the other GPUs' shipped tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...hardware import AnyDevice
from ...hardware.load import device as load_device
from ...measured import Measurements, load, systems
from ...simulator.gpu.fitted import UNKNOWN, format_of
from .families import families
from .fit import SAMPLE, fit, prior
from .prediction import INTERVAL, Prediction, Tell, scattered, score, within
from .rows import Rows, family_names, joined

Floats = NDArray[np.float64]

SEEN, UNSEEN = "kernel seen on another GPU", "kernel never seen"


Errors = dict[str, Floats]
"""GPU -> log(measured / predicted) of its rows, predicted by what other GPUs taught."""


EVENLY = np.linspace(0.005, 0.995, 100)
"""A GPU's errors stand for themselves as so many quantiles, however many rows it has."""


class Taught(NamedTuple):
    """Rows with the seconds that other GPUs' rows teach. seen: whether those are of the same
    family. errors: of each teaching GPU's rows when the rest teaches."""

    rows: Rows
    seconds: Floats
    seen: bool
    errors: Errors


def tile_unseen_gpus(table: Measurements, device: AnyDevice, seed: int, tell: Tell) -> Prediction:
    """The tile model, each row predicted by constants fitted on the other GPUs' shipped tables.

    A kernel family that other GPUs ran too takes one set of constants fitted on all of them, or on
    those that ran the same version where there are any. One that none ran takes constants fitted
    on all kernels of its number format, or the prior where there are none. Only the device's data
    sheet is its own; the interval is that of `between`.
    """
    elsewhere = list(_elsewhere(table.kind, device, seed))
    made = []
    for rows in families(table, device, seed):
        made.append(_taught(rows, _versions(table, rows), elsewhere, seed))
        tell(score(rows.family, Prediction(seconds=made[-1].seconds), rows.measured_s))
    parts = []
    for one in made:
        alike = [other.errors for other in made if other.seen == one.seen]
        part = within(one.seconds, between(one.errors, alike))
        known = np.full(len(one.rows), one.seen)
        parts.append(
            (one.rows.where, msgspec.structs.replace(part, parts={SEEN: known, UNSEEN: ~known}))
        )
    return scattered(len(table), parts)


def between(own: Errors, alike: Sequence[Errors]) -> tuple[float, float]:
    """The factors of the 80% interval on one more GPU, from GPUs left out of the teaching in turn.

    own: the errors on each such GPU, for this family; alike: those of all families that are taught
    the same way, taken where `own` has fewer than two GPUs. Each GPU counts as much as any other.
    Few GPUs say little of the next one, so the interval is stretched about its middle as Student's
    t asks, but not beyond that of a kernel that nothing was seen of. derived: the next of n + 1
    alike normal draws lies within t(n - 1) sqrt(1 + 1 / n) deviations of the mean of the n.
    """
    from scipy.stats import norm, t

    errors = own if len(own) > 1 else _by_gpu(alike)
    if len(errors) < 2:
        return UNKNOWN
    quantiles = [np.quantile(one, EVENLY) for one in errors.values()]
    low, high = np.quantile(np.concatenate(quantiles), INTERVAL)
    count, tail = len(errors), INTERVAL[1]
    stretch = t.ppf(tail, count - 1) * np.sqrt(1 + 1 / count) / norm.ppf(tail)
    middle, half = (low + high) / 2, stretch * (high - low) / 2
    ends = np.clip(np.exp([middle - half, middle + half]), *UNKNOWN)
    return float(ends[0]), float(ends[1])


def _by_gpu(errors: Sequence[Errors]) -> Errors:
    """The errors of several families together, GPU by GPU."""
    gpus = dict.fromkeys(gpu for one in errors for gpu in one)
    return {gpu: np.concatenate([one[gpu] for one in errors if gpu in one]) for gpu in gpus}


def _taught(
    rows: Rows, versions: frozenset[str], elsewhere: Sequence[Elsewhere], seed: int
) -> Taught:
    """Rows predicted by what other GPUs teach, and how well these predict one another."""
    same = [one for one in elsewhere if one.rows.family == rows.family]
    same = [one for one in same if one.versions & versions] or same
    alike = same or [one for one in elsewhere if one.dtype == format_of(rows.family)]
    if not alike:
        return Taught(rows, rows.seconds(prior(rows)), False, {})
    errors: Errors = {}
    for gpu in dict.fromkeys(one.gpu for one in alike):
        others = [one.rows for one in alike if one.gpu != gpu]
        if others:
            constants = fit(_lesson(rows, others, seed), seed)
            asked = joined([one.rows for one in alike if one.gpu == gpu])
            errors[gpu] = np.log(asked.measured_s / asked.seconds(constants))
    constants = fit(_lesson(rows, [one.rows for one in alike], seed), seed)
    return Taught(rows, rows.seconds(constants), bool(same), errors)


def _lesson(rows: Rows, others: Sequence[Rows], seed: int) -> Rows:
    """Rows of other families, to be fitted with the choices of these rows' family."""
    taught = msgspec.structs.replace(joined(others), family=rows.family)
    return _thinned(taught, 3 * SAMPLE, seed)


class Elsewhere(NamedTuple):
    """Rows of a family on another GPU, and the framework versions that they ran in."""

    gpu: str
    rows: Rows
    versions: frozenset[str]

    @property
    def dtype(self) -> str:
        return format_of(self.rows.family)


def _elsewhere(kind: str, device: AnyDevice, seed: int) -> Iterator[Elsewhere]:
    for system in systems(kind):
        if system == device.name:
            continue
        table = _few_of_each(load(kind, system), seed)
        for rows in families(table, load_device(system), seed):
            yield Elsewhere(system, _thinned(rows, SAMPLE, seed), _versions(table, rows))


def _few_of_each(table: Measurements, seed: int) -> Measurements:
    """Enough rows of each kernel that no fit misses the others; drawing their loads takes time."""
    order = np.random.default_rng(seed).permutation(len(table))
    names = family_names(table)[order]
    if "phase" in table.columns:
        names = np.char.add(names, table["phase"][order].astype(str))
    kept = [order[names == name][:SAMPLE] for name in np.unique(names)]
    return table.take(np.sort(np.concatenate(kept)))


def _thinned(rows: Rows, count: int, seed: int) -> Rows:
    """At most `count` of the rows, so that a GPU with many does not outvote one with few."""
    if len(rows) <= count:
        return rows
    return rows.take(np.sort(np.random.default_rng(seed).permutation(len(rows))[:count]))


def _versions(table: Measurements, rows: Rows) -> frozenset[str]:
    if "version" not in table.columns:
        return frozenset()
    return frozenset(np.unique(table["version"][rows.where].astype(str)).tolist())
