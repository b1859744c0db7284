"""CP-SAT that can be stopped by hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any


def searched(solver: Any, model: Any) -> Any:
    """The status of `solver.solve(model)`; Ctrl-C stops the search and raises KeyboardInterrupt.

    CP-SAT's own handler would end one search without a word, and the method would go on with its
    next: so it searches on a thread of its own, while this one can be interrupted.
    """
    solver.parameters.catch_sigint_signal = False
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(solver.solve, model)
        try:
            return running.result()
        except KeyboardInterrupt:
            while not running.done():
                solver.stop_search()
                wait([running], 0.05)
            raise
