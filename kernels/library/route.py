"""The router's choice: the best experts of each token, and their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, unknown
from . import bounds
from .exact import exactly, unwritten
from .experts import NULL
from .kernel import Config, Constraint, Expected, Kernel, Launch, Problem

SOFTMAX, SIGMOID = 0, 1
SCALE = np.float32(2.5)

BIASES = np.array([0.0, -30 / 128, 18 / 128, 48 / 128])
"""With logits that are quarters up to 4, no two of sigmoid + bias come nearer than 2^-9 unless both
parts are equal: far above their rounding, so that fp32 must choose as float64 does."""


class RouteShape(msgspec.Struct, frozen=True):
    """logits: `mixed`, with many exact ties; all `negative`; all `equal`; or all but one of a token
    `masked`, that is minus infinity."""

    tokens: int
    logits: str = "mixed"

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise BadInput("needs at least one token", key="tokens", value=self.tokens)
        if self.logits not in LOGITS:
            raise unknown("kind of logits", self.logits, LOGITS)


def _mixed(rng: np.random.Generator, tokens: int, experts: int) -> NDArray[np.float32]:
    return (rng.integers(-16, 17, (tokens, experts)) / 4).astype(np.float32)


def _negative(rng: np.random.Generator, tokens: int, experts: int) -> NDArray[np.float32]:
    return (rng.integers(-16, 0, (tokens, experts)) / 4).astype(np.float32)


def _equal(rng: np.random.Generator, tokens: int, experts: int) -> NDArray[np.float32]:
    return np.full((tokens, experts), -0.75, np.float32)


def _masked(rng: np.random.Generator, tokens: int, experts: int) -> NDArray[np.float32]:
    logits = np.full((tokens, experts), -np.inf, np.float32)
    logits[np.arange(tokens), rng.integers(0, experts, tokens)] = 4
    return logits


LOGITS: dict[str, Callable[[np.random.Generator, int, int], NDArray[np.float32]]] = {
    "mixed": _mixed,
    "negative": _negative,
    "equal": _equal,
    "masked": _masked,
}


def reference(
    logits: NDArray[Any], bias: NDArray[Any], config: Config
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """logits `[tokens, experts]`, bias `[experts]` -> (ids, weights) `[tokens, TOP_K]`, best first,
    the lower expert of equals.

    Sigmoid: chosen by sigmoid + bias, weighted by sigmoid (DeepSeek-V3, arXiv 2412.19437, equations
    13 to 16, without its limit on nodes).
    """
    logits = np.asarray(logits, np.float64)
    if config["SCORING"] == SIGMOID:
        scores = 1 / (1 + np.exp(-logits))
        wanted = scores + bias
    else:
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        wanted = logits
    ids = np.argsort(-wanted, axis=1, kind="stable")[:, : config["TOP_K"]]
    weights = np.take_along_axis(scores, ids, axis=1)
    if config["RENORMALISE"]:
        weights /= weights.sum(axis=1, keepdims=True)
    return ids, weights


def error_bound(
    logits: NDArray[Any], ids: NDArray[Any], weights: NDArray[Any], config: Config
) -> NDArray[np.float64]:
    """The largest error of each weight in fp32, `[tokens, TOP_K]`.

    derived: counted in roundings to nearest; the fast exponential is within 2 + 1.173 |x| last
    places, which are two roundings each, the fast division within 2 (CUDA Programming Guide,
    intrinsic functions). A difference in an exponent costs its own size once more. A sum of n terms
    is as far off as its worst term and n roundings.
    """
    logits = np.asarray(logits, np.float64)
    if config["SCORING"] == SIGMOID:
        each = 4 + 2.346 * np.abs(logits) + 1 + 4
    else:
        below = logits.max(axis=1, keepdims=True) - logits
        each = 4 + 2.346 * below + below
    each[np.isinf(logits)] = 0  # the exponential of minus infinity is 0
    roundings = np.take_along_axis(each, ids, axis=1) + 1 + 4  # times the scale, over the sum
    if config["SCORING"] == SOFTMAX or config["RENORMALISE"]:
        terms = config["TOP_K"] if config["RENORMALISE"] else config["EXPERTS"]
        roundings += each.max(axis=1, keepdims=True) + terms
    return np.asarray(bounds.fp32_sum(roundings) * weights)


def problem(config: Config, shape: RouteShape, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    logits = LOGITS[shape.logits](rng, shape.tokens, config["EXPERTS"])
    bias = rng.choice(BIASES, config["EXPERTS"]).astype(np.float32)
    ids, weights = reference(logits, bias, config)
    weights *= SCALE
    return Problem(
        shape=shape,
        arguments={
            "logits": logits,
            "bias": bias if config["SCORING"] == SIGMOID else NULL,
            "experts": unwritten(*ids.shape),
            "weights": np.full(ids.shape, np.nan, np.float32),
            "tokens": np.int32(shape.tokens),
            "scale": SCALE,
        },
        expected={
            "experts": exactly(ids.astype(np.int32)),
            "weights": Expected(
                value=weights, bound=error_bound(logits, ids, weights, config), values=np.asarray
            ),
        },
    )


def start(config: Config, shape: RouteShape | None) -> Launch:
    tokens = 1 if shape is None else shape.tokens
    blocks = -(-tokens * config["LANES"] // (32 * config["WARPS"]))
    return Launch(grid=(blocks, 1, 1), threads=32 * config["WARPS"], shared_bytes=0)


def sizes(shape: RouteShape) -> dict[str, int]:
    return {"tokens": shape.tokens}


def _config(
    scoring: int, renormalise: int, experts: int, top_k: int, lanes: int, warps: int
) -> Config:
    return {
        "EXPERTS": experts,
        "TOP_K": top_k,
        "LANES": lanes,
        "WARPS": warps,
        "SCORING": scoring,
        "RENORMALISE": renormalise,
    }


# The routers of the models in workload/models. Few lanes a token for many tokens; many lanes and
# small blocks for few tokens, where one token's time is what counts.
CONFIGS: dict[str, Config] = {
    "softmax-8-top1": _config(SOFTMAX, 0, 8, 1, 1, 4),
    "softmax-8-top2": _config(SOFTMAX, 1, 8, 2, 2, 4),
    "softmax-16-top2": _config(SOFTMAX, 1, 16, 2, 4, 2),
    "softmax-32-top4": _config(SOFTMAX, 1, 32, 4, 8, 2),
    "softmax-64-top6": _config(SOFTMAX, 0, 64, 6, 8, 4),
    "softmax-64-top8": _config(SOFTMAX, 0, 64, 8, 16, 1),
    "softmax-128-top4": _config(SOFTMAX, 1, 128, 4, 32, 1),
    "softmax-128-top8": _config(SOFTMAX, 1, 128, 8, 32, 1),
    "softmax-128-top8-many": _config(SOFTMAX, 1, 128, 8, 8, 8),
    "softmax-160-top6": _config(SOFTMAX, 0, 160, 6, 8, 2),
    "softmax-512-top10": _config(SOFTMAX, 1, 512, 10, 32, 2),
    "sigmoid-16-top1": _config(SIGMOID, 0, 16, 1, 4, 1),
    "sigmoid-128-top8": _config(SIGMOID, 1, 128, 8, 16, 2),
    "sigmoid-256-top8": _config(SIGMOID, 1, 256, 8, 32, 1),
    "sigmoid-256-top8-many": _config(SIGMOID, 1, 256, 8, 16, 4),
    "sigmoid-384-top8": _config(SIGMOID, 1, 384, 8, 32, 4),
}

ROUTE = Kernel(
    name="route",
    does="each token's best experts and their weights, from the router's logits (fp32)",
    source="route.cu",
    entry="route",
    headers=("primitives.cuh", "warp.cuh"),
    parameters={
        "EXPERTS": (8, 16, 32, 64, 96, 128, 160, 192, 256, 320, 384, 512),
        "TOP_K": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16),
        "LANES": (1, 2, 4, 8, 16, 32),
        "WARPS": (1, 2, 4, 8, 16),
        "SCORING": (SOFTMAX, SIGMOID),
        "RENORMALISE": (0, 1),
    },
    constraints=(
        Constraint("EXPERTS % (4 * LANES) == 0", "every lane reads equally many 16-byte pieces"),
        Constraint("EXPERTS // LANES <= 32", "a lane holds at most 32 scores in registers"),
        Constraint("TOP_K <= LANES", "lane j of a token holds its j-th choice"),
    ),
    configs=CONFIGS,
    start=start,
    sizes=sizes,
    shapes={
        "tokens-64": RouteShape(64),
        "one-token": RouteShape(1),
        "tail": RouteShape(37),
        "all-negative": RouteShape(23, "negative"),
        "all-equal": RouteShape(19, "equal"),
        "one-not-masked": RouteShape(21, "masked"),
    },
    problem=problem,
)
