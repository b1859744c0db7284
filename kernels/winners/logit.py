"""A conditional logit: the chance of a tile is the softmax over tiles of weights times features.

McFadden, Conditional logit analysis of qualitative choice behavior, 1974.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .features import Floats


def fit(features: NDArray[Any], wins: Floats, weights: Floats, penalty: float) -> Floats:
    """The weights of the features that make the wins the most likely, `[features]`.

    features `[contexts, tiles, features]`, wins `[contexts, tiles]`, weights `[contexts]`. penalty:
    times the squares of the weights, against the mean log likelihood of a win.
    """
    from scipy.optimize import minimize

    share = wins * weights[:, None]
    share = share / share.sum()
    flat = features.reshape(-1, features.shape[2]).astype(np.float64)
    total = share.sum(axis=1, keepdims=True)

    def loss(theta: Floats) -> tuple[float, Floats]:
        score = (flat @ theta).reshape(share.shape)
        score = score - score.max(axis=1, keepdims=True)
        log_chance = score - np.log(np.exp(score).sum(axis=1, keepdims=True))
        slope = (np.exp(log_chance) * total - share).reshape(-1) @ flat
        value = -(share * log_chance).sum() + penalty * theta @ theta
        return float(value), slope + 2 * penalty * theta

    found = minimize(
        loss, np.zeros(flat.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 300}
    )
    return np.asarray(found.x)
