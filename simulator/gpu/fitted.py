"""Fitted: a file of constants for each GPU and kind of kernel, with how well each family did."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

from ...base import BadInput, NonNegative, Spec, unknown
from ...base.spec import load
from .kernels import AnyConstants

UNKNOWN = (1 / 2.5, 2.5)
"""What the interval of a kernel that nothing was seen of is taken for: of the recorded families,
predicted by their priors, about four rows of five are inside."""


class Score(Spec, frozen=True, kw_only=True):
    """Errors of a fit on rows that it did not see: mean and median absolute relative error, and the
    factors of the prediction between which 80% of the measurements lay. prior_rows: those of them
    that the prior predicted, since too little of the family lay outside their shapes."""

    rows: int
    prior_rows: int = 0
    mape: NonNegative
    median_ape: NonNegative
    low: NonNegative
    high: NonNegative

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise ValueError(f"`low` must not exceed `high` {self.high!r}, got {self.low!r}")


class Family(Spec, frozen=True, kw_only=True):
    """A kernel family, 'backend/kernel_source/dtype', its constants, and how well they did on
    shapes left out of the fit."""

    name: str
    constants: AnyConstants
    unseen_shapes: Score | None = None


class Fitted(Spec, frozen=True, kw_only=True):
    """The families of one kind of table on one GPU. data: what they were fitted on; command: what
    wrote the file."""

    gpu: str
    kind: Literal["moe", "gemm", "attention"]
    data: str
    command: str
    family: tuple[Family, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.names()
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"`family` must name each family once, got {twice[0]!r} twice")

    def constants(self, name: str) -> AnyConstants:
        """The constants of a family; raises BadInput with the nearest names."""
        for family in self.family:
            if family.name == name:
                return family.constants
        raise unknown(f"kernel family with constants for {self.gpu}", name, self.names())

    def names(self) -> list[str]:
        return [family.name for family in self.family]


def format_of(family: str) -> str:
    """The number format in a family's name: its last part, or for attention the one before that of
    the cache. (Some frameworks name kernels with slashes of their own.)"""
    before, _, _ = family.partition("/kv-")
    return before.rpartition("/")[2]


FOLDER = Path(__file__).parent / "shipped"
"""The files that ship: <kind of table>/<gpu>.toml."""


def load_fitted(path: str | Path) -> Fitted:
    """A file that `moesaic calibrate` wrote."""
    return load(Fitted, path)


@functools.cache
def shipped_gpus(kind: str) -> tuple[str, ...]:
    """The GPUs whose constants for a kind of table ship."""
    return tuple(sorted(file.stem for file in (FOLDER / kind).glob("*.toml")))


def shipped(gpu: str, kind: str = "moe") -> Fitted:
    """The reviewed constants of a GPU for a kind of table; raises BadInput where none ship."""
    known = shipped_gpus(kind)
    if gpu not in known:
        raise BadInput(
            f"no {kind} constants ship for {gpu}; they do for {', '.join(known) or 'no GPU'}. Fit "
            "your own with `moesaic calibrate`",
            key="constants",
        )
    return _kept(FOLDER / kind / f"{gpu}.toml")


@functools.cache
def _kept(path: Path) -> Fitted:
    """A shipped file, read once: a step asks for it with every operator."""
    return load_fitted(path)
