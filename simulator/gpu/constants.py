"""Constants of a kernel family on a GPU: what the tile model cannot derive from the data sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ...base import BadInput, NonNegative, Share, Spec, unknown
from ...base.spec import load

Tiling = Literal["autotuned", "triton-default"]
"""How a family picks its tile: the fastest of a set, or by Triton's rule of thumb on tokens."""

Packing = Literal["assigned", "every-slot"]
"""Which rows a rank computes under expert parallelism: those assigned to its experts, or all top_k
slots of every token that has any of them there."""


class Constants(Spec, frozen=True, kw_only=True):
    """Fourteen numbers, each with the range that physics allows.

    launch_s: what the layer costs however small it is (kernels, router, synchronisation).
    row_traffic: bytes moved around the products, in rows of the hidden size per assignment
    (permutation, quantisation of activations, weighted sum). group_traffic: passes over the rows
    of the whole group, for kernels that keep a place for every assignment. expert_s: for each
    touched expert. tensor_share: of the dense peak, for a large tile and a long sum.
    tile_half_rows: rows of a
    tile at which half of that is reached. depth_half: length of the sum at which half is reached
    (pipeline fill and drain). dram_share: of the memory's bandwidth. l2_gain: the cache's
    bandwidth over the memory's data sheet bandwidth. resident_share: of the cache, that keeps
    weights from one repeat to the next. product_traffic: passes of a product's own rows over
    memory. wave_s: start and end of each wave of tiles. wave_softness: 0 counts whole waves, 1
    shares of one (persistent or split kernels). overlap: exponent that joins compute, cache and
    memory; 1 adds them, large ones hide the smaller.
    """

    tiling: Tiling = "autotuned"
    packing: Packing = "assigned"
    launch_s: Annotated[float, msgspec.Meta(ge=1e-6, le=3e-4)]
    row_traffic: Annotated[float, msgspec.Meta(ge=0.01, le=60)]
    group_traffic: Annotated[float, msgspec.Meta(ge=1e-3, le=10)]
    expert_s: Annotated[float, msgspec.Meta(ge=1e-9, le=1e-5)]
    tensor_share: Annotated[float, msgspec.Meta(ge=0.03, le=1)]
    tile_half_rows: Annotated[float, msgspec.Meta(ge=0.1, le=300)]
    depth_half: Annotated[float, msgspec.Meta(ge=1, le=3000)]
    dram_share: Annotated[float, msgspec.Meta(ge=0.3, le=1)]
    l2_gain: Annotated[float, msgspec.Meta(ge=0.5, le=12)]
    resident_share: Annotated[float, msgspec.Meta(ge=0.01, le=2)]
    product_traffic: Annotated[float, msgspec.Meta(ge=0.05, le=20)]
    wave_s: Annotated[float, msgspec.Meta(ge=1e-8, le=3e-5)]
    wave_softness: Share
    overlap: Annotated[float, msgspec.Meta(ge=1, le=8)]


PRIOR = Constants(
    launch_s=30e-6,
    row_traffic=4.0,
    group_traffic=0.1,
    expert_s=1e-7,
    tensor_share=0.7,
    tile_half_rows=8.0,
    depth_half=200.0,
    dram_share=0.9,
    l2_gain=2.0,
    resident_share=0.3,
    product_traffic=1.0,
    wave_s=0.5e-6,
    wave_softness=0.5,
    overlap=2.0,
)
"""Where a fit starts, and what an unseen kernel gets: values in the middle of what was fitted."""

FREE = tuple(name for name in Constants.__struct_fields__ if name not in ("tiling", "packing"))
"""The constants that a fit may move."""


def limits() -> list[tuple[float, float]]:
    """The allowed range of each of FREE, as `Constants` states it."""
    info = msgspec.inspect.type_info(Constants)
    assert isinstance(info, msgspec.inspect.StructType)
    found = []
    for field in info.fields:
        kind = field.type
        if field.name in FREE and isinstance(kind, msgspec.inspect.FloatType):
            found.append((kind.ge if kind.ge is not None else 0.01, float(kind.le or 1.0)))
    return found


class Score(Spec, frozen=True, kw_only=True):
    """Errors of a fit on rows that it did not see: mean and median absolute relative error."""

    rows: int
    mape: NonNegative
    median_ape: NonNegative


class Family(Spec, frozen=True, kw_only=True):
    """A kernel family, 'backend/kernel_source/dtype', its constants, and how well they did on
    shapes left out of the fit."""

    name: str
    constants: Constants
    unseen_shapes: Score | None = None


class Fitted(Spec, frozen=True, kw_only=True):
    """The families of one GPU. data: what they were fitted on; command: what wrote the file."""

    gpu: str
    data: str
    command: str
    family: tuple[Family, ...]

    def constants(self, name: str) -> Constants:
        """The constants of a family; raises BadInput with the nearest names."""
        for family in self.family:
            if family.name == name:
                return family.constants
        raise unknown(f"kernel family with constants for {self.gpu}", name, self.names())

    def names(self) -> list[str]:
        return [family.name for family in self.family]


FOLDER = Path(__file__).parent / "fitted"


def load_fitted(path: str | Path) -> Fitted:
    """A file that `moesaic calibrate` wrote."""
    return load(Fitted, path)


def shipped(gpu: str) -> Fitted:
    """The reviewed constants of a GPU; raises BadInput where none ship."""
    path = FOLDER / f"{gpu}.toml"
    if not path.exists():
        known = sorted(file.stem for file in FOLDER.glob("*.toml"))
        raise BadInput(
            f"no constants ship for {gpu}; they do for {', '.join(known) or 'no GPU'}. Fit your "
            "own with `moesaic calibrate`",
            key="constants",
        )
    return load_fitted(path)
