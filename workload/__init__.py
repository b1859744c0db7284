"""What runs: models, how they are split, steps, and how tokens were routed."""

from . import load
from .activated import inclusion_chance, touch_chance
from .counts import RoutingCounts
from .expert_map import ExpertMap, contiguous
from .model import (
    Dense,
    Experts,
    Formats,
    Gqa,
    Layer,
    LinearAttention,
    Mamba,
    Mixer,
    Mla,
    MoEModel,
)
from .parallel import Parallel
from .requests import Requests
from .routed_step import chance_of, step_from_trace
from .step import Chunk, Decode, Step, make_step
from .trace import RoutingTrace

__all__ = [
    "Chunk",
    "Decode",
    "Dense",
    "ExpertMap",
    "Experts",
    "Formats",
    "Gqa",
    "Layer",
    "LinearAttention",
    "Mamba",
    "Mixer",
    "Mla",
    "MoEModel",
    "Parallel",
    "Requests",
    "RoutingCounts",
    "RoutingTrace",
    "Step",
    "chance_of",
    "contiguous",
    "inclusion_chance",
    "load",
    "make_step",
    "step_from_trace",
    "touch_chance",
]
