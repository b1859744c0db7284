"""What a run will take, before it runs: points, time and disk, from a timed sample."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.parquet import Columns
from ...base.units import show
from .engine import Task
from .results import OK
from .run import FINER_CHUNK, Evaluate, Rows
from .space import Space
from .store import Store

SAMPLE = 2048
"""Points of the sample, evenly spread over the space."""
SPARE = 1.25
"""The disk must have room for so many times what the sample says."""


class Expected(NamedTuple):
    """Of one stage. points: asked at most; seconds: with all processes; bytes: of its files."""

    stage: str
    points: int
    seconds: float
    bytes: float


class Forecast(NamedTuple):
    """sampled: points timed; kept: the share of them that meets the constraints."""

    stages: tuple[Expected, ...]
    sampled: int
    kept: float

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.stages)

    @property
    def bytes(self) -> float:
        return sum(one.bytes for one in self.stages)


def forecast(space: Space, jobs: int = 1, evaluate: Evaluate | None = None) -> Forecast:
    """Evaluates a sample in this process at the bound, and a few of its points at each finer
    detail that the space asks for. Raises BadInput where a point of it does."""
    if evaluate is None:
        from .evaluate import evaluate as ours

        evaluate = ours
    work = Rows(space, evaluate)
    search = space.file.search
    asked = space.size if search is None else search.evaluations
    points = spread(space.size, min(SAMPLE, asked))
    work(Task("bound", "", "bound", points[:16]))  # what is compiled or read once
    seconds, rows = _timed(work, Task("bound", "", "bound", points))
    kept = rows["point"].size / points.size
    size = _bytes_of_row(rows)
    found = [Expected("bound", asked, asked * seconds / points.size / jobs, asked * kept * size)]
    good = rows["point"][rows["status"] == OK]
    later: list[tuple[str, str, int, int]] = []
    if space.file.finer is not None:
        later.append(("finer", space.file.finer.detail, space.file.finer.most, 4))
    if space.file.served is not None:
        later.append(("served", "served", space.file.served.most, 1))
    for stage, detail, most, few in later:
        some = good[spread(good.size, few)] if good.size else good
        task = Task(stage, "", detail, some)
        each = min(_timed(work, task)[0] for _ in range(2)) / some.size if some.size else 0.0
        most = min(most, round(asked * kept))
        together = max(1, min(jobs, -(-most // FINER_CHUNK)))
        found.append(Expected(stage, most, most * each / together, most * size))
    return Forecast(tuple(found), int(points.size), kept)


def spread(size: int, few: int) -> NDArray[np.int64]:
    """`few` of the numbers below `size`, evenly spread, ascending, each once."""
    if few >= size:
        return np.arange(size, dtype=np.int64)
    return np.array([i * size // few for i in range(few)], np.int64)


def check_room(folder: Path, expected_bytes: float) -> None:
    """Raises BadInput where the disk has no room for the files of a run."""
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(there).free
    if free < SPARE * expected_bytes:
        raise BadInput(
            f"the run takes some {show(expected_bytes, 'B')}, the disk has {show(free, 'B')} free; "
            "free some space, or name a folder on another disk",
            file=folder,
        )


def _timed(work: Callable[[Task], Columns], task: Task) -> tuple[float, Columns]:
    begin = time.perf_counter()
    rows = work(task)
    return time.perf_counter() - begin, rows


def _bytes_of_row(rows: Columns) -> float:
    """Of a file with these rows."""
    if not rows["point"].size:
        return 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.parquet"
        Store(path.parent).write(path, rows, {})
        return path.stat().st_size / rows["point"].size
