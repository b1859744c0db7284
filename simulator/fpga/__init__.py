"""FPGA accelerators by closed form: blocks in cycles, designs, latency brackets."""

from .designs import DESIGNS, PUBLISHED, BoardResult, Design, EdgeMoe, UbiMoe, design, published
from .estimate import Bracket, Term, estimate

__all__ = [
    "DESIGNS",
    "PUBLISHED",
    "BoardResult",
    "Bracket",
    "Design",
    "EdgeMoe",
    "Term",
    "UbiMoe",
    "design",
    "estimate",
    "published",
]
