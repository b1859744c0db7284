"""Images on a chip: the kernels that a model's layers ask for, in order, for one image or two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....workload import Experts
from ....workload.model import Layer
from . import attention
from .chip import Chip
from .kernels import gate, linear, norm
from .plan import Done

Layers = tuple[Layer, ...]
Queues = NDArray[np.int64]


class Image:
    """One image: every kernel begins when the one before it has written its results.

    queues: tokens of each expert, `[moe_layers, experts]`. The head, biases and residual additions
    are not modelled.
    """

    def __init__(self, chip: Chip, layers: Layers, queues: Queues, label: str = "") -> None:
        self.chip, self.layers, self.label = chip, layers, label
        self.queues = iter(queues)
        self._name("patch embedding")
        shape = (chip.design.patch_inputs, chip.width)
        self.point = linear(chip, chip.tokens - 1, shape)

    def attend(self, number: int) -> None:
        """Norm, queries, keys and values, attention; its output is still to be projected."""
        chip = self.chip
        self._name(f"layer {number}, attention's norm")
        normed = norm(chip, self.point)
        self._name(f"layer {number}, queries, keys, values")
        shape = (chip.width, chip.inner)
        # One after the other on one kernel: the last one's results are in the memory last.
        linear(chip, chip.tokens, shape, normed)
        linear(chip, chip.tokens, shape)
        projected = linear(chip, chip.tokens, shape)
        self._name(f"layer {number}, attention")
        kernel = attention.fused if chip.design.fused_attention else attention.in_two
        self.point = kernel(chip, projected)

    def project(self, number: int) -> None:
        self._name(f"layer {number}, projection")
        chip = self.chip
        self.point = linear(chip, chip.tokens, (chip.inner, chip.width), self.point)

    def feed(self, number: int) -> None:
        """Norm, then a dense block, or the gate and every expert that has tokens."""
        chip, ffn = self.chip, self.layers[number].ffn
        self._name(f"layer {number}, block's norm")
        normed = norm(chip, self.point)
        if not isinstance(ffn, Experts):
            self._name(f"layer {number}, dense block")
            self.point = self._block(chip.tokens, ffn.inter, normed)
            return
        self._name(f"layer {number}, gate")
        ready = gate(chip, ffn.count, normed)
        for expert, tokens in enumerate(next(self.queues)):
            if tokens:
                self._name(f"layer {number}, expert {expert}")
                self.point = self._block(int(tokens), ffn.inter, ready, expert=True)

    def _block(self, tokens: int, inter: int, *after: Done, expert: bool = False) -> Done:
        chip = self.chip
        hidden = linear(chip, tokens, (chip.width, inter), *after, expert=expert)
        return linear(chip, tokens, (inter, chip.width), hidden, expert=expert)

    def _name(self, label: str) -> None:
        self.chip.plan.label = self.label + label


def one(chip: Chip, layers: Layers, queues: Queues) -> None:
    """One image, layer by layer."""
    image = Image(chip, layers, queues)
    for number in range(len(layers)):
        image.attend(number)
        image.project(number)
        image.feed(number)


def two(chip: Chip, layers: Layers, queues: Queues) -> None:
    """Two images at once: while one is in its attention, the other is in its feed-forward block
    (UbiMoE's double buffering of MSA against FFN); they share the linear kernel."""
    ahead = Image(chip, layers, queues, "image 0, ")
    behind = Image(chip, layers, queues, "image 1, ")
    ahead.attend(0)
    ahead.project(0)
    for number in range(len(layers)):
        behind.attend(number)
        ahead.feed(number)
        behind.project(number)
        last = number + 1 == len(layers)
        if not last:
            ahead.attend(number + 1)
        behind.feed(number)
        if not last:
            ahead.project(number + 1)
