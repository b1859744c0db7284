"""The tile model against a measured table: with shipped constants, a file's, or refitted ones."""

from __future__ import annotations

from pathlib import Path

from ...base import BadInput
from ...hardware import AnyDevice
from ...measured import Measurements
from ...simulator.gpu import Fitted, load_fitted, shipped
from ...simulator.gpu.fitted import UNKNOWN
from ...simulator.gpu.trees import Trees, load_trees
from .boosted import corrected_s
from .families import families
from .fit import prior
from .prediction import Model, Prediction, Tell, scattered, within
from .suspect import Priced, remarks


def tile(table: Measurements, device: AnyDevice, seed: int, tell: Tell) -> Prediction:
    """The tile model with the constants that ship for the device; kernel families that it has none
    for get the prior. The shipped tables are what the constants were fitted on: for shapes that a
    fit did not see, cross-validate."""
    return _with_constants(table, device, shipped(device.name, table.kind), seed, tell)


def tile_with(constants: str | Path, trees: str | Path | None = None) -> Model:
    """The tile model with the constants of a file that `moesaic calibrate` wrote, and with the
    correction that it grew on them where one is named."""
    fitted = load_fitted(constants)
    grown = load_trees(trees) if trees is not None else None

    def tile_with_file(table: Measurements, device: AnyDevice, seed: int, tell: Tell) -> Prediction:
        found, wanted = f"{fitted.kind} on {fitted.gpu}", f"{table.kind} on {device.name}"
        _require(found == wanted, found, wanted, constants)
        if grown is not None:
            made_for = f"{grown.about.get('kind')} on {grown.about.get('gpu')}"
            _require(made_for == wanted, made_for, wanted, trees)
        return _with_constants(table, device, fitted, seed, tell, constants, grown)

    return tile_with_file


def _require(holds: bool, found: str, wanted: str, file: str | Path | None) -> None:
    if not holds:
        raise BadInput(f"holds what was fitted for {found}; the table is of {wanted}", file=file)


def _with_constants(
    table: Measurements,
    device: AnyDevice,
    fitted: Fitted,
    seed: int,
    tell: Tell,
    file: str | Path | None = None,
    grown: Trees | None = None,
) -> Prediction:
    known = {family.name: family for family in fitted.family}
    parts, priced = [], []
    for rows in families(table, device, seed):
        family = known.get(rows.family)
        if family is not None:
            kernel = str(type(family.constants).__struct_config__.tag)
            _require(kernel == rows.kernel, f"{kernel} kernels", f"{rows.kernel} kernels", file)
        constants = family.constants if family else prior(rows)
        if grown is not None and family is not None:
            seconds = corrected_s(rows, constants, grown)
        else:
            seconds = rows.seconds(constants)
        if family is not None:
            priced.append(Priced(rows, seconds))
        errors = family.unseen_shapes if family else None
        factors = (errors.low, errors.high) if errors else UNKNOWN
        parts.append((rows.where, within(seconds, factors)))
    if file is not None and not priced:
        raise BadInput("holds constants of none of the table's kernel families", file=file)
    if not priced:
        tell(f"no kernel family of the table has constants for {device.name}: all by the prior")
    for line in remarks(priced, device.name):
        tell(line)
    return scattered(len(table), parts)
