"""What Duplex (arXiv 2409.01141) prints, and how each number is read off our study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .duplex_study import CASES, Point, Study, points

BEST = "+PE+ET"
MIXTRAL, GLAM, GROK = "Mixtral", "GLaM", "Grok1"
SERVED = 64
"""Requests in flight in the paper's study of GLaM's latencies."""

Read = Callable[[Study], float]


class Headline(NamedTuple):
    """One printed number. needs: the points it is read from; reason: why ours differs, where it
    does by more than a claim's tolerance."""

    metric: str
    unit: str
    published: float
    read: Read
    needs: Callable[[Point], bool]
    neutral: float = 0.0
    reason: str = ""


def over(study: Study, name: str, base: str = "GPU") -> dict[Point, float]:
    """Throughput over that of another machine, where both ran."""
    return {
        point: found.tokens_per_s / study[point, base].tokens_per_s
        for (point, machine), found in study.items()
        if machine == name and (point, base) in study
    }


def saved(study: Study, name: str = BEST) -> dict[Point, float]:
    """Energy of a token, less than the GPU's by this share."""
    out: dict[Point, float] = {}
    for (point, machine), found in study.items():
        if machine == name:
            own, base = found.energy_j_per_token, study[point, "GPU"].energy_j_per_token
            out[point] = 1 - (own or np.nan) / (base or np.nan)
    return out


def _of(case: str) -> Callable[[Point], bool]:
    return lambda point: point.case == case


def _served(point: Point) -> bool:
    return point.case == GLAM and point.batch == SERVED


def _every(point: Point) -> bool:
    return True


def _values(ratios: dict[Point, float], wanted: Callable[[Point], bool] = _every) -> list[float]:
    return [value for point, value in ratios.items() if wanted(point)]


def _at(case: str, length: int, batch: int) -> Callable[[Point], bool]:
    return lambda point: point == Point(case, length, batch)


def _less(study: Study, base: str, of: Callable[[Study, Point, str], float]) -> list[float]:
    """By how much of itself a latency of `base` shrinks, at each point of the latency study."""
    served = [point for point, machine in study if machine == base and _served(point)]
    return [1 - of(study, point, BEST) / of(study, point, base) for point in served]


def _most_saved(case: str) -> Read:
    return lambda study: max(_values(saved(study), _of(case)))


def _tbt(quantile: str) -> Callable[[Study, Point, str], float]:
    return lambda study, point, name: float(getattr(study[point, name].tbt_s, quantile))


def _t2ft(study: Study, point: Point, name: str) -> float:
    return study[point, name].ttft_s.p50


def _e2e(study: Study, point: Point, name: str) -> float:
    return study[point, name].e2e_s.mean


GLAM_MOST = (
    "GLaM at batch 32 has it: 64 assignments on 64 experts leave the GPU's busiest device far "
    "above the mean, which +ET evens out; Mixtral's maximum stands below"
)
BANKS = (
    "Bank-PIM falls to the GPU from batch 64 on, as its arithmetic of one operation a byte says; "
    "the paper's keeps 1.18 times"
)
WHOLE = "at batch 32 whole spaces put all experts on the PIM; less is saved if single ones move"
FASTER = "GLaM gains more than in the paper at every length, as in throughput"
LATENCY = "the batch and the split of 2xGPU are not printed; ours has 16 devices in one node"
LENGTHS = (
    "lengths and requests in flight are not printed; both machines are off alike: their ratio "
    "stands below"
)


def _sustained(batch: int, name: str) -> Read:
    return lambda study: study[Point(MIXTRAL, 1024, batch), name].requests_per_s


HEADLINES: tuple[Headline, ...] = (
    Headline(
        "+PE+ET over GPU, maximum", "x", 2.67, lambda s: max(_values(over(s, BEST))), _every, 1.0,
        GLAM_MOST,
    ),
    Headline(
        "+PE+ET over GPU, Mixtral's maximum", "x", 2.67,
        lambda s: max(_values(over(s, BEST), _of(MIXTRAL))), _of(MIXTRAL), 1.0,
    ),
    Headline(
        "+PE+ET over GPU, average", "x", 2.07,
        lambda s: float(np.mean(_values(over(s, BEST)))), _every, 1.0,
    ),
    Headline(
        "Duplex over GPU, maximum (Mixtral, 4096)", "x", 2.51,
        lambda s: max(_values(over(s, "Duplex"), _of(MIXTRAL))), _of(MIXTRAL), 1.0,
    ),
    Headline(
        "+PE over Duplex, average", "x", 1.04,
        lambda s: float(np.mean(_values(over(s, "+PE", "Duplex")))), _every, 1.0,
    ),
    Headline(
        "+PE+ET over Duplex, maximum", "x", 1.36,
        lambda s: max(_values(over(s, BEST, "Duplex"))), _every, 1.0,
    ),
    Headline(
        "+PE+ET over Bank-PIM, Mixtral's maximum", "x", 1.80,
        lambda s: max(_values(over(s, BEST, "Bank-PIM"), _of(MIXTRAL))), _of(MIXTRAL), 1.0,
        BANKS,
    ),
    Headline(
        "+PE+ET over Bank-PIM, Mixtral's average", "x", 1.49,
        lambda s: float(np.mean(_values(over(s, BEST, "Bank-PIM"), _of(MIXTRAL)))),
        _of(MIXTRAL), 1.0,
    ),
    Headline(
        "Bank-PIM over GPU (Mixtral, 4096, batch 32)", "x", 2.17,
        lambda s: _values(over(s, "Bank-PIM"), _at(MIXTRAL, 4096, 32))[0], _of(MIXTRAL), 1.0,
    ),
    Headline(
        "Bank-PIM over GPU (Mixtral, 256, batch 64)", "x", 1.18,
        lambda s: _values(over(s, "Bank-PIM"), _at(MIXTRAL, 256, 64))[0], _of(MIXTRAL), 1.0,
        BANKS,
    ),
    Headline(
        "+PE+ET over GPU (Mixtral, 256, batch 64)", "x", 2.05,
        lambda s: _values(over(s, BEST), _at(MIXTRAL, 256, 64))[0], _of(MIXTRAL), 1.0,
    ),
    *(
        Headline(
            f"energy a token saved, {case}'s maximum", "%", published, _most_saved(case),
            _of(case), 0.0, WHOLE,
        )
        for case, published in ((MIXTRAL, 0.3328), (GLAM, 0.4203), (GROK, 0.3459))
    ),
    Headline(
        "energy a token saved, average", "%", 0.2819,
        lambda s: float(np.mean(_values(saved(s)))), _every,
    ),
    Headline(
        "GLaM: median TBT below GPU's, average", "%", 0.583,
        lambda s: float(np.mean(_less(s, "GPU", _tbt("p50")))), _served, 0.0, FASTER,
    ),
    Headline(
        "GLaM, 512: p99 TBT below 2xGPU's", "%", 0.1674,
        lambda s: _less(s, "2xGPU", _tbt("p99"))[0], _served, 0.0, LATENCY,
    ),
    Headline(
        "GLaM, 512: median T2FT below 2xGPU's", "%", 0.2617,
        lambda s: _less(s, "2xGPU", _t2ft)[0], _served, 0.0, LATENCY,
    ),
    Headline(
        "GLaM: E2E below GPU's, average", "%", 0.6020,
        lambda s: float(np.mean(_less(s, "GPU", _e2e))), _served,
    ),
    Headline(
        "GLaM: E2E below 2xGPU's, average", "%", 0.3538,
        lambda s: float(np.mean(_less(s, "2xGPU", _e2e))), _served, 0.0, LATENCY,
    ),
    *(
        Headline(
            f"Mixtral: requests/s sustained by {name}, {batch} in flight", "req/s", published,
            _sustained(batch, name), _of(MIXTRAL), 0.0, LENGTHS,
        )
        for name, published in (("GPU", 9.0), (BEST, 14.0))
        for batch in (64, 128)
    ),
    Headline(
        "Mixtral: requests/s of +PE+ET over GPU, 128 in flight", "x", 14 / 9,
        lambda s: _sustained(128, BEST)(s) / _sustained(128, "GPU")(s), _of(MIXTRAL), 1.0,
    ),
)  # fmt: skip
"""Section and figure numbers are not at hand; the values are those of the paper's text."""


def readable(headlines: Sequence[Headline], asked: Sequence[Point]) -> list[Headline]:
    """Those whose points were all asked."""
    whole = points(CASES)
    return [h for h in headlines if {p for p in whole if h.needs(p)} <= set(asked)]
