"""The mixer and the feed-forward block of each layer, from the fields of a config.json."""

from __future__ import annotations

from typing import Literal

from .config_fields import Fields
from .config_keys import EXPERT_STEPS, MOST_EXPERTS, Family
from .model import Dense, Experts, Gqa, LinearAttention, Mamba, Mixer, Mla

Side = Literal["decoder", "encoder"]


def mixers_of(fields: Fields, family: Family, side: Side, layers: int) -> list[Mixer]:
    """The mixer of each layer; the cross-attention of a decoder comes on top."""
    if fields.has("kv_rank"):
        return [_latent(fields, family)] * layers
    full = attention(fields, family, side)
    if (period := fields.raw("attn_layer_period")) is not None:
        offset = fields.whole("attn_layer_offset", fields.raw("attn_layer_offset") or 0)
        period = fields.whole("attn_layer_period", period, least=1)
        mamba = _mamba(fields)
        return [full if i % period == offset % period else mamba for i in range(layers)]
    linear = LinearAttention(heads=full.heads, head_dim=full.head_dim)
    windows = _windows(fields, layers)
    kinds = _kinds(fields, family, layers)
    return [
        linear if kind == "linear" else full if window is None else _windowed(full, window)
        for kind, window in zip(kinds, windows, strict=True)
    ]


def attention(fields: Fields, family: Family, side: Side, *, cross: bool = False) -> Gqa:
    """Softmax attention over all keys; as many key/value heads as heads where none are stated."""
    heads = fields.count("encoder_heads" if side == "encoder" else "heads")
    hidden = fields.count("hidden")
    if not fields.has("head_dim") and hidden % heads:
        raise fields.fault(
            f"of {hidden} does not divide by {heads} heads; state `head_dim`", "hidden_size"
        )
    kv_heads = fields.count("kv_heads", heads)
    if heads % kv_heads:
        raise fields.fault(f"must divide the {heads} heads", "num_key_value_heads", kv_heads)
    return Gqa(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=fields.count("head_dim", hidden // heads),
        bias=fields.flag("bias", family.bias),
        cross=cross,
        causal=family.causal and side == "decoder" and not cross,
    )


def _windowed(full: Gqa, window: int) -> Gqa:
    return Gqa(
        heads=full.heads,
        kv_heads=full.kv_heads,
        head_dim=full.head_dim,
        window=window,
        bias=full.bias,
        causal=full.causal,
    )


def _latent(fields: Fields, family: Family) -> Mla:
    return Mla(
        heads=fields.count("heads"),
        q_rank=fields.optional("q_rank"),
        kv_rank=fields.count("kv_rank"),
        nope_dim=fields.count("nope_dim"),
        rope_dim=fields.count("rope_dim"),
        v_dim=fields.count("v_dim"),
        causal=family.causal,
    )


def _mamba(fields: Fields) -> Mamba:
    hidden = fields.count("hidden")
    return Mamba(
        inner=hidden * fields.count("mamba_expand"),
        state=fields.count("mamba_state"),
        conv=fields.count("mamba_conv"),
        # Mamba's own default: hidden / 16, rounded up (arXiv 2312.00752, section 3.6).
        dt_rank=fields.count("mamba_dt_rank", -(-hidden // 16)),
    )


def _kinds(fields: Fields, family: Family, layers: int) -> list[str]:
    """'linear' or 'full' for each layer, as stated, else by the family's period."""
    if (types := _listed(fields, "layer_types", layers)) is not None:
        return ["linear" if kind == "linear_attention" else "full" for kind in types]
    if (types := _listed(fields, "attn_type_list", layers)) is not None:  # MiniMax: 1 is softmax
        return ["full" if kind == 1 else "linear" for kind in types]
    period = family.linear_period
    if period is None:
        return ["full"] * layers
    return ["full" if i % period == period - 1 else "linear" for i in range(layers)]


def _windows(fields: Fields, layers: int) -> list[int | None]:
    """The keys that each layer's queries see at most, None for all."""
    window, chunk = fields.optional("window"), fields.optional("chunk")
    by_type = {"sliding_attention": window, "chunked_attention": chunk}
    if (types := _listed(fields, "layer_types", layers)) is not None:
        return [by_type.get(str(kind)) for kind in types]
    if chunk is not None:
        # Llama-4: every fourth layer has no positional encoding and sees everything.
        every = fields.whole(
            "no_rope_layer_interval", fields.raw("no_rope_layer_interval") or 4, least=1
        )
        return [None if i % every == every - 1 else chunk for i in range(layers)]
    if window is None or fields.raw("use_sliding_window") is False:
        return [None] * layers
    # Qwen: the first `max_window_layers` see everything.
    first = fields.whole("max_window_layers", fields.raw("max_window_layers") or 0)
    return [window if i >= first else None for i in range(layers)]


def _listed(fields: Fields, key: str, layers: int) -> list[object] | None:
    values = fields.raw(key)
    if values is None:
        return None
    if not isinstance(values, list) or len(values) < layers:
        raise fields.fault(f"must list one value for each of {layers} layers", key)
    return values[:layers]


def ffns_of(fields: Fields, family: Family, side: Side, layers: int) -> list[Dense | Experts]:
    """A dense block or experts for each layer."""
    where = _expert_layers(fields, family, side, layers)
    gated = fields.flag("gated", True)
    inter = "encoder_inter" if side == "encoder" else "dense_inter"
    dense = Dense(inter=fields.count(inter), gated=gated) if not all(where) else None
    experts = _experts(fields, family, layers, gated) if any(where) else []
    return [experts[i] if has or dense is None else dense for i, has in enumerate(where)]


def _experts(fields: Fields, family: Family, layers: int, gated: bool) -> list[Experts]:
    widths = fields.per_layer("expert_inter", layers)
    shared = [fields.count("shared_whole", 0, least=0)] * layers
    if not any(shared):
        each = fields.per_layer("shared_each", layers) if fields.has("shared_each") else widths
        number = fields.per_layer("shared_count", layers, family.shared)
        shared = [n * width for n, width in zip(number, each, strict=True)]
    residual = fields.count("hidden") if fields.flag("residual", False) else 0
    counts, top_ks = fields.per_layer("experts", layers), fields.per_layer("top_k", layers)
    if sum(counts) > MOST_EXPERTS:
        raise fields.fault(
            f"of all layers together may be at most {MOST_EXPERTS}",
            (fields.find("experts") or ("experts",))[0],
            sum(counts),
        )
    if (wrong := [i for i in range(layers) if top_ks[i] > counts[i]]) != []:
        i = wrong[0]
        raise fields.fault(
            f"of layer {i} exceeds its {counts[i]} experts", "num_experts_per_tok", top_ks[i]
        )
    return [
        Experts(
            count=counts[i],
            top_k=top_ks[i],
            inter=widths[i],
            gated=gated,
            shared_inter=shared[i],
            dense_inter=residual,
            shared_gate=bool(family.shared_gate and shared[i]),
        )
        for i in range(layers)
    ]


def _expert_layers(fields: Fields, family: Family, side: Side, layers: int) -> list[bool]:
    """Which layers hold experts: a list of them, a period with an offset, or steps."""
    listed = fields.raw("moe_layers")
    if isinstance(listed, list):
        numbers = {i for i in listed if isinstance(i, int)}
        return [i in numbers for i in range(layers)]
    first = fields.whole("first_k_dense_replace", fields.raw("first_k_dense_replace") or 0)
    dense = fields.raw("mlp_only_layers") or []
    if not isinstance(dense, list):
        raise fields.fault("must be a list of layer numbers", "mlp_only_layers", dense)
    pattern = _pattern(fields, family, side, layers)
    return [pattern[i] and i >= first and i not in dense for i in range(layers)]


def _pattern(fields: Fields, family: Family, side: Side, layers: int) -> list[bool]:
    other = "decoder_sparse_step" if side == "encoder" else "encoder_sparse_step"
    for key, remainder in EXPERT_STEPS.items():
        step = fields.raw(key)
        if step is None or key == other:
            continue
        if isinstance(step, list):
            flags = _listed(fields, key, layers) or []
            return [bool(flag) for flag in flags]
        step = fields.whole(key, step)
        if family.expert_step is not None:
            remainder = family.expert_step
        return [bool(step) and i % step == remainder % step for i in range(layers)]
    period = fields.raw("expert_layer_period")
    if period is None:
        return [True] * layers
    period = fields.whole("expert_layer_period", period, least=1)
    offset = fields.whole("expert_layer_offset", fields.raw("expert_layer_offset") or 0)
    return [i % period == offset % period for i in range(layers)]
