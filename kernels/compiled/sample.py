"""A covering sample: few targets that still meet every choice."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import msgspec

from .targets import Target


def covering(targets: Sequence[Target]) -> list[Target]:
    """Targets on some of their shapes, so that each kernel runs on its usual shape for every
    architecture, and every value of its parameters meets every shape that some target brings it
    together with.

    Greedy: what meets most that is new goes first, of equals the first. Always the same.
    """
    chosen: list[Target] = []
    for kernel in dict.fromkeys(one.kernel.name for one in targets):
        mine = [one for one in targets if one.kernel.name == kernel]
        cells = [(at, shape) for at, one in enumerate(mine) for shape in one.shapes]
        taken = _cover([set(_meetings(mine[at], shape)) for at, shape in cells])
        for at, one in enumerate(mine):
            shapes = tuple(cells[cell][1] for cell in sorted(taken) if cells[cell][0] == at)
            if shapes:
                chosen.append(msgspec.structs.replace(one, shapes=shapes))
    return chosen


def _cover(sets: Sequence[set[Hashable]]) -> set[int]:
    """The numbers of sets that hold together what all do."""
    left: set[Hashable] = set().union(*sets)
    taken: set[int] = set()
    while left:
        best = max(range(len(sets)), key=lambda i: len(sets[i] & left))
        left -= sets[best]
        taken.add(best)
    return taken


def _meetings(target: Target, shape: str) -> Iterator[Hashable]:
    if shape == next(iter(target.kernel.shapes)):  # the usual one, which has work to do
        yield target.arch
    for choice in target.config.items():
        yield choice, shape
