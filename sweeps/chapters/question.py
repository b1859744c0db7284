"""What chapters ask about: a model on a machine, split, with a load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from ...base import BadInput, Count, Spec, number_format
from ...hardware import System
from ...hardware.load import system as load_system
from ...workload import MoEModel, Parallel, Step, make_step
from ...workload.load import model as load_model

if TYPE_CHECKING:
    from ...roofline import Estimate


T = TypeVar("T")
Some = Annotated[tuple[T, ...], msgspec.Meta(min_length=1, max_length=100)]
Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9-]{0,63}\\Z")]
"""Names files: letters, digits and -."""
Line = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]*\Z", max_length=200)]
Words = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*\Z", max_length=4000)]


class Chapter(Spec, frozen=True, kw_only=True):
    """What every chapter has: the name of its files, its heading, and words of its own."""

    name: Name
    title: Line
    words: Words = ""


class Machine(Spec, frozen=True, kw_only=True):
    """A system of the catalogue (or a TOML file) and how the model is split over it.

    Paths are relative to the study's folder, which is `here`.
    """

    on: str
    label: Line = ""
    tp: Count = 1
    ep: Count = 1
    dp: Count = 1
    pp: Count = 1
    weights: str | None = None

    @property
    def shown(self) -> str:
        return self.label or self.on

    def system(self, here: Path = Path()) -> System:
        return load_system(here / self.on if self.on.endswith(".toml") else self.on)

    def parallel(self) -> Parallel:
        """The degrees; refuses those that do not divide."""
        try:
            return Parallel(tp=self.tp, ep=self.ep, dp=self.dp, pp=self.pp)
        except ValueError as fault:
            raise BadInput(str(fault)) from None

    def model(self, name: str, here: Path = Path()) -> MoEModel:
        """The model, with this machine's number format for its weights."""
        return with_weights(
            load_model(here / name if name.endswith(".json") else name), self.weights
        )


def with_weights(model: MoEModel, weights: str | None) -> MoEModel:
    """The model with its weights, experts too, in another number format if one is named."""
    if weights is None:
        return model
    number_format(weights)
    formats = msgspec.structs.replace(model.formats, weights=weights, experts=weights)
    return msgspec.structs.replace(model, formats=formats)


Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class Load(Spec, frozen=True, kw_only=True):
    """The tokens of a step."""

    batch: Tokens = 0
    context: Tokens = 0
    prefill: Tokens = 0

    def step(self, model: MoEModel) -> Step:
        prefill = self.prefill or (model.image_tokens or 0) * (self.batch == 0)
        return make_step(model, batch=self.batch, context=self.context, prefill=prefill)

    @property
    def shown(self) -> str:
        parts = []
        if self.batch:
            parts.append(f"batch {self.batch} at context {self.context}")
        if self.prefill:
            parts.append(f"prefill {self.prefill}")
        return ", ".join(parts) or "one image"


def ask(model: str, machine: Machine, load: Load, here: Path = Path()) -> Estimate:
    """The estimate of a step; refuses what does not fit."""
    from ...simulator import estimate

    shaped, system = machine.model(model, here), machine.system(here)
    try:
        return estimate(shaped, load.step(shaped), system, parallel=machine.parallel())
    except BadInput as fault:
        raise BadInput(f"{machine.shown}: {fault}") from None
