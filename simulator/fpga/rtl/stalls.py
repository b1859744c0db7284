"""Random back-pressure: when sources offer and sinks take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..golden.block import Block
from .drive import PERIOD, Job


def pattern(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Always open, open at random, or open in bursts."""
    kind = rng.integers(3)
    if kind == 0:
        return np.ones(PERIOD, dtype=np.bool_)
    share = rng.uniform(0.15, 0.95)
    if kind == 1:
        open_ = rng.random(PERIOD) < share
    else:
        length = int(rng.integers(2, 40))
        open_ = np.repeat(rng.random(-(-PERIOD // length)) < share, length)[:PERIOD]
    open_[rng.integers(PERIOD)] = True
    return open_


def job(block: Block, rng: np.random.Generator) -> Job:
    """The block with random inputs and random stalls at both ends."""
    inputs = block.inputs(rng)
    expected = {name: len(tokens) for name, tokens in block.outputs(inputs).items()}
    open_ = {name: pattern(rng) for name in (*block.sources, *block.sinks)}
    return Job(block, inputs, expected, open_)
