"""Requests: when they come and how long they are, drawn or recorded."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from ..base.files import read_text

COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens")
MOST_REQUESTS = 10_000_000


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """float64 `arrival_s` ascending, int64 `prompt_tokens` and `output_tokens` from 1 up."""

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = self.arrival_s.shape
        if len(count) != 1 or not count[0]:
            raise BadInput("needs at least one request", key="requests")
        for name in COLUMNS[1:]:
            column = getattr(self, name)
            if column.shape != count or column.dtype.kind not in "iu" or column.min() < 1:
                raise BadInput(f"needs {count[0]} whole numbers of at least 1", key=name)
        if not np.isfinite(self.arrival_s).all() or (np.diff(self.arrival_s) < 0).any():
            raise BadInput("must be finite and ascending", key="arrival_s")

    @property
    def count(self) -> int:
        return int(self.arrival_s.shape[0])


def drawn(
    count: int,
    *,
    prompt_mean: float,
    output_mean: float,
    spread: float,
    rate_per_s: float,
    seed: int,
    shape: str = "lognormal",
) -> Requests:
    """`count` requests with lengths around the means and Poisson arrivals.

    spread: standard deviation over mean of both lengths. shape: a name in `SHAPES`. Lengths are
    rounded and at least 1. rate_per_s: mean arrivals; inf lets all come at once.
    """
    if shape not in SHAPES:
        raise BadInput(f"must be one of {', '.join(SHAPES)}", key="shape", value=shape)
    if not 1 <= count <= MOST_REQUESTS:
        raise BadInput(f"must lie between 1 and {MOST_REQUESTS}", key="count", value=count)
    for key, value in (("prompt_mean", prompt_mean), ("output_mean", output_mean)):
        if not 1 <= value <= 1e9:
            raise BadInput("must lie between 1 and 1e9", key=key, value=value)
    if not 0 <= spread <= 100 or not rate_per_s > 0:
        key, value = ("rate_per_s", rate_per_s) if 0 <= spread <= 100 else ("spread", spread)
        raise BadInput("must be positive (a spread from 0 to 100)", key=key, value=value)
    rng = np.random.default_rng(seed)
    lengths = [SHAPES[shape](rng, mean, spread, count) for mean in (prompt_mean, output_mean)]
    prompt, output = (np.maximum(np.rint(x), 1).astype(np.int64) for x in lengths)
    gaps = rng.exponential(1 / rate_per_s, count)
    return Requests(arrival_s=np.cumsum(gaps), prompt_tokens=prompt, output_tokens=output)


def _lognormal(
    rng: np.random.Generator, mean: float, spread: float, count: int
) -> NDArray[np.float64]:
    variance = np.log1p(spread**2)  # of the logarithm, so that mean and spread are as asked
    return rng.lognormal(np.log(mean) - variance / 2, np.sqrt(variance), count)


def _gaussian(
    rng: np.random.Generator, mean: float, spread: float, count: int
) -> NDArray[np.float64]:
    return rng.normal(mean, spread * mean, count)


SHAPES = {"lognormal": _lognormal, "gaussian": _gaussian}


def read_csv(path: str | Path) -> Requests:
    """Requests from a CSV with the columns arrival_s, prompt_tokens, output_tokens."""
    rows = csv.DictReader(io.StringIO(read_text(path)))
    try:
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise BadInput("lacks the column", file=path, key=missing[0])
        table = np.array([[float(row[name]) for name in COLUMNS] for row in rows])
    except (ValueError, TypeError, csv.Error) as fault:
        if isinstance(fault, BadInput):
            raise
        raise BadInput(f"holds a row that is no number: {fault}", file=path) from None
    if not table.size:
        raise BadInput("holds no request", file=path)
    if not np.isfinite(table).all() or table.max() > 2**53:
        raise BadInput("holds a number that is not finite or too large", file=path)
    table = table[np.argsort(table[:, 0], kind="stable")]
    lengths = table[:, 1:].astype(np.int64)
    return Requests(arrival_s=table[:, 0], prompt_tokens=lengths[:, 0], output_tokens=lengths[:, 1])
