"""What each block computes, in integers: sizes, streams in, streams out; nothing of its cycles."""

from .attention_stream import AttentionStream
from .block import Block, Streams
from .burst_loader import BurstLoader
from .expert_linear import ExpertLinear
from .gate_topk import GateTopk
from .gelu_table import GeluTable
from .online_softmax import OnlineSoftmax
from .systolic import SystolicOs, SystolicWs

BLOCKS: dict[str, type[Block]] = {
    block.top: block
    for block in (
        *(AttentionStream, ExpertLinear, SystolicOs, SystolicWs),
        *(OnlineSoftmax, GateTopk, GeluTable, BurstLoader),
    )
}

__all__ = [
    "BLOCKS", "AttentionStream", "Block", "BurstLoader", "ExpertLinear", "GateTopk", "GeluTable",
    "OnlineSoftmax", "Streams", "SystolicOs", "SystolicWs",
]  # fmt: skip
