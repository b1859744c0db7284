"""MoEModel: the shapes of a Mixture-of-Experts model, layer by layer."""

from __future__ import annotations

import functools
from typing import Literal

from ..base import Count, Natural, NonNegative, Spec


class Gqa(Spec, frozen=True, kw_only=True, tag_field="kind", tag="gqa"):
    """Softmax attention with `kv_heads` shared key/value heads (MHA when equal to `heads`).

    window: keys that a query sees at most (sliding window or chunk), None for all. bias: biases on
    the projections. cross: keys and values come from the encoder. causal: a token sees only what
    stands before it; where not, nothing is cached.
    """

    heads: Count
    kv_heads: Count
    head_dim: Count
    window: Count | None = None
    bias: bool = False
    cross: bool = False
    causal: bool = True


class Mla(Spec, frozen=True, kw_only=True, tag_field="kind", tag="mla"):
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).

    One latent of kv_rank + rope_dim numbers per token is cached for all heads. q_rank None: the
    queries are projected at full width.
    """

    heads: Count
    q_rank: Count | None
    kv_rank: Count
    nope_dim: Count
    rope_dim: Count
    v_dim: Count
    causal: bool = True


class LinearAttention(Spec, frozen=True, kw_only=True, tag_field="kind", tag="linear"):
    """Lightning attention (MiniMax-Text-01): a state of head_dim x head_dim per head, no cache."""

    heads: Count
    head_dim: Count


class Mamba(Spec, frozen=True, kw_only=True, tag_field="kind", tag="mamba"):
    """A selective state space layer (Mamba-1): inner width, state, convolution, rank of dt."""

    inner: Count
    state: Count
    conv: Count
    dt_rank: Count


Mixer = Gqa | Mla | LinearAttention | Mamba


class Dense(Spec, frozen=True, kw_only=True, tag_field="kind", tag="dense"):
    """A feed-forward block of width `inter`; three matrices when gated, else two."""

    inter: Count
    gated: bool = True


class Experts(Spec, frozen=True, kw_only=True, tag_field="kind", tag="experts"):
    """A routed expert block. `inter` is one expert's width; shared experts see every token.

    shared_inter: the width of all shared experts together, 0 without. dense_inter: the width of a
    dense block that runs beside the experts (Arctic), 0 without. shared_gate: one number a token
    that scales the shared experts (Qwen2).
    """

    count: Count
    top_k: Count
    inter: Count
    gated: bool = True
    shared_inter: Natural = 0
    dense_inter: Natural = 0
    shared_gate: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k > self.count:
            raise ValueError(f"`top_k` {self.top_k} exceeds the number of experts {self.count}")


class Layer(Spec, frozen=True, kw_only=True):
    """One layer: its mixers in order, then a dense block or experts. `side`: of two stacks."""

    mixers: tuple[Mixer, ...]
    ffn: Dense | Experts
    side: Literal["decoder", "encoder"] = "decoder"


class Formats(Spec, frozen=True, kw_only=True):
    """Number formats by part. `weights`: attention, dense blocks, shared experts, router excluded.

    `experts`: routed experts; `head`: embeddings, router and output head; `kv`: the cache;
    `activations`: what flows between operators.
    """

    weights: str = "bf16"
    experts: str = "bf16"
    head: str = "bf16"
    kv: str = "bf16"
    activations: str = "bf16"


class MoEModel(Spec, frozen=True, kw_only=True, dict=True):
    """A model as its config.json states it.

    hidden: width between layers; vocab: 0 for models without a vocabulary (vision); tied: input
    embedding and output head share one matrix. prediction_layers (multi-token prediction heads)
    are not in `layers`. image_tokens: fixed number of tokens of a vision model, else None.
    published_total, published_active: parameters as the vendor states them, where known.
    """

    name: str
    hidden: Count
    vocab: Natural
    tied: bool
    layers: tuple[Layer, ...]
    formats: Formats = Formats()
    prediction_layers: Natural = 0
    image_tokens: Count | None = None
    max_context: Count | None = None
    published_total: NonNegative | None = None
    published_active: NonNegative | None = None
    status: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.moe_layers:
            raise ValueError("`layers` holds no expert layer: this is not an MoE model")

    @functools.cached_property
    def moe_layers(self) -> tuple[int, ...]:
        """The absolute numbers of the layers that hold experts, ascending."""
        return tuple(i for i, layer in enumerate(self.layers) if isinstance(layer.ffn, Experts))

    @property
    def experts(self) -> Experts:
        """The expert block of the first MoE layer; all layers share it in most models."""
        block = self.layers[self.moe_layers[0]].ffn
        assert isinstance(block, Experts)
        return block

    @property
    def two_stacks(self) -> bool:
        """Whether prompts run through an encoder and only generated tokens through the decoder."""
        return len({layer.side for layer, _ in self.groups}) == 2

    @functools.cached_property
    def groups(self) -> tuple[tuple[Layer, tuple[int, ...]], ...]:
        """Equal layers together with their absolute numbers, in order of first appearance."""
        found: dict[Layer, list[int]] = {}
        for i, layer in enumerate(self.layers):
            found.setdefault(layer, []).append(i)
        return tuple((layer, tuple(numbers)) for layer, numbers in found.items())
