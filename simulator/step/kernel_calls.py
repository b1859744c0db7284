"""What kernels an operator asks for, and many such calls as the arrays that kernel models take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, number_format
from ...roofline.shapes import Core, Matrix, Routed
from ...roofline.table import Operator
from ..gpu import ExpertCall, ExpertLoad, every_slot
from ..gpu.attention import AttentionCall
from ..gpu.gemm import Gemm
from ..gpu.tiles import rank_load

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_TOKENS = 10_000_000


class Kernel(NamedTuple):
    """A kernel that an operator asks for. table: that its constants come from; words of the
    family's name, and group, as in `choose`; peak: the format whose peak it runs at; requests: of
    which kind of an attention's requests."""

    name: str
    table: str
    words: tuple[str, ...]
    peak: str
    group: float = 0.0
    requests: int = 0


class Calls(NamedTuple):
    """An operator's calls of a kernel, one on each of some devices. places: of these in the stage.
    load: of routed experts, on every device of the stage."""

    operator: Operator
    kernel: Kernel
    places: Ints
    load: ExpertLoad | None = None


def kernels_of(operator: Operator) -> Iterator[Kernel]:
    """The kernels behind an operator: one, or for attention one for each kind of request."""
    shape = operator.shape
    if isinstance(shape, Matrix):
        yield Kernel("gemm", "gemm", ("",), operator.dtype)
    elif isinstance(shape, Routed):
        gate = "-nongated" if shape.gated else "nongated"
        yield Kernel("experts", "moe", (gate, ""), operator.dtype)
    elif isinstance(shape, Core):
        narrow = "fp8" if shape.kv_size == 1 else operator.dtype
        for kind, new in enumerate(shape.new):
            if shape.requests[kind].any():
                words = _attention_words(shape, "decode" if new == 1 else "prefill")
                group = shape.heads / shape.kv_heads
                yield Kernel("attention", "attention", words, narrow, group, kind)


def _attention_words(shape: Core, phase: str) -> tuple[str, ...]:
    """Names that the kernel's family may end in, with its cache's format and without."""
    kinds = [f"{'mla' if shape.latent else 'gqa'}-{phase}"]
    if phase == "decode" and not shape.latent:
        kinds.insert(0, "heads-decode")
    cache = "kv-fp8" if shape.kv_size == 1 else "kv-bf16"
    return tuple(f"{cache}/{kind}" for kind in kinds) + tuple(kinds)


def load_on(shape: Routed, devices: int) -> ExpertLoad:
    """The mean load of each of the `devices` of a stage."""
    if shape.tokens > MOST_TOKENS:
        raise BadInput(
            f"prices at most {MOST_TOKENS:,} tokens of a step by tiles",
            key="step",
            value=shape.tokens,
        )
    drawn_from = None if shape.counted or not shape.tokens else shape.tokens
    ranks = devices // shape.each
    load = rank_load(shape.rank, shape.loads, shape.touched, drawn_from, ranks)
    return ExpertLoad(
        rows=np.maximum(load.rows, 1e-9).repeat(shape.each),
        touched=load.touched.repeat(shape.each),
        tiles=load.tiles.repeat(shape.each, axis=0),
    )


def joined(calls: Sequence[Calls]) -> Any:
    """Calls of one kernel in one format, one after another, as its model takes them: `[calls]`."""
    return _JOINED[calls[0].kernel.name](calls, [calls_.places.size for calls_ in calls])


def _gemms(calls: Sequence[Calls], sizes: Sequence[int]) -> Gemm:
    form = number_format(calls[0].operator.dtype)
    shapes: list[Any] = [one.operator.shape for one in calls]
    rows = [shape.rows[one.places] for shape, one in zip(shapes, calls, strict=True)]
    return Gemm(
        m=np.maximum(np.concatenate(rows), 1.0),
        n=np.repeat([float(shape.outputs) for shape in shapes], sizes),
        k=np.repeat([float(shape.inputs) for shape in shapes], sizes),
        weight_size=form.bytes_per_element,
        activation_size=form.operand_bytes,
        quantised=form.compute != "bf16",
    )


def _experts(calls: Sequence[Calls], sizes: Sequence[int]) -> ExpertCall:
    form = number_format(calls[0].operator.dtype)
    shapes: list[Any] = [one.operator.shape for one in calls]

    def each(of: Callable[[Routed], float]) -> Floats:
        return np.repeat([float(of(shape)) for shape in shapes], sizes)

    tokens, top_k = each(lambda shape: shape.tokens), each(lambda shape: shape.top_k)
    load = _joined_loads(calls)
    held = [np.bincount(shape.rank) for shape in shapes]
    return ExpertCall(
        tokens=tokens,
        group_rows=tokens * top_k,
        local_experts=np.concatenate(
            [
                counts[one.places // shape.each].astype(float)
                for counts, shape, one in zip(held, shapes, calls, strict=True)
            ]
        ),
        hidden=each(lambda shape: shape.hidden),
        inter=each(lambda shape: shape.inter),
        matrices_in=each(lambda shape: 2.0 if shape.gated else 1.0),
        weight_size=form.bytes_per_element,
        activation_size=form.operand_bytes,
        assigned=load,
        reached=every_slot(tokens, load, top_k),
        repeated=False,
    )


def _joined_loads(calls: Sequence[Calls]) -> ExpertLoad:
    loads = [one.load for one in calls]
    return ExpertLoad(
        **{
            name: np.concatenate(
                [getattr(load, name)[one.places] for load, one in zip(loads, calls, strict=True)]
            )
            for name in ExpertLoad.__struct_fields__
        }
    )


def _attention(calls: Sequence[Calls], sizes: Sequence[int]) -> AttentionCall:
    shapes: list[Any] = [one.operator.shape for one in calls]
    kinds = [one.kernel.requests for one in calls]
    asked = list(zip(shapes, kinds, calls, strict=True))

    def each(name: str) -> Floats:
        return np.repeat([float(getattr(shape, name)) for shape in shapes], sizes)

    return AttentionCall(
        batch=np.concatenate([shape.requests[kind, one.places] for shape, kind, one in asked]),
        query_tokens=np.repeat([shape.new[kind] for shape, kind, _ in asked], sizes),
        cached_tokens=np.repeat([shape.cached[kind] for shape, kind, _ in asked], sizes),
        heads=each("heads"),
        kv_heads=each("kv_heads"),
        head_dim=each("head_dim"),
        v_head_dim=each("value_dim"),
        latent_dim=each("latent"),
        rope_dim=each("rope_dim"),
        kv_size=shapes[0].kv_size,
        causal=each("causal"),
    )


_JOINED: dict[str, Callable[[Sequence[Calls], Sequence[int]], Any]] = {
    "gemm": _gemms,
    "experts": _experts,
    "attention": _attention,
}
