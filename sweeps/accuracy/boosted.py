"""Boosted trees grown on measurements: the tile model's correction, and a plain reference.

Both are grown by LightGBM, which nothing else needs; what comes out is plain data (`Trees`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...simulator.gpu import AnyConstants
from ...simulator.gpu.correction import FAMILY, Features, call_features, columns, factors
from ...simulator.gpu.trees import LEAF, Trees
from .rows import Rows

Floats = NDArray[np.float64]

INSTALL = "install it with: pip install 'moesaic[accuracy]'"
GLITCH = 1.5
"""Most that a row may be off, as a logarithm: some recorded rows are off by 4x to 39x."""
MOST_ROWS = 60_000
"""Rows that trees are grown on, drawn from all; more of them change no correction's error."""


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """How trees are grown, in LightGBM's words: number of trees, leaves of each, what each adds of
    what it found, rows that a leaf needs, the share of features and of rows that each tree sees,
    the weight that holds leaves near zero. The loss is the absolute error."""

    rounds: int
    num_leaves: int = 31
    learning_rate: float = 0.1
    min_data_in_leaf: int = 20
    feature_fraction: float = 1.0
    bagging_fraction: float = 1.0
    lambda_l2: float = 0.0


PLAIN = Growth(rounds=300)
"""LightGBM as it comes."""
CORRECTION = Growth(
    rounds=300, min_data_in_leaf=200, feature_fraction=0.6, bagging_fraction=0.6, lambda_l2=1.0
)
"""Leaves of many rows, and trees that see a part of everything: they carry over to other shapes."""


def grow(
    features: Floats,
    target: Floats,
    names: Sequence[str],
    *,
    seed: int = 0,
    growth: Growth = PLAIN,
    about: dict[str, str] | None = None,
) -> Trees:
    """Trees that predict `target [calls]` from `features [calls, names]`; equal for equal input.

    Raises BadInput without LightGBM.
    """
    lightgbm = _lightgbm()
    settings = {
        **msgspec.to_builtins(growth),
        "objective": "l1",
        "bagging_freq": 1 if growth.bagging_fraction < 1 else 0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
    rounds = settings.pop("rounds")
    # Names of its own: LightGBM refuses some characters.
    data = lightgbm.Dataset(features, target, feature_name=[f"f{i}" for i in range(len(names))])
    return _plain(lightgbm.train(settings, data, rounds).dump_model(), names, about or {})


def _lightgbm() -> Any:
    try:
        import lightgbm
    except (ImportError, OSError) as fault:  # OSError: its OpenMP library is missing
        raise BadInput(f"boosted trees are grown by LightGBM ({fault}); {INSTALL}") from None
    return lightgbm


def _plain(model: dict[str, Any], names: Sequence[str], about: dict[str, str]) -> Trees:
    """LightGBM's dump as flat arrays, nodes in preorder."""
    roots: list[int] = []
    nodes: list[tuple[int, float, int]] = []

    def put(node: dict[str, Any]) -> None:
        if "split_feature" not in node:
            nodes.append((LEAF, node["leaf_value"], 0))
            return
        at = len(nodes)
        nodes.append((LEAF, 0.0, 0))
        put(node["left_child"])
        nodes[at] = (node["split_feature"], node["threshold"], len(nodes) - at)
        put(node["right_child"])

    for tree in model["tree_info"]:
        roots.append(len(nodes))
        put(tree["tree_structure"])
    feature, number, skip = zip(*nodes, strict=True)
    return Trees(
        names=tuple(names),
        roots=np.array(roots, np.int64),
        feature=np.array(feature, np.int16),
        number=np.array(number, np.float64),
        skip=np.array(skip, np.int32),
        about=about,
    )


def seen(rows: Rows, constants: AnyConstants) -> Features:
    """What a correction sees of a family's rows, priced with the constants."""
    terms = rows.terms(constants)
    return call_features(rows.kernel, rows.asked, rows.machine, terms, rows.family)


def grow_correction(
    parts: Sequence[tuple[Rows, AnyConstants]],
    *,
    seed: int = 0,
    growth: Growth = CORRECTION,
    about: dict[str, str] | None = None,
) -> Trees:
    """Trees that give the logarithm of measured over predicted seconds, for families of one kernel.

    parts: families with the constants that price them.
    """
    features = [seen(rows, constants) for rows, constants in parts]
    names = dict.fromkeys(name for one in features for name in one)
    own = [name for name in names if not name.startswith(FAMILY)]
    names_in_order = [*own, *(name for name in names if name.startswith(FAMILY))]
    table = np.concatenate([columns(one, names_in_order) for one in features])
    target = np.concatenate(
        [np.log(rows.measured_s / rows.seconds(constants)) for rows, constants in parts]
    )
    order = np.random.default_rng(seed).permutation(target.size)[:MOST_ROWS]
    kept = np.sort(order)
    off = np.clip(target[kept], -GLITCH, GLITCH)
    return grow(table[kept], off, names_in_order, seed=seed, growth=growth, about=about)


def corrected_s(rows: Rows, constants: AnyConstants, trees: Trees) -> Floats:
    """The tile model's seconds of each row, corrected: `[rows]`."""
    return rows.seconds(constants) * factors(trees, seen(rows, constants))
