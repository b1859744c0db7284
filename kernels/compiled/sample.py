"""A covering sample: few targets that still meet every choice."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import msgspec

from .targets import Target


def covering(targets: Sequence[Target]) -> list[Target]:
    """Targets on some of their shapes, so that of each kernel every value of every parameter meets
    every architecture and every shape that some target brings it together with.

    Greedy: what meets most that is new goes first, of equals the first. Always the same.
    """
    cells = [(one, shape) for one in targets for shape in one.shapes]
    bit_of: dict[Hashable, int] = {}
    meetings = [
        sum(1 << bit_of.setdefault(meeting, len(bit_of)) for meeting in _meetings(*cell))
        for cell in cells
    ]
    left = (1 << len(bit_of)) - 1
    chosen = set()
    while left:
        best = max(range(len(cells)), key=lambda i: (meetings[i] & left).bit_count())
        left &= ~meetings[best]
        chosen.add(best)
    shapes: dict[str, list[str]] = {}
    for i in sorted(chosen):
        shapes.setdefault(str(cells[i][0]), []).append(cells[i][1])
    return [
        msgspec.structs.replace(one, shapes=tuple(shapes[str(one)]))
        for one in targets
        if str(one) in shapes
    ]


def _meetings(target: Target, shape: str) -> Iterator[Hashable]:
    for choice in target.config.items():
        yield target.kernel.name, choice, "on", target.arch
        yield target.kernel.name, choice, "with", shape
