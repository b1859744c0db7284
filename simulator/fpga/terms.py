"""The work of a design in cycles, term by term: its kernels put to every layer of a model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...workload import Experts, Gqa, MoEModel
from .closed_forms import (
    Number,
    attention_cycles,
    feature_cycles,
    gate_cycles,
    matrix_cycles,
    weight_cycles,
)
from .designs import Design

Shapes = tuple[tuple[int, int], ...]
"""Inputs and outputs of matrices that run one after the other."""
Named = tuple[str, bool, float]
"""A term's name, whether full overlap hides it, and cycles."""


class Kernels:
    """Cycles of a design's kernels for one number of tokens; beats: cycles that a port's word takes
    from a memory of `bytes_per_cycle`."""

    def __init__(self, design: Design, tokens: int, bytes_per_cycle: float) -> None:
        self.design, self.tokens = design, tokens
        beat = design.port_bits / 8 / bytes_per_cycle
        self.load_beat = max(1.0, beat)
        # Where QK^T and AV run at once, keys and values stream through a port each.
        self.stream_beat = max(1.0, beat * (2 if design.fused_attention else 1))

    def matrices(self, tokens: Number, shapes: Shapes) -> Number:
        d = self.design
        return sum(
            matrix_cycles(tokens, inputs, outputs, d.tin, d.tout, d.linear_units, d.lanes)
            for inputs, outputs in shapes
        )

    def weights(self, shapes: Shapes) -> float:
        beats = sum(weight_cycles(*shape, self.design.weights_per_beat) for shape in shapes)
        return float(beats * self.load_beat)

    def attention(self, width: int) -> float:
        d = self.design
        return float(attention_cycles(self.tokens, width, d.queries, d.lanes) * self.stream_beat)


def terms_of(kernels: Kernels, model: MoEModel, queues: NDArray[np.int64]) -> Iterator[Named]:
    """The work of every layer in order; a name comes again and again."""
    width, tokens, lanes = model.hidden, kernels.tokens, kernels.design.lanes
    patches: Shapes = ((kernels.design.patch_inputs, width),)
    yield from _block(kernels, "patch embedding", tokens - 1, patches)
    row = iter(queues)
    for layer in model.layers:
        mixer, ffn = layer.mixers[0], layer.ffn
        assert isinstance(mixer, Gqa)
        inner = mixer.heads * mixer.head_dim
        # derived: a norm before each of the two blocks reads every feature once.
        yield "layer norms", False, float(2 * feature_cycles(tokens, width, lanes))
        stream = kernels.attention(inner)
        yield "QK^T", False, stream
        yield "AV", kernels.design.fused_attention, stream
        projections: Shapes = (((width, inner),) * 3) + ((inner, width),)
        yield from _block(kernels, "attention linears", tokens, projections)
        shapes: Shapes = ((width, ffn.inter), (ffn.inter, width))
        if isinstance(ffn, Experts):
            yield "gate", True, float(gate_cycles(tokens, width, ffn.count, lanes))
            yield from _experts(kernels, next(row), shapes)
        else:
            yield from _block(kernels, "dense blocks", tokens, shapes)


def _block(kernels: Kernels, name: str, tokens: int, shapes: Shapes) -> Iterator[Named]:
    """Matrices that every token passes; their weights are loaded under them as far as they fit."""
    compute, load = float(kernels.matrices(tokens, shapes)), kernels.weights(shapes)
    yield name, False, compute
    yield "waiting for weights", False, max(0.0, load - compute)
    yield "weight loads", True, min(load, compute)


def _experts(kernels: Kernels, queue: NDArray[np.int64], shapes: Shapes) -> Iterator[Named]:
    """Experts with tokens, one after the other: while one computes, the next one's weights load
    (UbiMoE's schedule: max(compute, next load)); the first load may hide under the attention."""
    compute = np.asarray(kernels.matrices(queue[queue > 0], shapes), np.float64)
    load = kernels.weights(shapes)
    waits = float(np.maximum(0.0, load - compute[:-1]).sum())
    yield "experts", False, float(compute.sum())
    yield "waiting for expert weights", False, waits
    yield "expert weight loads", True, compute.size * load - waits
