"""Published results held against the simulator: what is reproduced, what is not, and why."""

from .claim import Claim, claims_section
from .names import PAPERS, reproduce
from .question import Question, Reproduced

__all__ = ["PAPERS", "Claim", "Question", "Reproduced", "claims_section", "reproduce"]
