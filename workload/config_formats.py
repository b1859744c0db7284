"""Number formats of a model's parts from `torch_dtype` and `quantization_config`."""

from __future__ import annotations

from typing import Any

from ..base import unknown
from ..base.dtypes import ALIASES, DTYPES
from .config_fields import Fields
from .config_keys import Family
from .model import Formats


def formats_of(fields: Fields, family: Family) -> Formats:
    """Formats by part. Without `torch_dtype` the family's own, else bf16.

    Embeddings, router, head, cache and activations keep the unquantised format: what the
    checkpoints' `modules_to_not_convert` and DeepSeek-V3 (arXiv 2412.19437, 3.3.1) say.
    """
    found = fields.find("dtype")
    plain = family.dtype
    if found is not None:
        key, name = found
        if not isinstance(name, str):
            raise fields.fault("must be the name of a number format", key, name)
        if ALIASES.get(name, name) not in DTYPES:
            raise fields.fault(unknown("number format", name, [*DTYPES, *ALIASES]).what, key)
        plain = ALIASES.get(name, name)
    quantized = fields.raw("quantization_config")
    if quantized is None:
        weights = experts = plain
    elif isinstance(quantized, dict):
        experts = _quantized(fields, quantized)
        weights = plain if _keeps_attention(quantized) else experts
    else:
        raise fields.fault("must be a table", "quantization_config", quantized)
    return Formats(weights=weights, experts=experts, head=plain, kv=plain, activations=plain)


def _quantized(fields: Fields, table: dict[str, Any]) -> str:
    method = table.get("quant_method")
    key = "quantization_config.quant_method"
    if method == "fp8":
        return "fp8_block" if table.get("weight_block_size") else "fp8"
    if method == "mxfp4":
        return "mxfp4"
    if method in ("gptq", "awq"):
        bits = table.get("bits", table.get("w_bit", 4))
        known = {4: "int4", 8: "int8"}
        if not isinstance(bits, int) or bits not in known:
            raise fields.fault("must be 4 or 8", "quantization_config.bits", bits)
        return known[bits]
    if not isinstance(method, str):
        raise fields.fault("must name a method: fp8, mxfp4, gptq or awq", key, method)
    fault = unknown("quantisation method", method, ["fp8", "mxfp4", "gptq", "awq"])
    raise fields.fault(fault.what, key)


def _keeps_attention(table: dict[str, Any]) -> bool:
    """Whether the attention is left out of the quantisation."""
    kept = table.get("modules_to_not_convert")
    return isinstance(kept, list) and any("attn" in str(module) for module in kept)
