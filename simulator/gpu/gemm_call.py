"""What a dense GEMM is asked, and the constants of its kernels."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Share
from .constants import Constants

Floats = NDArray[np.float64]
Tiling = Literal["fastest", "by-rows", "by-rows-late"]
NEVER_SPLIT_S = 5e-5
"""A price of splitting that hardly any sum is worth."""


class GemmConstants(Constants, frozen=True, kw_only=True, tag="gemm"):
    """Fifteen numbers and a choice of a dense GEMM's kernels, and of how they were run.

    tiling: the fastest of FASTEST, or one of BY_ROWS (kernels that dispatch on m only).
    launch_s: what a call costs however small it is. host_s: what the host takes to issue a call;
    it is seen where the device is faster. quantise_bytes: moved for each activation that is
    quantised on the fly (read, perhaps twice, and written). quantise_row_s: for each such row, as
    one thread block handles one row. tensor_share: of the dense peak. step_s: for each step of
    BLOCK_DEPTH_BYTES along a tile's sum, however small the tile (latency that its pipeline does not
    hide). wave_s: start and end of each wave. wave_softness: 0 counts whole waves, 1 shares of one
    (persistent kernels, uneven finish). split_s: what splitting a sum costs beside its partial
    results. dram_share: of the memory's bandwidth. operand_share: of what the SMs can take from the
    cache, for operands read again by every tile; more than 1 where clusters share one read.
    stream_share: the same for bytes that the cache still holds from the repeat before; far less,
    since a stream has few of them under way. cache_share: of the cache, that holds anything useful.
    weight_copies: weights that the repeats rotate through, so 1 where the same are read again.
    output_share: of the result's way to memory, that no other tile's product hides.
    """

    tiling: Tiling = "fastest"
    launch_s: Annotated[float, msgspec.Meta(ge=5e-7, le=1e-4)] = 3e-6
    host_s: Annotated[float, msgspec.Meta(ge=1e-7, le=1e-3)] = 1e-6
    quantise_bytes: Annotated[float, msgspec.Meta(ge=0.1, le=30)] = 4.0
    quantise_row_s: Annotated[float, msgspec.Meta(ge=1e-12, le=3e-8)] = 3e-10
    tensor_share: Annotated[float, msgspec.Meta(ge=0.03, le=1)] = 0.8
    step_s: Annotated[float, msgspec.Meta(ge=1e-9, le=3e-6)] = 1e-7
    wave_s: Annotated[float, msgspec.Meta(ge=1e-8, le=3e-5)] = 3e-7
    wave_softness: Share = 0.5
    split_s: Annotated[float, msgspec.Meta(ge=1e-7, le=1e-4)] = 2.5e-6
    dram_share: Annotated[float, msgspec.Meta(ge=0.3, le=1)] = 0.85
    operand_share: Annotated[float, msgspec.Meta(ge=0.05, le=4)] = 1.0
    stream_share: Annotated[float, msgspec.Meta(ge=0.05, le=1)] = 0.25
    cache_share: Annotated[float, msgspec.Meta(ge=0.05, le=1.5)] = 0.8
    weight_copies: Annotated[float, msgspec.Meta(ge=1, le=64)] = 6.0
    output_share: Annotated[float, msgspec.Meta(ge=0.01, le=2)] = 0.3


def starts(family: str) -> tuple[GemmConstants, ...]:
    """Where fits begin, the first one the prior of an unseen kernel: values in the middle of what
    was fitted. Kernels other than cuBLAS's may never split a sum, the frameworks' own CUTLASS ones
    dispatch on rows, and vLLM's block-scaled ones were timed without graphs, so their host shows.
    """
    prior = GemmConstants()
    whole = msgspec.structs.replace(prior, split_s=NEVER_SPLIT_S)
    found = [prior] if family.endswith("/bf16") else [prior, whole]
    if "fp8_scaled_mm" in family or "Cutlass" in family:
        rules: tuple[Tiling, ...] = ("by-rows", "by-rows-late")
        found += [msgspec.structs.replace(whole, tiling=rule) for rule in rules]
    if "BlockScaled" in family:
        found += [msgspec.structs.replace(one, host_s=1e-4) for one in found]
    return tuple(found)


class Gemm(msgspec.Struct, frozen=True, kw_only=True):
    """Dense products: `[calls]` each, or one number for all.

    m rows of activations, n columns of the result, k elements in each sum. Sizes are bytes per
    element as the product reads and writes them. quantised: activations arrive in 16 bits and are
    brought to activation_size within the call.
    """

    m: Floats
    n: Floats
    k: Floats
    weight_size: float
    activation_size: float
    out_size: float = 2.0
    quantised: bool = False

    def __post_init__(self) -> None:
        for name in ("m", "n", "k"):
            if np.any(np.asarray(getattr(self, name)) < 1):
                raise BadInput("must be at least 1 for every product", key=name)
        for name in ("weight_size", "activation_size", "out_size"):
            if not getattr(self, name) > 0:
                raise BadInput("must be positive", key=name, value=getattr(self, name))
