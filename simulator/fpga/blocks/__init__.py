"""Blocks as dataflow graphs: makers of programs, from which accelerators are composed, and each
block between sources and sinks, as its Verilog is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..graph import Graph
from .attention_stream import attention_stream
from .expert_linear import expert_linear

MODELS: dict[str, Callable[[Any, Any, Any], Graph]] = {
    "attention_stream": lambda block, inputs, open_: attention_stream(block, open_),
    "expert_linear": expert_linear,
}
"""The graph of a block of that name with its inputs and with the patterns of its ends."""

__all__ = ["MODELS", "attention_stream", "expert_linear"]
