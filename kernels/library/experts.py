"""The experts' matrices on tokens sorted by expert: sizes, random operands, the exact result."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from . import bounds
from .formats import BF16, DTYPES, E4M3, Format
from .kernel import Config, Expected

Numbers = NDArray[np.float64]

NULL = np.uint64(0)
"""The pointer that a kernel is given for an argument that its configuration does not read."""


class ExpertsShape(msgspec.Struct, frozen=True):
    """rows: the number of rows of each expert. depth: the inner dimension (hidden size for gate
    and up, expert width for down). columns: of the output."""

    rows: tuple[int, ...]
    depth: int
    columns: int

    def __post_init__(self) -> None:
        if not self.rows or min(self.rows) < 0 or self.depth < 1 or self.columns < 1:
            raise BadInput("needs at least one expert, no negative rows, and positive sizes")

    def multiply_adds(self, config: Config) -> int:
        return sum(self.rows) * (1 + config["FUSE_SWIGLU"]) * self.columns * self.depth

    def row_starts(self) -> NDArray[np.int32]:
        """First row of each expert, then the number of rows: `[experts + 1]`."""
        return np.concatenate([[0], np.cumsum(self.rows)]).astype(np.int32)


def sizes(shape: ExpertsShape) -> dict[str, int]:
    """What the rules of a kernel name."""
    return {"depth": shape.depth, "columns": shape.columns, "rows": sum(shape.rows)}


class Operands(msgspec.Struct, frozen=True, kw_only=True):
    """What a kernel reads, as stored.

    inputs: bits `[tokens, depth]`, weights: bits `[experts, parts * columns, depth]`. tokens: the
    row of `inputs` that each row is, `[rows]`. in_scales `[tokens]` and weight_scales
    `[experts, parts * columns]`: fp32 factors of the rows, 1 for 16-bit formats.
    """

    form: Format
    inputs: NDArray[Any]
    weights: NDArray[Any]
    tokens: NDArray[np.int32]
    in_scales: NDArray[np.float32]
    weight_scales: NDArray[np.float32]

    def numbers(self, magnitudes: bool = False) -> tuple[Numbers, Numbers]:
        """Rows `[rows, depth]` and weights, scaled; or the magnitudes that their sums' errors are
        measured by."""

        def of(bits: NDArray[Any], scales: NDArray[np.float32]) -> Numbers:
            known = bounds.magnitudes(self.form, bits) if magnitudes else self.form.decode(bits)
            return known * scales[..., None]

        return (
            of(self.inputs, self.in_scales)[self.tokens],
            of(self.weights, self.weight_scales),
        )


def draw(shape: ExpertsShape, config: Config, seed: int) -> Operands:
    """Normal numbers, the weights smaller by the root of the depth. With GATHER each token is
    taken for about two rows, in any order. Tokens and experts that no row has are nan."""
    rng = np.random.default_rng(seed)
    form = DTYPES[config["DTYPE"]]
    rows, parts = sum(shape.rows), 1 + config["FUSE_SWIGLU"]
    tokens = rng.permutation(rows) // 2 if config["GATHER"] else np.arange(rows)
    taken = int(tokens.max(initial=-1)) + 1
    busy = np.flatnonzero(shape.rows)
    inputs, in_scales = _unread(form, (rows, shape.depth))
    weights, weight_scales = _unread(form, (len(shape.rows), parts * shape.columns, shape.depth))
    inputs[:taken], in_scales[:taken] = _stored(rng.standard_normal((taken, shape.depth)), form)
    weights[busy], weight_scales[busy] = _stored(
        rng.standard_normal((len(busy), *weights.shape[1:])) / shape.depth**0.5, form
    )
    return Operands(
        form=form,
        inputs=inputs,
        weights=weights,
        tokens=tokens.astype(np.int32),
        in_scales=in_scales,
        weight_scales=weight_scales,
    )


def reference(
    inputs: Numbers, weights: Numbers, row_starts: NDArray[np.int32], fuse_swiglu: bool
) -> Numbers:
    """inputs `[rows, depth]`, weights `[experts, parts * columns, depth]` -> `[rows, columns]`."""
    if not fuse_swiglu:
        return products(inputs, weights, row_starts)
    gate, up = np.split(weights, 2, axis=1)
    return swiglu(products(inputs, gate, row_starts), products(inputs, up, row_starts))


def swiglu(gate: Numbers, up: Numbers) -> Numbers:
    """silu(gate) * up with silu(x) = x / (1 + exp(-x)) (Shazeer, arXiv 2002.05202)."""
    activated: Numbers = gate / (1 + np.exp(-gate))
    return activated * up


def products(inputs: Numbers, weights: Numbers, row_starts: NDArray[np.int32]) -> Numbers:
    """Each expert's rows by its matrix: `[rows, weight rows]`."""
    starts = row_starts.tolist()
    spans = zip(starts, starts[1:], weights, strict=False)
    return np.concatenate([inputs[first:end] @ matrix.T for first, end, matrix in spans])


def sums_of(
    operands: Operands, shape: ExpertsShape, depth: slice, magnitudes: bool = False
) -> Numbers:
    """`[parts, rows, columns]` over a part of the depth: the exact sums, or those of magnitudes."""
    inputs, weights = operands.numbers(magnitudes)
    both = products(inputs[:, depth], weights[:, :, depth], shape.row_starts())
    parts = both.shape[1] // shape.columns
    return both.reshape(len(both), parts, shape.columns).swapaxes(0, 1)


def finished(value: Numbers, sums: Numbers, errors: Numbers, form: Format) -> Expected:
    """What is written of exact sums `[parts, rows, columns]` that a kernel knows to `errors`."""
    error = errors[0] if len(sums) == 1 else bounds.swiglu(*sums, *errors)
    return Expected(value=value, bound=bounds.rounded(value, error, form), values=form.decode)


def poison(shape: tuple[int, ...], form: Format) -> NDArray[Any]:
    """An output before the kernel: a nan in each element."""
    return np.full(shape, 2 * form.ones + 1, form.stored)


def out_form(config: Config) -> Format:
    """The format of the output: the input's, bf16 for e4m3."""
    form = DTYPES[config["DTYPE"]]
    return BF16 if form is E4M3 else form


def _unread(form: Format, shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[np.float32]]:
    return poison(shape, form), np.full(shape[:-1], np.nan, np.float32)


def _stored(values: Numbers, form: Format) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Bits and the factor of each row: for e4m3 the one that makes its largest number 448."""
    scales = np.ones(values.shape[:-1], np.float32)
    if form is E4M3:
        scales = (np.abs(values).max(axis=-1) / 448).astype(np.float32)
    return form.encode(values / scales[..., None].astype(float)), scales
