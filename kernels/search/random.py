"""Random: every configuration as likely as any other, the line to beat."""

from __future__ import annotations

import numpy as np

from .ranked import in_order
from .strategy import Question, Search


def random(question: Question) -> Search:
    rng = np.random.default_rng(question.seed)
    yield from in_order(rng.permutation(len(question.space)).tolist())
