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

def place_replicas(
    loads: NDArray[np.float64], room: NDArray[np.int64], most_copies: int, most_swaps: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Copies of the heaviest experts, none twice on a rank, balanced by swaps.

    loads: float64 [layers, experts]; room: int64 [ranks], slots of each rank; most_copies:
    of one expert. Returns the expert of each slot, rank by rank, int32 [layers, slots], and the
    swaps made in each layer, int64 [layers].
    """

def ease_ranks(
    loads: NDArray[np.float64],
    held: NDArray[np.int32],
    rank_of: NDArray[np.int32],
    ranks: int,
    targets: NDArray[np.float64],
    most_steps: NDArray[np.int64],
    priced: bool,
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Takes load off the ranks above a target by swaps and by other copies, few moves first.

    loads: float64 [layers, experts]; held: int32 [layers, slots], the expert of each slot; rank_of:
    int32 [slots]; targets: float64 [layers]; most_steps: int64 [layers]; priced: weigh a step's
    gain by the experts that it moves. Returns the new held, and after each step the heaviest rank's
    load and the experts moved so far [layers, steps + 1], and the steps made [layers].
    """
