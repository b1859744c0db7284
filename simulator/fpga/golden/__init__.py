"""What each block computes, in integers: sizes, streams in, streams out; nothing of its cycles."""

from .attention_stream import AttentionStream
from .block import Block, Streams
from .expert_linear import ExpertLinear
from .systolic import SystolicOs, SystolicWs

BLOCKS: dict[str, type[Block]] = {
    block.top: block for block in (AttentionStream, ExpertLinear, SystolicOs, SystolicWs)
}

__all__ = [
    "BLOCKS", "AttentionStream", "Block", "ExpertLinear", "Streams", "SystolicOs", "SystolicWs",
]  # fmt: skip
