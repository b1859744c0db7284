"""Parameters and bytes of a model's parts, and what it keeps of each token and each request.

Counted: all matrices, norms over the hidden width, biases of queries, keys and values, latent
norms of MLA, everything in Mamba. Left out, each below 0.1% of its model: norms over heads,
biases of experts and routers, attention sinks, relative positions, patch embeddings.
"""

from __future__ import annotations

from ..base import Natural, Spec, bytes_of
from .model import Dense, Experts, Gqa, Layer, LinearAttention, Mamba, Mixer, Mla, MoEModel

STATE_BYTES = 4
"""Recurrent states are kept in 32 bits (from memory, unverified)."""


class Parameters(Spec, frozen=True, kw_only=True):
    """Numbers of parameters by part; `routed_active` is what one token uses of `routed`."""

    embedding: Natural = 0
    head: Natural = 0
    attention: Natural = 0
    router: Natural = 0
    dense: Natural = 0
    shared: Natural = 0
    routed: Natural = 0
    routed_active: Natural = 0
    norms: Natural = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, part) for part in PARTS)

    @property
    def active(self) -> int:
        """What one token uses, embedding and head included (vendors differ in this)."""
        return self.total - self.routed + self.routed_active

    def __add__(self, other: Parameters) -> Parameters:
        names = self.__struct_fields__
        return Parameters(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def __mul__(self, times: int) -> Parameters:
        return Parameters(**{name: getattr(self, name) * times for name in self.__struct_fields__})


PARTS = ("embedding", "head", "attention", "router", "dense", "shared", "routed", "norms")


def parameters(model: MoEModel) -> Parameters:
    """The parameters of all layers and of the embeddings; prediction layers are not counted."""
    table = model.vocab * model.hidden
    total = Parameters(embedding=table, head=0 if model.tied else table, norms=model.hidden)
    for layer, numbers in model.groups:
        total += layer_parameters(model.hidden, layer) * len(numbers)
    return total


def layer_parameters(hidden: int, layer: Layer) -> Parameters:
    """The parameters of one layer. derived: rows times columns of each matrix."""
    mixers = sum(mixer_parameters(hidden, mixer) for mixer in layer.mixers)
    norms = (len(layer.mixers) + 1) * hidden
    ffn = layer.ffn
    if isinstance(ffn, Dense):
        dense = _block(hidden, ffn.inter, ffn.gated)
        return Parameters(attention=mixers, dense=dense, norms=norms)
    expert = expert_parameters(hidden, ffn)
    return Parameters(
        attention=mixers,
        router=hidden * ffn.count,
        dense=_block(hidden, ffn.dense_inter, ffn.gated),
        shared=_block(hidden, ffn.shared_inter, ffn.gated) + hidden * ffn.shared_gate,
        routed=expert * ffn.count,
        routed_active=expert * ffn.top_k,
        norms=norms,
    )


def expert_parameters(hidden: int, experts: Experts) -> int:
    """The parameters of one routed expert."""
    return _block(hidden, experts.inter, experts.gated)


def _block(hidden: int, inter: int, gated: bool) -> int:
    return (3 if gated else 2) * hidden * inter


def mixer_parameters(hidden: int, mixer: Mixer) -> int:
    """The parameters of one mixer. MLA: arXiv 2405.04434, eq. 9-19; Mamba: arXiv 2312.00752."""
    if isinstance(mixer, Gqa):
        projected = (mixer.heads + 2 * mixer.kv_heads) * mixer.head_dim
        out = mixer.heads * mixer.head_dim * hidden
        return hidden * projected + out + projected * mixer.bias
    if isinstance(mixer, Mla):
        return _mla_parameters(hidden, mixer)
    if isinstance(mixer, LinearAttention):
        # Queries, keys, values, an output gate, the output, and a norm over all heads.
        return (5 * hidden + 1) * mixer.heads * mixer.head_dim
    inner, selected = mixer.inner, mixer.dt_rank + 2 * mixer.state
    return (
        2 * hidden * inner  # into the inner width and its gate
        + inner * (mixer.conv + 1)
        + inner * selected
        + mixer.dt_rank * inner
        + inner  # bias of dt
        + inner * mixer.state  # A
        + inner  # D
        + selected  # Jamba's norms of dt, B and C
        + inner * hidden
    )


def _mla_parameters(hidden: int, mixer: Mla) -> int:
    query = mixer.heads * (mixer.nope_dim + mixer.rope_dim)
    down = hidden * (mixer.kv_rank + mixer.rope_dim) + mixer.kv_rank
    up = mixer.kv_rank * mixer.heads * (mixer.nope_dim + mixer.v_dim)
    out = mixer.heads * mixer.v_dim * hidden
    if mixer.q_rank is None:
        return hidden * query + down + up + out
    return mixer.q_rank * (hidden + 1 + query) + down + up + out


def parameter_bytes(model: MoEModel) -> dict[str, float]:
    """Bytes of each part of `PARTS` in the model's formats, scales of block formats included."""
    formats, counted = model.formats, parameters(model)
    by_part = {"routed": formats.experts} | dict.fromkeys(
        ("attention", "dense", "shared"), formats.weights
    )
    return {
        part: bytes_of(by_part.get(part, formats.head), getattr(counted, part)) for part in PARTS
    }


def kv_bytes_per_token(model: MoEModel, layer: int | None = None) -> float:
    """Bytes of the cache that one more token adds, in one layer or (None) in all of them.

    Keys and values of an encoder's output, which cross-attention reads, are not among them: see
    `cross_kv_bytes_per_token`. How many tokens a window keeps is told by `kv_tokens`.
    """
    layers = model.layers if layer is None else (model.layers[layer],)
    return sum(mixer_kv_bytes(m, model.formats.kv) for one in layers for m in one.mixers)


def cross_kv_bytes_per_token(model: MoEModel) -> float:
    """Bytes that the decoder's cross-attention keeps for each token of the encoder's output."""
    crossing = [m for one in model.layers for m in one.mixers if isinstance(m, Gqa) and m.cross]
    return sum(bytes_of(model.formats.kv, 2 * m.kv_heads * m.head_dim) for m in crossing)


def mixer_kv_bytes(mixer: Mixer, dtype: str) -> float:
    """Bytes that a mixer caches for each token of its own sequence.

    GQA keeps keys and values of each shared head; MLA one latent and one rotated key
    (arXiv 2405.04434, table 1); nothing is cached where tokens see both ways, nor in a recurrence.
    """
    if isinstance(mixer, Mla):
        return bytes_of(dtype, mixer.kv_rank + mixer.rope_dim) if mixer.causal else 0.0
    if isinstance(mixer, Gqa) and mixer.causal and not mixer.cross:
        return bytes_of(dtype, 2 * mixer.kv_heads * mixer.head_dim)
    return 0.0


def kv_tokens(mixer: Mixer, context: int) -> int:
    """Cached tokens that a query reads after `context` tokens.

    A chunk (Llama-4) counts as a window: the most that is ever read, where its mean is half.
    """
    if isinstance(mixer, LinearAttention | Mamba):
        return 0
    window = mixer.window if isinstance(mixer, Gqa) else None
    return context if window is None else min(window, context)


def state_bytes(model: MoEModel) -> float:
    """Bytes of recurrent state that each request keeps, whatever its length."""
    return sum(_state_elements(m) * STATE_BYTES for one in model.layers for m in one.mixers)


def _state_elements(mixer: Mixer) -> int:
    if isinstance(mixer, LinearAttention):
        return mixer.heads * mixer.head_dim**2
    if isinstance(mixer, Mamba):
        return mixer.inner * (mixer.state + mixer.conv)
    return 0


def deviation(model: MoEModel) -> float | None:
    """(counted - published) / published total; None where nothing is published."""
    if not model.published_total:
        return None
    return parameters(model).total / model.published_total - 1
