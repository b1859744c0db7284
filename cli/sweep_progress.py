"""How far a sweep is: a bar on a terminal, a line every few seconds elsewhere; on the error
stream."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from . import show

if TYPE_CHECKING:
    from ..sweeps.design.run import Progress

EVERY_S = 5.0
WORDS = {"bound": "bound", "finer": "more closely", "served": "served"}


class Meter:
    """Rate and time left of a stage, from what this run computed since the first points came: what
    workers need to begin says nothing of the rest. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: dict[str, tuple[float, int]] = {}

    def line(self, now: Progress) -> str:
        """'bound: 65,536 of 1,000,000 points, 120,000 points/s, 8 s left'."""
        text = f"{WORDS[now.stage]}: {now.finished:,} of {now.asked:,} points"
        if now.finished == now.asked:
            return text
        if now.finished == now.found:
            return f"{text} are there already" if now.found else text
        at = self._clock()
        began, before = self._first.setdefault(now.stage, (at, now.finished))
        if now.finished == before or at <= began:
            return text
        rate = (now.finished - before) / (at - began)
        return f"{text}, {rate:,.3g} points/s, {lasting((now.asked - now.finished) / rate)} left"


def lasting(seconds: float) -> str:
    """'8 s', '3 min', '2 h 5 min', '3 days': for people who wait."""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s" if seconds >= 0.95 else "under 1 s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{round(hours / 24):,} days"


@contextlib.contextmanager
def watched() -> Iterator[Callable[[Progress], None]]:
    """What a run tells its progress to."""
    with _bar() if sys.stderr.isatty() else _lines() as told:
        yield told


@contextlib.contextmanager
def _lines() -> Iterator[Callable[[Progress], None]]:
    """A line for each stage at its beginning and end, and every few seconds between."""
    meter = Meter()
    kept: dict[str, str] = {}
    said: dict[str, float] = {}

    def flush() -> None:
        for line in kept.values():
            show.say(line)
        kept.clear()

    def told(now: Progress) -> None:
        if now.stage not in said:
            flush()
        kept[now.stage] = meter.line(now)
        if time.monotonic() - said.get(now.stage, -EVERY_S) >= EVERY_S:
            said[now.stage] = time.monotonic()
            flush()

    try:
        yield told
    finally:
        flush()


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars

    meter = Meter()
    rows: dict[str, TaskID] = {}
    bars = Bars(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True))
    with bars:

        def told(now: Progress) -> None:
            line = meter.line(now)
            if now.stage not in rows:
                rows[now.stage] = bars.add_task(line)
            bars.update(rows[now.stage], description=line, completed=now.finished, total=now.asked)

        yield told
