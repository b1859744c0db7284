"""The compiled inner loops."""

import numpy as np
from numpy.typing import NDArray

def balance_swaps(
    loads: NDArray[np.float64], homes: NDArray[np.int32], ranks: int, most_swaps: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Swaps experts between ranks until the heaviest rank of each layer cannot be lightened.

    loads: float64 [layers, experts]; homes: int32 [layers, experts], the rank of each expert.
    Returns new homes and the swaps made in each layer, int64 [layers].
    """
