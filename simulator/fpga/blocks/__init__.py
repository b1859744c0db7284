"""Blocks as dataflow graphs: makers of programs, from which accelerators are composed, and each
block between sources and sinks, as its Verilog is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..graph import Graph
from .attention_stream import attention_stream
from .burst_loader import burst_loader
from .expert_linear import expert_linear
from .gate_topk import gate_topk
from .gelu_table import gelu_table
from .online_softmax import online_softmax
from .systolic import systolic_os, systolic_ws

MODELS: dict[str, Callable[[Any, Any, Any], Graph]] = {
    "attention_stream": lambda block, inputs, open_: attention_stream(block, open_),
    "expert_linear": expert_linear,
    "systolic_os": lambda block, inputs, open_: systolic_os(block, open_),
    "systolic_ws": lambda block, inputs, open_: systolic_ws(block, open_),
    "online_softmax": lambda block, inputs, open_: online_softmax(block, open_),
    "gate_topk": gate_topk,
    "gelu_table": lambda block, inputs, open_: gelu_table(block, open_),
    "burst_loader": burst_loader,
}
"""The graph of a block of that name with its inputs and with the patterns of its ends."""

__all__ = [
    "MODELS", "attention_stream", "burst_loader", "expert_linear", "gate_topk", "gelu_table",
    "online_softmax", "systolic_os", "systolic_ws",
]  # fmt: skip
