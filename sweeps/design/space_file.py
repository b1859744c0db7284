"""The tables of SPACE.toml as they stand in the file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ...base import Count, Spec
from .sampling import SAMPLERS

MOST_ENUMERATED, MOST_SEARCHED = 100_000_000, 2**62
Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_:.-]*\Z", max_length=200)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(max_length=12)]
Text = Annotated[str, msgspec.Meta(max_length=1000)]
Constraints = Annotated[dict[str, Text], msgspec.Meta(max_length=60)]


class Sample(Spec, frozen=True, kw_only=True):
    """Points drawn from the axes in place of every combination."""

    points: Annotated[int, msgspec.Meta(ge=1, le=MOST_ENUMERATED)]
    method: str = "latin-hypercube"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in SAMPLERS:
            raise ValueError(f"`method` must be one of {', '.join(SAMPLERS)}, got {self.method!r}")


class Wanted(Spec, frozen=True, kw_only=True):
    """What is made small and what is made large."""

    minimise: Names = ()
    maximise: Names = ()


class Finer(Spec, frozen=True, kw_only=True):
    """Which points are looked at more closely, after all have been at the bound: at most `most`."""

    detail: Literal["finer", "tile", "cycle"] = "finer"
    most: Count = 1000


class Serving(Spec, frozen=True, kw_only=True):
    """How many points of the front are met by the serving simulation."""

    most: Count = 20


class Search(Spec, frozen=True, kw_only=True):
    """A heuristic in place of asking every point: nsga2 or tpe."""

    method: Literal["nsga2", "tpe"] = "nsga2"
    evaluations: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 10_000
    population: Annotated[int, msgspec.Meta(ge=4, le=10_000)] = 100


class SpaceFile(Spec, frozen=True, kw_only=True):
    """The tables of SPACE.toml as they stand there."""

    title: Annotated[str, msgspec.Meta(max_length=200)]
    words: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    seed: Seed = 0
    by: Names = ()
    goals: tuple[Text, ...] = ()
    fixed: dict[str, Any] = msgspec.field(default_factory=dict)
    axes: dict[str, Any]
    sample: Sample | None = None
    derived: dict[str, Any] = msgspec.field(default_factory=dict)
    constraints: Constraints = msgspec.field(default_factory=dict)
    objectives: Wanted
    finer: Finer | None = None
    served: Serving | None = None
    search: Search | None = None
