"""Thread blocks on SMs in time: the tile models by events, where the closed forms take means.

Blocks start in issue order on the first free slot and share the memory's bandwidth. Time moves from
one start or end to the next, so nothing is rounded to ticks.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..timeline import Timeline

Floats = NDArray[np.float64]
ROUNDING = 1e-12
"""What floating point may add: blocks that end within this share of the time end together."""


class Blocks(msgspec.Struct, frozen=True, kw_only=True):
    """The blocks of a launch in issue order: `[blocks]` each.

    compute_s: what a block takes when memory is no limit. moved_bytes: what it moves to and from
    memory meanwhile, evenly. group: a number to know it by (the expert it works for).
    """

    compute_s: Floats
    moved_bytes: Floats
    group: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.compute_s.shape == self.moved_bytes.shape == self.group.shape:
            raise BadInput("differ in length; each block needs one of each", key="blocks")
        if not (np.isfinite(self.compute_s).all() and (self.compute_s > 0).all()):
            raise BadInput("must be positive for every block", key="compute_s")
        if not (np.isfinite(self.moved_bytes).all() and (self.moved_bytes >= 0).all()):
            raise BadInput("must not be negative for any block", key="moved_bytes")

    def least_s(self, slots: int, bandwidth_bytes_per_s: float) -> float:
        """What no order can beat: all work on all slots, the longest block, all bytes."""
        work = max(float(self.compute_s.sum()) / slots, float(self.compute_s.max(initial=0.0)))
        return max(work, float(self.moved_bytes.sum()) / bandwidth_bytes_per_s)

    def most_s(self, slots: int, bandwidth_bytes_per_s: float) -> float:
        """What starting each block on the first free slot never exceeds: at any time memory is
        full, or all slots work undisturbed, or the last blocks do (Graham 1966, with a resource
        that all share)."""
        longest = float(self.compute_s.max(initial=0.0))
        shared = float(self.moved_bytes.sum()) / bandwidth_bytes_per_s
        return float(self.compute_s.sum()) / slots + (1 - 1 / slots) * longest + shared


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What the blocks did: start, end and slot of each, `[blocks]`, with the blocks themselves."""

    blocks: Blocks
    slots: int
    start_s: Floats
    end_s: Floats
    slot: NDArray[np.int64]

    @property
    def seconds(self) -> float:
        """When the last block ends."""
        return float(self.end_s.max(initial=0.0))

    @property
    def idle_share(self) -> float:
        """The share of the slots' time in which no block ran: the tail, and slots never used."""
        spent = float((self.end_s - self.start_s).sum())
        return 1 - spent / max(self.slots * self.seconds, 1e-300)

    @property
    def waiting_share(self) -> float:
        """The share of the blocks' time by which memory slowed them down."""
        spent = float((self.end_s - self.start_s).sum())
        return max(0.0, 1 - float(self.blocks.compute_s.sum()) / max(spent, 1e-300))

    def timeline(self) -> Timeline:
        """The run with a device for each slot and the group as the layer, for ui.perfetto.dev."""
        count = self.slot.size
        return Timeline(
            names=("block",),
            name=np.zeros(count, np.int64),
            layer=self.blocks.group,
            device=self.slot,
            lane=np.zeros(count, np.int64),
            start_s=self.start_s,
            end_s=self.end_s,
            devices=self.slots,
            tokens=0,
            evidence="simulated",
        )

    def save(self, path: str | Path) -> None:
        """Writes the timeline as Trace Event JSON."""
        self.timeline().save(path)


def run_blocks(blocks: Blocks, slots: int, bandwidth_bytes_per_s: float) -> Run:
    """Blocks in issue order, each on the first slot that is free (the lowest of several).

    Bandwidth is shared max-min fairly: a block takes no more than lets it work undisturbed, and
    what it leaves goes to the others evenly. Cost: a few operations on `[slots]` for each instant
    at which blocks end, about 30 us.
    """
    if slots < 1:
        raise BadInput("must be at least 1", key="slots", value=slots)
    if not bandwidth_bytes_per_s > 0:
        raise BadInput("must be positive", key="bandwidth", value=bandwidth_bytes_per_s)
    count = blocks.compute_s.size
    start, end, slot = np.zeros(count), np.zeros(count), np.zeros(count, np.int64)
    demand = blocks.moved_bytes / blocks.compute_s
    left, wanted = np.full(slots, np.inf), np.zeros(slots)  # an idle slot works forever
    block, free = np.zeros(slots, np.int64), np.arange(slots)
    now, issued, running = 0.0, 0, 0
    while issued < count or running:
        free = free[: count - issued]
        new = np.arange(issued, issued + free.size)
        start[new], slot[new], block[free] = now, free, new
        left[free], wanted[free] = blocks.compute_s[new], demand[new]
        issued, running = issued + new.size, running + new.size
        speed = _speeds(wanted, bandwidth_bytes_per_s)
        step = float((left / speed).min())
        now, left = now + step, left - step * speed
        free = np.flatnonzero(left <= ROUNDING * now)
        end[block[free]], left[free], wanted[free] = now, np.inf, 0.0
        running -= free.size
    return Run(blocks=blocks, slots=slots, start_s=start, end_s=end, slot=slot)


def _speeds(wanted: Floats, bandwidth: float) -> Floats:
    """The share of full speed that each slot gets of max-min fair bandwidth: `[slots]`.

    derived: in the order of what they want, slots are served in full until an even share of the
    rest is less than the next one wants; that share is what all the others get.
    """
    if wanted.sum() <= bandwidth * (1 + ROUNDING):
        return np.ones(wanted.size)
    ordered = np.sort(wanted)
    even = (bandwidth - np.cumsum(ordered) + ordered) / np.arange(wanted.size, 0, -1)
    fair = even[np.argmax(ordered > even)]
    return np.asarray(np.minimum(1.0, fair / np.maximum(wanted, fair)))
