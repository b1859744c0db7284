"""Boosted trees as plain data: a sum of regression trees in flat arrays, read without pickle.

Nodes stand tree after tree, each in preorder: the left child of a split is the next node, the right
one stands `skip` nodes on. So every walk moves forward, and a file cannot make one endless.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, parquet
from ...base.files import require_plain

Floats = NDArray[np.float64]

LEAF = -1
"""In `feature`, marks a node without children."""
MOST_NODES = 2**20
MOST_FEATURES = 1024
MOST_FILE_BYTES = 16 * 2**20
BLOCK = 256
"""Calls that pass one tree before the next: a tree and their features stay in the first cache."""

KINDS = {"tree": "int", "feature": "int", "number": "float", "skip": "int"}
"""Columns of a file, a row for each node."""


class Trees(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The value of a call is the sum of the leaves that it reaches, one in each tree.

    names: of the features, in the order of the columns. roots: first node of each tree, `[trees]`.
    The others are `[nodes]`. feature: the column that a split reads, or LEAF. number: of a split,
    the most that goes left; of a leaf, its value. skip: nodes from a split to its right child.
    about: what the trees were grown on, and by what. Raises BadInput for arrays that are no trees.
    """

    names: tuple[str, ...]
    roots: NDArray[np.int64]
    feature: NDArray[np.int16]
    number: Floats
    skip: NDArray[np.int32]
    about: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        _require_trees(self)

    def __call__(self, features: Floats) -> Floats:
        """The value of each call: `[calls, names]` -> `[calls]`."""
        features = np.ascontiguousarray(features, np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.names):
            raise ValueError(f"`features` must be [calls, {len(self.names)}]: {features.shape}")
        if not np.isfinite(features).all():
            raise BadInput("hold values that are no finite numbers", key="features of trees")
        values = np.zeros(len(features))
        _compiled()(features, self.roots, self.feature, self.number, self.skip, values)
        return values


def save(trees: Trees, path: str | Path) -> None:
    """Writes the trees as one Parquet file; `load_trees` gives equal ones."""
    nodes = np.arange(trees.feature.size)
    columns = {
        "tree": (np.searchsorted(trees.roots, nodes, side="right") - 1).astype(np.int32),
        "feature": trees.feature,
        "number": trees.number,
        "skip": trees.skip,
    }
    names = msgspec.json.encode(trees.names).decode()
    parquet.write(path, columns, {**trees.about, "names": names})


def load_trees(path: str | Path) -> Trees:
    """The trees of a file that `save` wrote; raises BadInput for any other."""
    path = Path(path)
    try:
        require_plain(path)
        size = path.stat().st_size
    except OSError:
        raise BadInput("cannot be read; name a file of boosted trees", file=path) from None
    if size > MOST_FILE_BYTES:
        raise BadInput(f"holds {size} bytes; at most {MOST_FILE_BYTES} are read", file=path)
    nodes = parquet.read(path, KINDS, most_rows=MOST_NODES)
    about = parquet.metadata(path)
    try:
        names = msgspec.json.decode(about.pop("names", "null"), type=tuple[str, ...])
        return Trees(
            names=names,
            roots=_roots(nodes["tree"]),
            feature=_whole(nodes["feature"], np.int16),
            number=nodes["number"].astype(np.float64),
            skip=_whole(nodes["skip"], np.int32),
            about=about,
        )
    except (BadInput, msgspec.DecodeError) as fault:
        what = fault.what if isinstance(fault, BadInput) else f"names no features: {fault}"
        raise BadInput(what, file=path) from None


def _roots(tree: NDArray[Any]) -> NDArray[np.int64]:
    """The first node of each tree, from the number of every node's tree."""
    tree = _whole(tree, np.int32)
    if not tree.size or tree[0] != 0 or not np.isin(np.diff(tree), (0, 1)).all():
        raise BadInput("must count trees from 0 without a gap", key="tree")
    return np.flatnonzero(np.diff(tree, prepend=-1)).astype(np.int64)


def _whole(column: NDArray[Any], kind: type[np.integer[Any]]) -> NDArray[Any]:
    """Whole numbers that fit the type; a column with missing values comes as floats."""
    limits = np.iinfo(kind)
    if not bool(((column >= limits.min) & (column <= limits.max)).all()):
        raise BadInput(f"must hold whole numbers of {limits.bits} bits", key="nodes")
    return column.astype(kind)


def _require_trees(trees: Trees) -> None:
    """Every split's children stand behind it and in its own tree; every number is finite."""
    nodes = trees.feature.size
    if not 0 < len(trees.names) <= MOST_FEATURES or len(set(trees.names)) < len(trees.names):
        raise BadInput(f"must name 1 to {MOST_FEATURES} different features", key="names")
    if not nodes == trees.number.size == trees.skip.size or not 0 < nodes <= MOST_NODES:
        raise BadInput(f"must be 1 to {MOST_NODES} nodes, equally many in each column", key="nodes")
    roots = trees.roots
    if not roots.size or roots[0] != 0 or (np.diff(roots) < 1).any() or roots[-1] >= nodes:
        raise BadInput("must start at 0 and rise", key="roots")
    if (trees.feature < LEAF).any() or (trees.feature >= len(trees.names)).any():
        raise BadInput(f"must be {LEAF} or one of {len(trees.names)} features", key="feature")
    if not np.isfinite(trees.number).all():
        raise BadInput("must hold finite thresholds and values", key="number")
    ends = np.repeat(np.append(roots[1:], nodes), np.diff(roots, append=nodes))
    at = np.flatnonzero(trees.feature != LEAF)
    if (trees.skip[at] < 2).any() or (at + trees.skip[at] >= ends[at]).any():
        raise BadInput("must lead from a split to a later node of its tree", key="skip")


def _walked(
    features: Floats,
    roots: NDArray[np.int64],
    feature: NDArray[np.int16],
    number: Floats,
    skip: NDArray[np.int32],
    values: Floats,
) -> None:
    """Adds to `values` the leaf that each call reaches in each tree."""
    for start in range(0, values.size, BLOCK):
        for root in roots:
            for call in range(start, min(start + BLOCK, values.size)):
                node = root
                while feature[node] != LEAF:
                    goes_left = features[call, feature[node]] <= number[node]
                    node += 1 if goes_left else skip[node]
                values[call] += number[node]


@functools.cache
def _compiled() -> Callable[..., None]:
    """The walk compiled at its first use; the result is kept on disk."""
    from numba import njit

    return cast(Callable[..., None], njit(cache=True)(_walked))
