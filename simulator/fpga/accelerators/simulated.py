"""An image in time: how long each kernel keeps the others waiting, and what it waits for itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from ....base import Evidence
from ..graph import Ends
from ..result import Run, Span

FETCH = "weights.read"
"""The port that fetches weights ahead of their use: no kernel begins with it."""


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """What a chip did with `images` images of `tokens` tokens each, all of them done at the end.

    unbalanced: FIFOs into which more or fewer tokens go than come out, found from the graph alone.
    """

    tokens: int
    images: int
    clock_hz: float
    run: Run
    unbalanced: dict[str, Ends]
    evidence: Evidence = "simulated"

    @property
    def ended(self) -> bool:
        """Whether no deadlock kept it from its end."""
        return self.run.deadlock is None

    @property
    def seconds(self) -> float:
        return self.run.cycles / self.clock_hz

    @property
    def images_per_s(self) -> float:
        return self.images / self.seconds

    @property
    def kernels(self) -> dict[str, float]:
        """Seconds of each kernel over all layers, from when it begins to read to when the next one
        does: they sum to the whole. Of two images at once, kernels of both are mixed."""
        begins = sorted(_begins(self.run.spans).items(), key=lambda item: item[1])
        ends = [*(begin for _, begin in begins[1:]), self.run.cycles]
        seconds: dict[str, float] = {}
        for (label, begin), end in zip(begins, ends, strict=True):
            name = kernel_of(label)
            seconds[name] = seconds.get(name, 0.0) + (end - begin) / self.clock_hz
        return seconds


def kernel_of(label: str) -> str:
    """The kernel of a span, whatever image, layer and expert it is of."""
    return re.sub(r"expert \d+", "experts", re.sub(r"^(image \d+, )?(layer \d+, )?", "", label))


def _begins(spans: Iterable[Span]) -> dict[str, int]:
    """When each kernel begins to read, by label."""
    begins: dict[str, int] = {}
    for span in spans:
        if span.process.endswith(".read") and span.process != FETCH:
            begins[span.label] = min(begins.get(span.label, span.start), span.start)
    return begins
