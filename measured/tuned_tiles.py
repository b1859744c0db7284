"""Tiles that won tuning runs of fused MoE kernels, as vLLM and SGLang ship them: no times."""

from __future__ import annotations

import csv
import functools
import gzip

import msgspec
import numpy as np
from numpy.typing import NDArray

from .tables import RECORDED

FOLDER = RECORDED / "tuned_tiles"

Text = NDArray[np.str_]
Whole = NDArray[np.int64]


class TunedTiles(msgspec.Struct, frozen=True, kw_only=True):
    """One winner a row: `[rows]`, but tile `[rows, 3]`: rows, columns and depth of a block.

    source: 'vllm' or 'sglang'; experts: on one device; inter: an expert's width there.
    """

    source: Text
    device: Text
    experts: Whole
    inter: Whole
    tokens: Whole
    tile: Whole

    def __len__(self) -> int:
        return len(self.source)


@functools.cache
def tuned_tiles() -> TunedTiles:
    """The packaged table: 16-bit formats on NVIDIA devices."""
    with gzip.open(FOLDER / "fused_moe_16bit.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def whole(name: str) -> Whole:
        return np.array([row[name] for row in rows]).astype(np.int64)

    return TunedTiles(
        source=np.array([row["source"] for row in rows]),
        device=np.array([row["device"] for row in rows]),
        experts=whole("experts"),
        inter=whole("inter"),
        tokens=whole("tokens"),
        tile=np.stack([whole(f"tile_{axis}") for axis in "mnk"], axis=1),
    )
