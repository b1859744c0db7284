"""Contexts: the published winners of known models, those of one device, shape and token count
together."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...measured.tuned_tiles import TunedTiles, tuned_tiles
from .chips import Chip, tuned_devices
from .features import TILES, Floats, table, touched
from .shapes import Shape, known_shapes

Whole = NDArray[np.int64]
Rows = NDArray[np.bool_]

PLACES = {tile: place for place, tile in enumerate(TILES)}
SOURCES = ("vllm", "sglang")


class Contexts(msgspec.Struct, frozen=True, kw_only=True):
    """What was tuned, `[contexts]` each.

    group: class of the device. near `[contexts, 5]`: see `near_of`. won `[contexts, TILES, 2]`: how
    often a tile won in the files of each of SOURCES. skipped: winners left out since no known model
    has their shape.
    """

    group: NDArray[np.str_]
    device: NDArray[np.str_]
    experts: Whole
    inter: Whole
    tokens: Whole
    near: Floats
    won: Floats
    skipped: int

    @property
    def wins(self) -> Floats:
        """How often each tile won, `[contexts, TILES]`."""
        return np.asarray(self.won.sum(axis=2))

    def groups(self) -> list[str]:
        """The classes, those with the most winners first."""
        counts = {one: self.won[self.group == one].sum() for one in np.unique(self.group).tolist()}
        return sorted(counts, key=lambda one: -counts[one])


def near_of(shapes: Sequence[Shape], tokens: int, chip: Chip) -> Floats:
    """By which two contexts are alike: base-2 logarithms of rows per touched expert, tokens, inter,
    hidden and a block's shared memory; the mean over the shapes where it may be several."""
    each = [
        (
            tokens * one.top_k / touched(one, tokens),
            tokens,
            one.inter,
            one.hidden,
            chip.shared_bytes,
        )
        for one in shapes
    ]
    return np.asarray(np.log2(each).mean(axis=0))


@functools.cache
def contexts() -> Contexts:
    """Those of the packaged table."""
    return contexts_of(tuned_tiles())


def contexts_of(tiles: TunedTiles) -> Contexts:
    """Those of a table. Raises BadInput for a device or a tile that is not known."""
    known, devices = known_shapes(), tuned_devices()
    if strange := set(tiles.device.tolist()) - set(devices):
        raise BadInput("is no device of the published winners", key=min(strange))
    chips = {name: each.chip() for name, each in devices.items()}
    keys, rows = _grouped(tiles)
    won = np.zeros((len(keys), len(TILES), len(SOURCES)))
    for place, row in rows:
        tile, source = tuple(tiles.tile[row].tolist()), str(tiles.source[row])
        if tile not in PLACES:
            raise BadInput("is no tile that tuning runs try", value=tile)
        won[place, PLACES[tile], SOURCES.index(source)] += 1
    return Contexts(
        group=np.array([devices[device].group for device, _, _ in keys]),
        device=np.array([device for device, _, _ in keys]),
        experts=np.array([pair[0] for _, pair, _ in keys]),
        inter=np.array([pair[1] for _, pair, _ in keys]),
        tokens=np.array([tokens for _, _, tokens in keys]),
        near=np.array([near_of(known[pair], tokens, chips[name]) for name, pair, tokens in keys]),
        won=won,
        skipped=len(tiles) - len(rows),
    )


Key = tuple[str, tuple[int, int], int]


def _grouped(tiles: TunedTiles) -> tuple[list[Key], list[tuple[int, int]]]:
    """The different (device, (experts, inter), tokens) of known shapes, and for each such winner
    the place of its key and its row."""
    known = known_shapes()
    pairs = zip(tiles.experts.tolist(), tiles.inter.tolist(), strict=True)
    keys = zip(tiles.device.tolist(), pairs, tiles.tokens.tolist(), strict=True)
    places: dict[Key, int] = {}
    rows = [
        (places.setdefault(key, len(places)), row)
        for row, key in enumerate(keys)
        if key[1] in known
    ]
    return list(places), rows


@functools.cache
def feature_tables() -> NDArray[np.float32]:
    """The features of every tile in every packaged context, `[contexts, TILES, features]`: 10 s."""
    known, devices = known_shapes(), tuned_devices()
    chips = {name: each.chip() for name, each in devices.items()}
    one = contexts()
    rows = zip(
        one.device.tolist(), one.experts.tolist(), one.inter.tolist(), one.tokens.tolist(),
        strict=True,
    )  # fmt: skip
    return np.array([table(known[e, n], t, chips[name]) for name, e, n, t in rows], np.float32)
