"""A run: rounds of points, each computed once, kept as files, and read where they are kept.

What is asked follows from the space and from rows alone, never from workers, time or chance; so a
run that was broken off is repeated from its beginning, finds its rounds in files, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.files import content_hash
from ...base.parquet import Columns
from .columns import about
from .engine import Compute, Points, Task, Where, computing
from .folder import STAGES, RunFolder
from .locks import WHOLE, Shard, locked
from .space import Space
from .stages import stages
from .store import Store

Ints = NDArray[np.int64]
Evaluate = Callable[[Columns, str, int, Path], Columns]
"""Rows of words, the detail, a seed, and what paths of files are relative to, to rows of results:
`sweeps.design.evaluate.evaluate`."""

CHUNK = {"bound": 32768, "tile": 128, "served": 2, "served-cycle": 2}
FINER_CHUNK = 32
"""Points of a file, seconds of work, by detail. Never by workers: files are the same for all."""


class Progress(NamedTuple):
    """Points of a stage: finished, those of them that an earlier run had, and asked so far."""

    stage: str
    finished: int
    found: int
    asked: int


class Rows(msgspec.Struct, frozen=True):
    """The work of a task: words, results, and what the space derives from both."""

    space: Space
    evaluate: Evaluate

    def __call__(self, task: Task) -> Columns:
        points = task.points
        if isinstance(points, range):
            words = self.space.columns(points.start, points.stop)
        else:
            words = self.space.select(points)
        rows = words | self.evaluate(words, task.detail, self.space.seed, self.space.here)
        rows |= self.space.derive(rows)
        return {name: rows[name] for name in about(self.space, task.detail)}


class Runner:
    """Computes rounds of points, or reads them where this run or an earlier one has them."""

    def __init__(
        self,
        folder: RunFolder,
        compute: Compute,
        evaluate: Evaluate,
        shard: Shard = WHOLE,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.folder, self.space, self.shard = folder, folder.space, shard
        self._compute, self._work = compute, Rows(folder.space, evaluate)
        self._progress = progress or (lambda _: None)
        self._store = Store(folder.path)
        self._points: dict[str, Progress] = {}

    def every(self) -> bool:
        """All points of the space at the bound; of a shard only its chunks. Whether all were
        asked: what a shard has is no ground to go on from."""
        chunks = _chunks("bound", "all", "bound", range(self.space.size))
        self._finish([one for i, one in enumerate(chunks) if self.shard.holds(i)])
        return self.shard == WHOLE

    def round(self, stage: str, name: str, points: Ints, detail: str) -> Columns:
        """The rows of these points that meet the constraints, ascending, with all columns."""
        chunks = _chunks(stage, name, detail, np.sort(points))
        self._finish(chunks)
        return self._store.read(
            [self._path(one) for one in chunks], list(about(self.space, detail))
        )

    def rows(self, names: list[str], stage: str = "bound") -> Columns:
        """Some columns of all finished rows of a stage, by ascending point."""
        self.check_own(stage)
        return self._store.read(self.folder.files(stage), names)

    def check_own(self, stage: str) -> None:
        """Raises BadInput for a file of the stage that is not of this run. After its rounds: one
        that bears the name of a task has been computed anew by then."""
        self._store.check_own(self.folder.files(stage), stage, self.folder.manifest.content)

    def _finish(self, chunks: list[Task]) -> None:
        """Computes the chunks that have no finished file."""
        if not chunks:
            return
        missing = [one for one in chunks if not self._finished(one)]
        stage = chunks[0].stage
        asked = sum(len(one.points) for one in chunks)
        found = asked - sum(len(one.points) for one in missing)
        before = self._points.get(stage, Progress(stage, 0, 0, 0))
        self._told(
            Progress(stage, before.finished + found, before.found + found, before.asked + asked)
        )
        self._compute(missing, self._work, self._keep)

    def _keep(self, task: Task, rows: Columns) -> None:
        columns = about(self.space, task.detail)
        metadata = {f"unit.{name}": one.unit for name, one in columns.items() if one.unit}
        metadata |= {f"evidence.{name}": one.evidence for name, one in columns.items()}
        metadata |= self._stated(task) | {"rows": str(rows["point"].size)}
        self._store.write(self._path(task), rows, metadata)
        now = self._points[task.stage]
        self._told(now._replace(finished=now.finished + len(task.points)))

    def _told(self, now: Progress) -> None:
        self._points[now.stage] = now
        self._progress(now)

    def _finished(self, task: Task) -> bool:
        return self._store.finished(self._path(task), self._stated(task))

    def _stated(self, task: Task) -> dict[str, str]:
        """What a file of this task says of itself, and a file of another does not."""
        return self.folder.provenance | {
            "stage": task.stage,
            "task": task.name,
            "detail": task.detail,
            "points": _hash(task.points),
        }

    def _path(self, task: Task) -> Path:
        return self.folder.path / task.stage / f"{task.name}.parquet"


def _chunks(stage: str, name: str, detail: str, points: Points) -> list[Task]:
    size = CHUNK.get(detail, FINER_CHUNK)
    return [
        Task(stage, f"{name}-{i:06d}", detail, points[begin : begin + size])
        for i, begin in enumerate(range(0, len(points), size))
    ]


def _hash(points: Points) -> str:
    if isinstance(points, range):
        return f"{points.start}..{points.stop - 1}"
    return content_hash(np.ascontiguousarray(points, np.int64).tobytes())


Stages = Callable[[Space, Runner], bool]
"""Asks all rounds of a run in turn; whether it came to its end, which a shard alone cannot."""


def run(
    folder: RunFolder,
    where: Where | None = None,
    *,
    shard: Shard = WHOLE,
    evaluate: Evaluate | None = None,
    asks: Stages = stages,
    progress: Callable[[Progress], None] | None = None,
) -> bool:
    """Computes what the folder lacks; whether the run came to its end.

    A shard computes its chunks of the first stage only. Raises BadInput: a folder that another
    process writes, a full disk, a task that kills its worker; what is finished stays in each case,
    and on Ctrl-C, and the next run goes on from there.
    """
    if evaluate is None:
        from .evaluate import evaluate as ours

        evaluate = ours
    if folder.space.file.search is not None and shard != WHOLE:
        raise BadInput(
            "splits a space that is enumerated; this one is searched, and each generation follows "
            "from the one before",
            key="--shard",
            value=str(shard),
        )
    with locked(folder.path, shard):
        if shard == WHOLE:
            _clear(folder.path)
        with computing(where or Where()) as compute:
            runner = Runner(folder, compute, evaluate, shard, progress)
            ended = asks(folder.space, runner)
            for stage in STAGES:
                runner.check_own(stage)
            return ended


def _clear(path: Path) -> None:
    """Removes what a killed run left half-written; nobody else writes."""
    for stage in STAGES:
        for left in (path / stage).glob(".*.parquet"):
            left.unlink(missing_ok=True)
