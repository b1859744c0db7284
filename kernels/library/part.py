"""Part: one product of a model's MoE layer as work for a kernel, at the sizes of a real batch."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...workload import Experts, MoEModel
from .decode import DECODE, DecodeShape
from .experts import ExpertsShape
from .grouped_gemm import GROUPED_GEMM, GroupedGemmShape
from .kernel import Config, Kernel

Product = Literal["gate-up", "down"]
TUNED = (GROUPED_GEMM.name, DECODE.name)
"""The kernels with a space that is worth a search."""
MOST_TOKENS = 2**20
DRAWN_AT_ONCE = 2**14
"""Tokens: more would only take more memory."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """fixed: the macros that the work decides; a search is free in the others. tokens: of the
    batch, all `ep` ranks together; this is one of them."""

    model: str
    product: Product
    tokens: int
    ep: int
    kernel: Kernel
    fixed: Config
    shape: ExpertsShape

    @property
    def name(self) -> str:
        """For people."""
        share = f" on one of {self.ep} ranks" if self.ep > 1 else ""
        tokens = f"{self.tokens} token{'s' * (self.tokens > 1)}"
        return f"{self.model} {self.product}, {tokens}{share}"

    @property
    def touched(self) -> int:
        """Experts that have a row."""
        return sum(rows > 0 for rows in self.shape.rows)

    @property
    def weight_bytes(self) -> int:
        """Of the experts that have a row; each is read at least once."""
        parts = 1 + self.fixed["FUSE_SWIGLU"]
        return 2 * self.touched * parts * self.shape.columns * self.shape.depth

    @property
    def flops(self) -> int:
        """Of the products, without padding."""
        return 2 * self.shape.multiply_adds(self.fixed)


def part_of(
    model: MoEModel,
    product: Product,
    tokens: int,
    *,
    kernel: str = "grouped-gemm",
    ep: int = 1,
    seed: int = 0,
) -> Part:
    """A product of the model's first MoE layer in bf16, on the first of `ep` ranks.

    Each of `tokens` (of all ranks together) takes its experts by chance, all being equally likely.
    Raises BadInput for a model without gated experts, experts that do not divide, another kernel,
    more than MOST_TOKENS, and where no token reaches that rank.
    """
    if kernel not in TUNED:
        raise BadInput(
            f"no search is made over it; {GROUPED_GEMM.name} and {DECODE.name} have a space",
            key="kernel",
            value=kernel,
        )
    experts = next((one.ffn for one in model.layers if isinstance(one.ffn, Experts)), None)
    if experts is None or not experts.gated:
        raise BadInput("has no layer of gated experts", key=model.name)
    if ep < 1 or experts.count % ep:
        raise BadInput(f"must divide the {experts.count} experts", key="ep", value=ep)
    if not 1 <= tokens <= MOST_TOKENS:
        raise BadInput(f"must be from 1 to {MOST_TOKENS}", key="tokens", value=tokens)
    gate_up = product == "gate-up"
    rows = draw_rows(experts.count, experts.top_k, tokens, seed)[: experts.count // ep]
    if not rows.any():
        raise BadInput(
            f"the first of {ep} ranks has none of them: nothing is to be tuned; take more",
            key="tokens",
            value=tokens,
        )
    depth, columns = model.hidden, experts.inter
    make = GroupedGemmShape if kernel == GROUPED_GEMM.name else DecodeShape
    shape = make(
        rows=tuple(rows.tolist()),
        depth=depth if gate_up else columns,
        columns=columns if gate_up else depth,
    )
    return Part(
        model=model.name,
        product=product,
        tokens=tokens,
        ep=ep,
        kernel=GROUPED_GEMM if kernel == GROUPED_GEMM.name else DECODE,
        fixed={"DTYPE": 0, "FUSE_SWIGLU": int(gate_up), "GATHER": int(gate_up)},
        shape=shape,
    )


def draw_rows(experts: int, top_k: int, tokens: int, seed: int) -> NDArray[np.int64]:
    """Rows of each expert `[experts]` where each token takes `top_k` different ones at random."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(experts, np.int64)
    for begun in range(0, tokens, DRAWN_AT_ONCE):
        keys = rng.random((min(DRAWN_AT_ONCE, tokens - begun), experts), np.float32)
        chosen = np.argpartition(keys, top_k - 1, axis=1)[:, :top_k]
        rows += np.bincount(chosen.ravel(), minlength=experts)
    return rows
