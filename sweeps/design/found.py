"""The finished run in a folder, read back: every round replayed from its files, none computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.parquet import Columns
from .columns import about
from .engine import Done, Task, Work
from .folder import STAGES, RunFolder, opened
from .outcome import Outcome, outcome
from .run import Runner
from .stages import stages
from .store import Store

Ints = NDArray[np.int64]


class Rows:
    """The rows of a run folder's stages."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self._store = folder, Store(folder.path)

    def read(
        self, stage: str, names: tuple[str, ...] | None, points: Ints | None = None
    ) -> Columns:
        """The named columns (all, if None) of a stage, by ascending point; only of `points`, if
        given; nothing for a stage without files."""
        files = self.folder.files(stage)
        if not files:
            return {}
        self._store.check_own(files, stage, self.folder.manifest.content)
        names = tuple(about(self.folder.space, STAGES[stage])) if names is None else names
        return self._store.read(files, list(names), points)


def read(path: Path) -> tuple[RunFolder, Outcome]:
    """The run and its outcome. Raises BadInput for a folder that holds no run, or one that is not
    finished."""
    folder = opened(path)
    check_finished(folder)
    return folder, outcome(folder.space, Rows(folder))


def check_finished(folder: RunFolder) -> None:
    """Raises BadInput that says what lacks."""

    def refuse(tasks: Sequence[Task], work: Work, done: Done) -> None:
        if tasks:
            lacking = sum(len(task.points) for task in tasks)
            raise BadInput(
                f"is not finished: stage {tasks[0].stage} lacks {lacking} points; go on with "
                f"`moesaic sweep resume {folder.path}`",
                file=folder.path,
            )

    def nothing(columns: Columns, detail: str, seed: int, here: Path) -> Columns:
        return {}

    stages(folder.space, Runner(folder, refuse, nothing))
