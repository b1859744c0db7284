"""The key names of config.json files, as data: one name of ours, many of theirs.

A dot leads into a nested table. `text_config` is merged into the top level before any look-up.
"""

from __future__ import annotations

from types import MappingProxyType

from ..base import Spec

KEYS = MappingProxyType(
    {
        "hidden": ("hidden_size", "d_model", "n_embd"),
        "vocab": ("vocab_size",),
        "tied": ("tie_word_embeddings",),
        "layers": ("num_hidden_layers", "n_layers", "n_layer", "num_layers"),
        "encoder_layers": ("encoder_layers", "num_layers"),
        "decoder_layers": ("decoder_layers", "num_decoder_layers"),
        "encoder_heads": ("encoder_attention_heads", "num_attention_heads", "num_heads"),
        "encoder_inter": ("encoder_ffn_dim", "intermediate_size", "d_ff"),
        "heads": ("num_attention_heads", "n_heads", "num_heads", "decoder_attention_heads"),
        "kv_heads": ("num_key_value_heads", "attn_config.kv_n_heads"),
        "head_dim": ("head_dim", "d_kv"),
        "bias": ("attention_bias", "qkv_bias"),
        "window": ("sliding_window",),
        "chunk": ("attention_chunk_size",),
        "q_rank": ("q_lora_rank",),
        "kv_rank": ("kv_lora_rank",),
        "nope_dim": ("qk_nope_head_dim",),
        "rope_dim": ("qk_rope_head_dim",),
        "v_dim": ("v_head_dim",),
        "experts": (
            "num_experts",
            "num_local_experts",
            "n_routed_experts",
            "moe_num_experts",
            "ffn_config.moe_num_experts",
        ),
        "top_k": (
            "num_experts_per_tok",
            "num_experts_per_token",
            "experts_per_token",
            "num_selected_experts",
            "moe_topk",
            "moe_top_k",
            "ffn_config.moe_top_k",
        ),
        "expert_inter": (
            "moe_intermediate_size",
            "ffn_config.ffn_hidden_size",
            "intermediate_size",
            "d_ff",
            "decoder_ffn_dim",
        ),
        "dense_inter": (
            "intermediate_size_mlp",
            "intermediate_size",
            "d_ff",
            "decoder_ffn_dim",
        ),
        "gated": ("is_gated_act",),
        "shared_whole": ("shared_expert_intermediate_size", "shared_intermediate_size"),
        "shared_count": ("n_shared_experts", "num_shared_experts", "num_shared_expert"),
        "shared_each": ("moe_shared_expert_intermediate_size",),
        "residual": ("use_residual", "parallel_attn_mlp_res"),
        "mamba_expand": ("mamba_expand",),
        "mamba_state": ("mamba_d_state",),
        "mamba_conv": ("mamba_d_conv",),
        "mamba_dt_rank": ("mamba_dt_rank",),
        "prediction_layers": ("num_nextn_predict_layers", "num_mtp_modules"),
        "image_tokens": ("image_tokens",),
        "max_context": ("max_position_embeddings", "max_seq_len", "n_positions"),
        "dtype": ("torch_dtype", "dtype"),
    }
)

EXPERT_STEPS = MappingProxyType(
    {
        "interleave_moe_layer_step": -1,
        "moe_layer_step": -1,
        "moe_layer_frequency": -1,
        "decoder_sparse_step": -1,
        "encoder_sparse_step": -1,
        "moe_layer_freq": 0,
    }
)
"""Layer i holds experts when i % step equals this, modulo step: -1 makes it the last of each run
(Llama-4, Qwen, NLLB, Arctic), 0 the first (DeepSeek). As the transformers classes do."""

LIMITS = MappingProxyType(
    {
        "layers": 4096,
        "encoder_layers": 4096,
        "decoder_layers": 4096,
        "experts": 2**15 - 1,
        "vocab": 2**26,
        "max_context": 2**40,
    }
)
"""The largest sizes that are believed; of all others `LARGEST`. Expert ids must fit int16."""
LARGEST = 2**24
MOST_EXPERTS = 2**20
"""Of all layers together: a step keeps several numbers for each of them."""
MOST_BYTES = 4 * 2**20


class Family(Spec, frozen=True, kw_only=True):
    """What a family's code assumes where its config.json is silent.

    expert_step: the remainder of EXPERT_STEPS where the family differs. shared: shared experts.
    linear_period: every such layer is softmax attention and the others linear attention.
    causal: False where tokens see each other both ways and nothing is cached.
    """

    tied: bool = False
    dtype: str = "bf16"
    bias: bool = False
    shared: int = 0
    shared_gate: bool = False
    expert_step: int | None = None
    linear_period: int | None = None
    causal: bool = True


FAMILIES = MappingProxyType(
    {
        # Switch and NLLB checkpoints hold 32-bit numbers (Switch: one expert is 18,874,368 bytes).
        "switch_transformers": Family(tied=True, dtype="fp32", expert_step=1),
        "nllb-moe": Family(tied=True, dtype="fp32", bias=True),
        "qwen2_moe": Family(bias=True, shared_gate=True),
        "llama4_text": Family(shared=1),
        "minimax_text_01": Family(linear_period=8),
        "m3vit": Family(causal=False, bias=True),
    }
)
"""From memory of the transformers classes, unverified, save where a comment says more."""
