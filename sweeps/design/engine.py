"""Tasks computed in this process, in processes beside it, or on a Dask cluster; any order."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from ... import __version__
from ...base import BadInput
from ...base.parquet import Columns

Engine = Literal["loky", "dask"]
Points = range | np.ndarray[Any, Any]

MOST_ROWS_HELD = 2**20
"""Points handed out at a time, so that results never pile up faster than the disk takes them."""
MOST_KILLS = 3


class Task(NamedTuple):
    """What is computed at once and becomes one file. points: their numbers, ascending."""

    stage: str
    name: str
    detail: str
    points: Points

    def __str__(self) -> str:
        if not len(self.points):
            return f"{self.stage}/{self.name} (no point)"
        return f"{self.stage}/{self.name} (points {self.points[0]} to {self.points[-1]})"


Work = Callable[[Task], Columns]
"""Computes the rows of a task; can be pickled; the same rows wherever it runs."""


class Where(NamedTuple):
    """jobs: processes, -1 for all processors. scheduler: of Dask, '' for processes of its own."""

    jobs: int = 1
    engine: Engine = "loky"
    scheduler: str = ""

    def checked(self) -> Where:
        """Itself, with the number of processes known. Raises BadInput."""
        if self.jobs < 1 and self.jobs != -1:
            raise BadInput(
                "must be a number of processes, or -1 for all", key="--jobs", value=self.jobs
            )
        if self.engine not in ("loky", "dask"):
            raise BadInput("must be loky or dask", key="--engine", value=self.engine)
        if self.scheduler and self.engine != "dask":
            raise BadInput("is of --engine dask", key="--scheduler", value=self.scheduler)
        return self._replace(jobs=_processors() if self.jobs == -1 else self.jobs)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


Done = Callable[[Task, Columns], None]
Compute = Callable[[Sequence[Task], Work, Done], None]
"""Calls `done` in this process with each task and its rows, as they arrive.

A worker that dies takes only what was in flight with it: its tasks are begun again, alone if it
happens twice. Raises BadInput naming a task that killed its worker three times, and what `work`
raises.
"""


@contextlib.contextmanager
def computing(where: Where) -> Iterator[Compute]:
    """The workers, begun at the first task; none outlives the block, however it ends."""
    where = where.checked()
    if where.engine == "loky" and where.jobs == 1:
        yield _here
        return
    with contextlib.ExitStack() as stack:
        begin = _loky if where.engine == "loky" else _dask
        begun: list[Run] = []

        def compute(tasks: Sequence[Task], work: Work, done: Done) -> None:
            if tasks and not begun:
                begun.append(stack.enter_context(begin(where)))
            for some in _handfuls(tasks, 4 * where.jobs):
                _until_done(some, work, done, begun[0])

        yield compute


def _here(tasks: Sequence[Task], work: Work, done: Done) -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        for task in tasks:
            done(task, work(task))


def _handfuls(tasks: Sequence[Task], least: int) -> Iterator[list[Task]]:
    """The tasks in turn, `least` or more at a time, without holding too many rows."""
    held: list[Task] = []
    rows = 0
    for task in tasks:
        held.append(task)
        rows += len(task.points)
        if rows >= MOST_ROWS_HELD and len(held) >= least:
            yield held
            held, rows = [], 0
    if held:
        yield held


class _Death(Exception):
    """Workers ended instead of the work. suspects: the numbers of the tasks they may have had."""

    def __init__(self, suspects: list[int]) -> None:
        super().__init__(suspects)
        self.suspects = suspects


Run = Callable[[Work, dict[int, Task]], Iterator[tuple[int, Columns]]]
"""Runs numbered tasks and gives their rows in any order; a single one has a worker of its own.
Raises _Death, and what the work raises."""


def _until_done(tasks: Sequence[Task], work: Work, done: Done, run: Run) -> None:
    """Every task once to its end. Those in flight at a worker's second death run alone: then who
    dies is known, and what lacked memory has all of it."""
    left = dict(enumerate(tasks))
    kills: Counter[int] = Counter()
    deadly: list[Task] = []
    while left:
        innocent = {number: task for number, task in left.items() if kills[number] <= 1}
        try:
            for number, columns in run(work, innocent or dict(list(left.items())[:1])):
                done(left.pop(number), columns)
        except _Death as death:
            kills.update(death.suspects)
            deadly += [left.pop(n) for n in death.suspects if kills[n] >= MOST_KILLS]
    if deadly:
        raise BadInput(
            f"{', '.join(map(str, deadly))} killed its worker three times, the last time alone; "
            "has it enough memory? What is finished stays: mend it, then resume"
        )


def _called(work: Work, number: int, task: Task, version: str) -> tuple[int, Columns]:
    if version != __version__:
        raise BadInput(f"a worker has moesaic {__version__}, this process has {version}")
    return number, work(task)


@contextlib.contextmanager
def _loky(where: Where) -> Iterator[Run]:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    def run(work: Work, tasks: dict[int, Task]) -> Iterator[tuple[int, Columns]]:
        begun: set[int] = set()

        def calls() -> Iterator[Any]:
            for number, task in tasks.items():
                begun.add(number)
                yield delayed(_called)(work, number, task, __version__)

        settled = {"initializer": _settled, "initargs": (os.getpid(),)}
        with parallel_config(backend="loky", inner_max_num_threads=1, **settled):
            # Two at least: joblib runs what has one worker in this process, whose death is ours.
            options: dict[str, Any] = {"n_jobs": max(2, where.jobs), "batch_size": 1}
            options |= {"return_as": "generator_unordered", "max_nbytes": None}
            pool: Any = Parallel(**options)
            found = pool(calls())
            try:
                for number, columns in found:
                    begun.remove(number)
                    yield number, columns
            except BrokenProcessPool:
                raise _Death(sorted(begun)) from None
            finally:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # at Ctrl-C: that tasks were begun for nothing
                    found.close()

    try:
        yield run
    finally:
        running: Any = {"reuse": True}
        get_reusable_executor(**running).shutdown(wait=True, kill_workers=True)


def _settled(parent: int) -> None:
    """What a worker does first. Ctrl-C is for its parent to answer; and when that is gone, by
    kill -9 too, it ends: it would wait for ever to hand over its result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _dask(where: Where) -> Iterator[Run]:
    """Calls on the cluster of the scheduler, or on `jobs` local processes."""
    try:
        from distributed import (  # pyright: ignore[reportMissingImports]
            CancelledError,
            Client,
            KilledWorker,
            LocalCluster,
            as_completed,
        )
    except ImportError:
        raise BadInput(
            "needs the package distributed: pip install 'moesaic[dask]'", key="--engine"
        ) from None

    with contextlib.ExitStack() as stack:
        address: Any = where.scheduler
        if not address:
            quiet: dict[str, Any] = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
            address = stack.enter_context(
                LocalCluster(n_workers=where.jobs, threads_per_worker=1, **quiet)
            )
        try:
            client = stack.enter_context(Client(address, timeout=20, set_as_default=False))
        except (OSError, ValueError, TimeoutError) as fault:
            raise BadInput(
                f"no Dask scheduler answers: {fault}", key="--scheduler", value=where.scheduler
            ) from None
        stack.enter_context(client.as_current())
        # Not joblib's backend for Dask: it waits for ever for a task whose worker was killed.

        def run(work: Work, tasks: dict[int, Task]) -> Iterator[tuple[int, Columns]]:
            futures = {
                client.submit(_called, work, number, task, __version__, pure=False): number
                for number, task in tasks.items()
            }
            try:
                for future in as_completed(futures):
                    number = futures.pop(future)
                    try:
                        yield future.result()
                    except KilledWorker:
                        raise _Death([number]) from None
                    except (CancelledError, OSError):
                        raise BadInput(
                            "the Dask scheduler is lost; what is finished stays: resume"
                        ) from None
            finally:
                client.cancel(list(futures))

        yield run
