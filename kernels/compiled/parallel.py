"""Many independent pieces of work in threads: the compiler and the executor let others run."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None
) -> Generator[Result, None, None]:
    """The result of each item, in order and as soon as it is there.

    After a fault, Ctrl-C or when the caller has seen enough, what has begun is ended and the rest
    is dropped.
    """
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        for future in [pool.submit(work, item) for item in items]:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
