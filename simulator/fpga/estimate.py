"""A design running a whole model: named terms, and the latency with and without any overlap."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import BadInput, Evidence
from ...hardware import Fpga
from ...workload import Dense, Gqa, MoEModel
from .designs import Design
from .terms import Kernels, terms_of

MOST_TOKENS = 2**20
LEAST_HZ, MOST_HZ = 1e3, 1e11


class Term(msgspec.Struct, frozen=True):
    """Cycles of one kind of work over the whole model; `hidden`: full overlap makes them vanish."""

    name: str
    cycles: float
    hidden: bool = False


class Bracket(msgspec.Struct, frozen=True, kw_only=True):
    """The latency of one image between full overlap and none, and its terms.

    Terms are additive: all of them are the latency without overlap; those not hidden, with it.
    """

    tokens: int
    clock_hz: float
    terms: tuple[Term, ...]
    evidence: Evidence = "simulated"

    @property
    def full_overlap_s(self) -> float:
        return sum(term.cycles for term in self.terms if not term.hidden) / self.clock_hz

    @property
    def no_overlap_s(self) -> float:
        return sum(term.cycles for term in self.terms) / self.clock_hz


def estimate(
    design: Design,
    model: MoEModel,
    tokens: int,
    device: Fpga,
    clock_hz: float | None = None,
    queues: ArrayLike | None = None,
) -> Bracket:
    """One image of `tokens` tokens through every layer; its head is not modelled.

    clock_hz: the board's by default. queues: tokens of each expert, `[moe_layers, experts]`, even
    by default. Every loop starts one iteration a cycle, but no port outruns the board's memory.
    Raises BadInput for a board too small and for a model that the design does not run.
    """
    asked = checked(design, model, tokens, device, clock_hz, queues)
    kernels = Kernels(design, tokens, device.memory.bandwidth_bytes_per_s / asked.clock_hz)
    cycles: dict[tuple[str, bool], float] = {}
    for name, hidden, each in terms_of(kernels, model, asked.queues):
        cycles[name, hidden] = cycles.get((name, hidden), 0.0) + each
    terms = tuple(Term(name, each, hidden) for (name, hidden), each in cycles.items() if each)
    return Bracket(tokens=tokens, clock_hz=asked.clock_hz, terms=terms)


class Asked(msgspec.Struct, frozen=True):
    """A question that has passed its checks: the clock, and queues `[moe_layers, experts]`."""

    clock_hz: float
    queues: NDArray[np.int64]


def checked(
    design: Design,
    model: MoEModel,
    tokens: int,
    device: Fpga,
    clock_hz: float | None,
    queues: ArrayLike | None,
) -> Asked:
    """Raises BadInput for what `estimate` does not answer."""
    clock_hz = device.clock_hz if clock_hz is None else clock_hz
    if clock_hz is None or not LEAST_HZ <= clock_hz <= MOST_HZ:
        raise BadInput("needs a clock from 1 kHz to 100 GHz", key="clock", value=clock_hz)
    check_image(model, tokens)
    design.check(device)
    return Asked(clock_hz, _queues(model, tokens, queues))


def check_image(model: MoEModel, tokens: int) -> None:
    """Raises BadInput for an image that the designs do not run: they take encoders of plain
    multi-head attention and blocks of two matrices."""
    if not 2 <= tokens <= MOST_TOKENS:
        raise BadInput(
            f"must lie between 2 (a class token and a patch) and {MOST_TOKENS}",
            key="tokens",
            value=tokens,
        )
    for layer, (number, *_) in model.groups:
        ffn, mixer = layer.ffn, layer.mixers[0]
        plain = isinstance(mixer, Gqa) and mixer.kv_heads == mixer.heads and not mixer.causal
        lone = isinstance(ffn, Dense) or not (ffn.shared_inter or ffn.dense_inter)
        if len(layer.mixers) != 1 or not plain or ffn.gated or not lone:
            raise BadInput(
                f"has a layer {number} that these designs do not run: they take vision encoders of "
                "multi-head attention and two-matrix blocks, such as m3vit-tiny",
                key=model.name,
            )


def _queues(model: MoEModel, tokens: int, queues: ArrayLike | None) -> NDArray[np.int64]:
    """Tokens of each expert `[moe_layers, experts]`, even or as given."""
    block, layers = model.experts, len(model.moe_layers)
    total = tokens * block.top_k
    if queues is None:
        even = np.full(block.count, total // block.count)
        even[: total % block.count] += 1
        return np.tile(even, (layers, 1))
    given = np.asarray(queues)
    if given.shape != (layers, block.count) or given.dtype.kind not in "iu":
        raise BadInput(
            f"must be whole numbers of the shape {(layers, block.count)}, got {given.shape}",
            key="queues",
        )
    if given.min() < 0 or given.max() > tokens or (given.sum(axis=1) != total).any():
        raise BadInput(
            f"must lie between 0 and {tokens} and sum to tokens x top_k = {total} in each layer",
            key="queues",
        )
    return given.astype(np.int64)
