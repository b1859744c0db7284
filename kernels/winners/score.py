"""The ranker held against published winners, one class of devices after another left out."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...measured.tuned_tiles import tuned_tiles
from .chips import tuned_devices
from .contexts import PLACES, SOURCES, Contexts, Rows
from .features import TILES, Floats
from .prior import chances_from, frequency_by_batch
from .ranker import ELSEWHERE, Ranker, Score, best_penalty, fitted

RANDOM, BATCH, BATCH_KNOWN = "random", "frequency by batch", "the same, known shapes only"
PHYSICS, RANKER = "physics alone", "ranker"
METHODS = (RANDOM, BATCH, BATCH_KNOWN, ELSEWHERE, PHYSICS, RANKER)
BANDS = {"1-16 tokens": (1, 16), "17-256 tokens": (17, 256), "over 256 tokens": (257, 10**9)}
FIRST = (1, 5, 10)


def unseen_rankers(known: Contexts, features: NDArray[Any]) -> dict[str, Ranker]:
    """For each class a ranker that learned from the others only; minutes."""
    found = {}
    for group in known.groups():
        others = known.group != group
        found[group] = fitted(known, features, others, best_penalty(known, features, others))
    return found


def leave_one_class_out(
    known: Contexts, features: NDArray[Any], unseen: dict[str, Ranker]
) -> list[Score]:
    """The scores of METHODS on every class that they learned nothing from."""
    return [
        score
        for group, ranker in unseen.items()
        for method, scores in predictions(known, features, group, ranker).items()
        for score in _scores(known, known.group == group, group, method, scores)
    ]


def predictions(
    known: Contexts, features: NDArray[Any], group: str, ranker: Ranker
) -> dict[str, Floats]:
    """For each method a score of every tile in the contexts of a class, learned from the other
    classes: `[contexts of the class, tiles]`."""
    asked = known.group == group
    others = ~asked
    heard = chances_from(known, known.near[asked], others)
    tokens = known.tokens[asked]
    physics = fitted(known, features, others, ranker.penalty, winners=False)
    return {
        RANDOM: np.zeros_like(heard),
        BATCH: frequency_by_batch(tokens, *_all_but(group)),
        BATCH_KNOWN: frequency_by_batch(tokens, known.tokens[others], known.wins[others]),
        ELSEWHERE: heard,
        PHYSICS: physics.log_chances(features[asked], heard),
        RANKER: ranker.log_chances(features[asked], heard),
    }


def _all_but(group: str) -> tuple[NDArray[np.int64], Floats]:
    """Tokens and winners of all other classes, whatever the shape: `[rows]`, `[rows, tiles]`."""
    tiles, devices = tuned_tiles(), tuned_devices()
    other = np.array([devices[name].group != group for name in tiles.device.tolist()])
    places = [PLACES[tuple(tile)] for tile in tiles.tile[other].tolist()]
    return tiles.tokens[other], np.eye(len(TILES))[places]


def _scores(known: Contexts, asked: Rows, group: str, method: str, scores: Floats) -> list[Score]:
    """One row for all winners of the class, each band of tokens, and each source."""
    won, tokens = known.won[asked], known.tokens[asked]
    shares = hits(scores)
    parts = {"all": won.sum(axis=2)}
    for name, (low, high) in BANDS.items():
        parts[name] = parts["all"] * ((tokens >= low) & (tokens <= high))[:, None]
    parts |= {source: won[:, :, place] for place, source in enumerate(SOURCES)}
    return [
        Score(
            group=group,
            part=name,
            method=method,
            winners=int(part.sum()),
            **{
                f"top{first}": float((share * part).sum() / part.sum())
                for first, share in zip(FIRST, shares, strict=True)
            },
        )
        for name, part in parts.items()
        if part.sum()
    ]


def hits(scores: Floats) -> list[Floats]:
    """For each of FIRST the chance that a tile is among so many with the best scores, equal ones in
    random order: `[contexts, tiles]`."""
    above = (scores[:, None, :] > scores[:, :, None]).sum(axis=2)
    equal = (scores[:, None, :] == scores[:, :, None]).sum(axis=2)
    return [np.clip((first - above) / equal, 0, 1) for first in FIRST]


def calibrated(known: Contexts, features: NDArray[Any], command: str) -> Ranker:
    """The ranker of all classes, with the scores of those that had to do without one."""
    unseen = unseen_rankers(known, features)
    every = np.ones(len(known.group), bool)
    ranker = fitted(known, features, every, best_penalty(known, features, every))
    return msgspec.structs.replace(
        ranker,
        data=f"measured/recorded/tuned_tiles: {int(known.won.sum())} winners of known models; "
        f"{known.skipped} of other shapes skipped",
        command=command,
        scores=tuple(leave_one_class_out(known, features, unseen)),
        unseen=unseen,
    )
