"""Any strategy of Kernel Tuner, where that package is installed.

Its strategies call a runner. They run in a thread of their own, with a runner that hands each
configuration over and waits for the answer, so that they ask and are told like any other strategy.
They draw from Python's and numpy's global generators, which are seeded before one begins; one that
draws from a generator of its own (`diff_evo`) cannot be repeated.
"""

from __future__ import annotations

import importlib
import math
import queue
import random
import threading
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...base import BadInput, unknown
from .space import Space
from .strategy import Question, Search, Strategy

PREFIX = "kt-"
MAX_THREADS = 1024
"""Of a block, as one of its strategies asks; the space has been held to its own rules already."""
INSTALL = "strategies of Kernel Tuner need it: pip install kernel_tuner"


def kernel_tuner(name: str) -> Strategy:
    """Kernel Tuner's strategy of this name, such as `diff_evo`. Raises BadInput where there is
    none, or where the package is missing."""
    try:
        strategies: Any = importlib.import_module("kernel_tuner.interface").strategy_map
    except ImportError:
        raise BadInput(INSTALL) from None
    if name not in strategies:
        raise unknown("strategy of Kernel Tuner", name, strategies)

    def search(question: Question) -> Search:
        return _asked(strategies[name], question)

    return search


def _asked(theirs: Any, question: Question) -> Search:
    runner = _Runner(question)
    thread = threading.Thread(target=_run, args=(theirs, question, runner), daemon=True)
    thread.start()
    try:
        while (row := runner.asked.get()) is not None:
            if isinstance(row, Exception):
                raise BadInput(f"Kernel Tuner's strategy failed: {row}")
            runner.told.put((yield row))
    finally:
        runner.told.put(None)


def _run(theirs: Any, question: Question, runner: _Runner) -> None:
    util: Any = importlib.import_module("kernel_tuner.util")
    interface: Any = importlib.import_module("kernel_tuner.interface")
    random.seed(question.seed)
    np.random.seed(question.seed % 2**32)  # noqa: NPY002
    options = interface.Options(
        strategy_options=interface.Options(max_fevals=question.budget),
        max_fevals=question.budget,
        objective=["time"],
        objective_higher_is_better=[False],
        budget=util.TuningBudget(None, question.budget),
        restrictions=[],
        tune_params=_parameters(question.space),
        cache={},
        seed=question.seed,
        verbose=False,
    )
    end: Exception | None = None
    try:
        theirs.tune(_searchspace(question.space), runner, options)
    except (_Left, util.StopCriterionReached):
        pass
    except Exception as fault:  # theirs can be any
        end = fault
    runner.asked.put(end)


def _parameters(space: Space) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in space.parameters.items()}


def _searchspace(space: Space) -> Any:
    made: Any = importlib.import_module("kernel_tuner.searchspace").Searchspace
    configs = {str(row): space.config(row) for row in range(len(space))}
    return made(None, None, None, from_cache={"tune_params": _parameters(space), "cache": configs})


class _Left(BaseException):
    """Nobody waits for the search any more."""


class _Runner:
    """What Kernel Tuner takes for a runner: an answer for each configuration, in milliseconds."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.asked: queue.SimpleQueue[int | Exception | None] = queue.SimpleQueue()
        self.told: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self.known: set[int] = set()
        self.dev = SimpleNamespace(max_threads=MAX_THREADS)

    def run(self, configs: Iterable[tuple[Any, ...]], options: Any) -> list[dict[str, Any] | None]:
        return [None if options.budget.is_done() else self._one(c, options) for c in configs]

    def add_strategy_time(self, seconds: float) -> None:
        """Kernel Tuner tells how long its strategy thought; that is not kept."""

    def _one(self, values: tuple[Any, ...], options: Any) -> dict[str, Any]:
        util: Any = importlib.import_module("kernel_tuner.util")
        config = dict(zip(self.question.space.parameters, values, strict=True))
        try:
            row = self.question.space.row(config)
        except BadInput:
            return {**config, "__error__": util.InvalidConfig()}
        self.asked.put(row)
        seconds = self.told.get()
        if seconds is None:
            raise _Left
        if row not in self.known:
            self.known.add(row)
            options.budget.add_evaluations(1)
        if math.isinf(seconds):
            return {**config, "__error__": util.RuntimeFailedConfig()}
        return {**config, "time": 1e3 * seconds}
