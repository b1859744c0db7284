"""The tile model against a measured table: with shipped constants, a file's, or refitted ones."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from ...base import BadInput
from ...hardware import AnyDevice
from ...hardware.load import device as load_device
from ...measured import Measurements, load, systems
from ...simulator.gpu import Fitted, load_fitted, shipped
from ...simulator.gpu.fitted import UNKNOWN, format_of
from ...simulator.gpu.trees import Trees, load_trees
from .boosted import corrected_s
from .families import families
from .fit import SAMPLE, fit, prior
from .prediction import Model, Prediction, Tell, scattered, score, spread, within
from .rows import Rows, family_names, joined

SEEN, UNSEEN = "kernel seen on another GPU", "kernel never seen"


def tile(table: Measurements, device: AnyDevice, seed: int, tell: Tell) -> Prediction:
    """The tile model with the constants that ship for the device; kernel families that it has none
    for get the prior. The shipped tables are what the constants were fitted on: for shapes that a
    fit did not see, cross-validate."""
    return _with_constants(table, device, shipped(device.name, table.kind), seed)


def tile_with(constants: str | Path, trees: str | Path | None = None) -> Model:
    """The tile model with the constants of a file that `moesaic calibrate` wrote, and with the
    correction that it grew on them where one is named."""
    fitted = load_fitted(constants)
    grown = load_trees(trees) if trees is not None else None

    def tile_with_file(table: Measurements, device: AnyDevice, seed: int, tell: Tell) -> Prediction:
        _require(fitted.gpu == device.name, fitted.gpu, device.name, constants)
        if grown is not None:
            made_for = f"{grown.about.get('kind')} on {grown.about.get('gpu')}"
            wanted = f"{table.kind} on {device.name}"
            _require(made_for == wanted, made_for, wanted, trees)
        return _with_constants(table, device, fitted, seed, constants, grown)

    return tile_with_file


def _require(holds: bool, found: str, wanted: str, file: str | Path | None) -> None:
    if not holds:
        raise BadInput(f"holds what was fitted for {found}; the table is of {wanted}", file=file)


def _with_constants(
    table: Measurements,
    device: AnyDevice,
    fitted: Fitted,
    seed: int,
    file: str | Path | None = None,
    grown: Trees | None = None,
) -> Prediction:
    known = {family.name: family for family in fitted.family}
    parts, met = [], 0
    for rows in families(table, device, seed):
        family = known.get(rows.family)
        if family is not None:
            kernel = str(type(family.constants).__struct_config__.tag)
            _require(kernel == rows.kernel, f"{kernel} kernels", f"{rows.kernel} kernels", file)
            met += 1
        constants = family.constants if family else prior(rows)
        if grown is not None and family is not None:
            seconds = corrected_s(rows, constants, grown)
        else:
            seconds = rows.seconds(constants)
        errors = family.unseen_shapes if family else None
        factors = (errors.low, errors.high) if errors else UNKNOWN
        parts.append((rows.where, within(seconds, factors)))
    if file is not None and not met:
        raise BadInput("holds constants of none of the table's kernel families", file=file)
    return scattered(len(table), parts)


def tile_unseen_gpus(table: Measurements, device: AnyDevice, seed: int, tell: Tell) -> Prediction:
    """The tile model, each row predicted by constants fitted on the other GPUs' shipped tables.

    A kernel family that other GPUs ran too takes one set of constants fitted on all of them, or on
    those that ran the same version where there are any. One that none ran takes constants fitted
    on all kernels of its number format, or the prior where there are none. Only the device's data
    sheet is its own. The interval is that of the rows that were fitted: between GPUs it is narrow.
    """
    elsewhere = _elsewhere(table.kind, device, seed)
    parts = []
    for rows in families(table, device, seed):
        versions = _versions(table, rows)
        same = [one for one in elsewhere if one.rows.family == rows.family]
        same = [one for one in same if one.versions & versions] or same
        seen = bool(same)
        alike = same or [one for one in elsewhere if one.dtype == _dtype(rows)]
        part = _taught(rows, [one.rows for one in alike], seed)
        known = np.full(len(rows), seen)
        part = msgspec.structs.replace(part, parts={SEEN: known, UNSEEN: ~known})
        parts.append((rows.where, part))
        tell(score(rows.family, part, rows.measured_s))
    return scattered(len(table), parts)


def _taught(rows: Rows, others: list[Rows], seed: int) -> Prediction:
    """Rows predicted by what other families teach, which are taken to make their choices."""
    if not others:
        return within(rows.seconds(prior(rows)), UNKNOWN)
    taught = msgspec.structs.replace(joined(others), family=rows.family)
    taught = _thinned(taught, 3 * SAMPLE, seed)
    constants = fit(taught, seed)
    factors = spread(taught.seconds(constants), taught.measured_s)
    return within(rows.seconds(constants), factors)


class _Elsewhere(msgspec.Struct, frozen=True):
    """Rows of a family on another GPU, and the framework versions that they ran in."""

    rows: Rows
    versions: frozenset[str]

    @property
    def dtype(self) -> str:
        return _dtype(self.rows)


def _elsewhere(kind: str, device: AnyDevice, seed: int) -> list[_Elsewhere]:
    found = []
    for system in systems(kind):
        if system == device.name:
            continue
        table = _few_of_each(load(kind, system), seed)
        for rows in families(table, load_device(system), seed):
            found.append(_Elsewhere(_thinned(rows, SAMPLE, seed), _versions(table, rows)))
    return found


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


def _dtype(rows: Rows) -> str:
    return format_of(rows.family)
