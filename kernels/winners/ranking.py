"""Which tile to try first for a model, a batch and a GPU."""

from __future__ import annotations

import msgspec
import numpy as np

from ...base import BadInput, unknown
from ...hardware import AnyDevice
from ...workload import MoEModel
from .chips import Chip, tuned_devices
from .contexts import Contexts, contexts, near_of
from .features import TILES, table
from .prior import chances_from
from .ranker import shipped
from .shapes import Shape, shape_of

MOST_TOKENS = 1_000_000


class RankedTile(msgspec.Struct, frozen=True, kw_only=True):
    """tile: rows, columns and depth of a block. chance: that a tuning run picks it (simulated)."""

    tile: tuple[int, int, int]
    chance: float


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """Every tile of the grid, the best first.

    published: tiles that won on this very GPU for the same experts, width and tokens, by device.
    """

    shape: Shape
    gpu: str
    tokens: int
    tiles: tuple[RankedTile, ...]
    published: dict[str, tuple[tuple[int, int, int], ...]]


def ranked_tiles(
    model: MoEModel, gpu: AnyDevice, tokens: int, tp: int = 1, without: str = ""
) -> Ranking:
    """The ranking for the experts of a model on one GPU, each expert split over tp of them.

    without: a class of devices of which the ranking is to know nothing. Raises BadInput for a GPU
    that it cannot rank for, a batch that no layer has, and an unknown class.
    """
    if not 1 <= tokens <= MOST_TOKENS:
        raise BadInput(f"must be from 1 to {MOST_TOKENS:,}", key="tokens", value=tokens)
    ranker = shipped()
    if without and without not in ranker.unseen:
        raise unknown("class of devices", without, ranker.unseen)
    ranker = ranker.unseen.get(without, ranker)
    shape, chip, known = shape_of(model, tp), Chip.of(gpu), contexts()
    near = near_of((shape,), tokens, chip)[None]
    heard = chances_from(known, near, known.group != without)
    found = ranker.log_chances(table((shape,), tokens, chip)[None], heard)[0]
    order = np.argsort(-found, kind="stable").tolist()
    chances = np.exp(found).tolist()
    return Ranking(
        shape=shape,
        gpu=gpu.name,
        tokens=tokens,
        tiles=tuple(RankedTile(tile=TILES[place], chance=chances[place]) for place in order),
        published=published_winners(known, shape, gpu.name, tokens),
    )


def published_winners(
    known: Contexts, shape: Shape, gpu: str, tokens: int
) -> dict[str, tuple[tuple[int, int, int], ...]]:
    """The tiles that won for these experts and tokens on devices that stand for a catalogue GPU."""
    same = (known.experts == shape.experts) & (known.inter == shape.inter)
    same &= known.tokens == tokens
    devices = tuned_devices()
    return {
        device: tuple(TILES[place] for place in np.flatnonzero(wins).tolist())
        for device, wins in zip(known.device[same].tolist(), known.wins[same], strict=True)
        if devices[device].stands_for(gpu)
    }


def tuned_batches(model: MoEModel, gpu: AnyDevice, tp: int = 1) -> tuple[int, ...]:
    """The token counts that somebody published a winner for, for this model on this GPU."""
    shape, known, devices = shape_of(model, tp), contexts(), tuned_devices()
    same = (known.experts == shape.experts) & (known.inter == shape.inter)
    same &= np.array([devices[name].stands_for(gpu.name) for name in known.device.tolist()])
    return tuple(sorted(set(known.tokens[same].tolist())))


def class_of(gpu: AnyDevice) -> str:
    """The class of the tuned devices that stand for a catalogue GPU; empty where none does."""
    groups = (each.group for each in tuned_devices().values() if each.stands_for(gpu.name))
    return next(groups, "")
