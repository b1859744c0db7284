"""The reusable linear kernel: a tile of weights a cycle, shared by units with a token each.

Rows are dealt round robin to the units, in groups of one a unit; the last group of a queue is
padded (UbiMoE's reusable linear kernel; with one unit, Edge-MoE's). The same processes run dense
matrices (one queue of all rows) and experts (a queue each).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import groupby

import msgspec

from ....base import Count, Spec
from ..closed_forms import tiles
from ..graph import Loop, Program, Step

MOST_KEPT = 512
"""Programs kept of each kind: the same matrices come again in every layer."""


class Tiling(Spec, frozen=True, kw_only=True):
    """A matrix of `inputs` x `outputs` cut into tiles of `tin` x `tout`; features pass `lanes` a
    cycle. chunk: features of a token in a unit's FIFO."""

    inputs: Count
    outputs: Count
    tin: Count
    tout: Count
    lanes: Count
    chunk: Count

    @property
    def beats_in(self) -> int:
        """Beats of a row of features that comes in."""
        return int(tiles(self.inputs, self.lanes))

    @property
    def beats_out(self) -> int:
        return int(tiles(self.outputs, self.lanes))

    @property
    def chunks(self) -> int:
        """Tokens of a row in a unit's FIFO."""
        return int(tiles(self.inputs, self.chunk))

    @property
    def out_tiles(self) -> int:
        return int(tiles(self.outputs, self.tout))


@lru_cache(MOST_KEPT)
def dealer_program(
    rows: int,
    tiling: Tiling,
    *,
    x: str | None,
    units: tuple[str, ...],
    orders: str | None,
    group: str,
) -> Program:
    """Deals one queue of `rows`: unit by unit a row, a beat a cycle, read from `x` (None: from a
    store of its own); padding is not read. A row's first beat writes its order, a group's first
    beat its `group` token."""
    gives = _given(tiling.inputs, tiling.lanes, tiling.chunk)

    def row(unit: int, filled: int) -> Program:
        reads = {x: 1} if x and unit < filled else {}
        told = ({orders: 1} if orders else {}) | ({group: 1} if unit == 0 else {})
        steps = [Step(reads=reads, writes=_some(units[unit], give)) for give in gives]
        steps[0] = msgspec.structs.replace(steps[0], writes={**steps[0].writes, **told})
        return runs(steps)

    return _groups(rows, len(units), row)


@lru_cache(MOST_KEPT)
def compute_program(
    rows: int,
    tiling: Tiling,
    *,
    units: tuple[str, ...],
    outs: tuple[str, ...],
    group: str,
    weights: str,
) -> Program:
    """All units on one tile of weights a cycle. The first row of tiles takes the rows from the
    units' FIFOs, the last tile of each row of tiles gives a token to every `outs` FIFO. The
    weights, a half of a double buffer, are peeked at throughout and released by the last tile."""
    takes = _needed(tiling.inputs, tiling.tin, tiling.chunk)
    given = dict.fromkeys(outs, 1)

    def tile_row(first: bool, releases: bool = False) -> Program:
        steps = []
        for tile, take in enumerate(takes):
            reads = dict.fromkeys(units, take) if first and take else {}
            reads |= {group: 1} if first and tile == 0 else {}
            last = tile == len(takes) - 1
            hold = {weights: 1}
            steps.append(
                Step(reads=reads | hold, writes=given)
                if last and releases
                else Step(reads=reads, peeks=hold, writes=given if last else {})
            )
        return runs(steps)

    def whole(releases: bool) -> Program:
        others = tiling.out_tiles - 1
        if not others:
            return tile_row(True, releases)
        middle = Loop(others - 1, tile_row(False))
        return (*tile_row(True), middle, *tile_row(False, releases))

    groups = int(tiles(rows, len(units)))
    return (Loop(groups - 1, whole(False)), *whole(True))


@lru_cache(MOST_KEPT)
def writer_program(
    rows: int, tiling: Tiling, *, outs: tuple[str, ...], orders: str | None, out: str
) -> Program:
    """Collects one queue's results in the order in which rows were dealt, a beat a cycle; those of
    padding are dropped, in the same cycles."""
    needs = _needed(tiling.outputs, tiling.lanes, tiling.tout)

    def row(unit: int, filled: int) -> Program:
        writes = {out: 1} if unit < filled else {}
        steps = [Step(reads=_some(outs[unit], need), writes=writes) for need in needs]
        if orders:
            steps[0] = msgspec.structs.replace(steps[0], reads={**steps[0].reads, orders: 1})
        return runs(steps)

    return _groups(rows, len(outs), row)


def loader_program(beats: int, *, stream: str, weights: str) -> Program:
    """Fills a half of the double buffer `weights`, a beat a cycle."""
    return (
        Step(reads={stream: 1}, reserves={weights: 1}, times=beats - 1),
        Step(reads={stream: 1}, writes={weights: 1}),
    )


def _groups(rows: int, units: int, row: Callable[[int, int], Program]) -> Program:
    """A row of every unit, group by group; `row` is told how many units have one."""

    def group(filled: int) -> Program:
        return tuple(step for unit in range(units) for step in row(unit, filled))

    full, left = divmod(rows, units)
    return (Loop(full, group(units)), *(group(left) if left else ()))


def _needed(width: int, tile: int, chunk: int) -> list[int]:
    """Chunks of a row of `width` that each tile of it is the first to need."""
    return _steps(int(tiles(min((i + 1) * tile, width), chunk)) for i in range(_count(width, tile)))


def _given(width: int, tile: int, chunk: int) -> list[int]:
    """Chunks of a row of `width` that are whole with each tile of it; the last one may be short."""
    count = _count(width, tile)
    return _steps([*((i + 1) * tile // chunk for i in range(count - 1)), _count(width, chunk)])


def _count(width: int, tile: int) -> int:
    return int(tiles(width, tile))


def _steps(ends: Iterable[int]) -> list[int]:
    """What each of growing numbers adds to the one before."""
    before, added = 0, []
    for end in ends:
        added.append(end - before)
        before = end
    return added


def _some(name: str, tokens: int) -> dict[str, int]:
    return {name: tokens} if tokens else {}


def runs(steps: Iterable[Step]) -> Program:
    """Equal neighbours as one step, done so many times."""
    return tuple(
        msgspec.structs.replace(step, times=len(list(same))) for step, same in groupby(steps)
    )
