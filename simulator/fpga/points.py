"""Designs of UbiMoE's class as arrays: the cycles of an image for all of them at once.

The twin of `terms` and `estimate`: arrays of any shape that broadcast together, so that a grid
costs the sum of its parts and not their product until the last addition.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...workload import Experts, Gqa, MoEModel
from .closed_forms import (
    Number,
    feature_cycles,
    gate_cycles,
    linear_cycles,
    matrix_cycles,
    tiles,
    weight_cycles,
)
from .designs import Design, UbiMoe
from .precision import Precision, precision_of
from .terms import Shapes

PATCH_INPUTS = UbiMoe().patch_inputs
"""Numbers of a patch, the same in all points."""


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """Design points of one precision; numbers, or arrays that broadcast together.

    lanes: Ta, features a beat; queries: Na of one attention kernel; copies: attention kernels
    (num), each with an equal share of an image's queries; tin, tout, units: tile and NL of the
    linear kernel.
    """

    precision: Precision
    clock_hz: Number
    lanes: Number
    queries: Number
    copies: Number
    tin: Number
    tout: Number
    units: Number

    @property
    def port_bits(self) -> Number:
        return self.lanes * self.precision.feature_bits


class Cycles(msgspec.Struct, frozen=True, kw_only=True):
    """Cycles of one image. stream: a pass of the attention kernels; products: on the linear kernel;
    busy: of its compute units alone; waits: for weights that no work hides; loads, expert_loads,
    gate: hidden where everything overlaps. beats: moved through memory ports."""

    stream: Number
    products: Number
    busy: Number
    norms: Number
    waits: Number
    loads: Number
    expert_loads: Number
    gate: Number
    beats: Number

    @property
    def full_overlap(self) -> Number:
        return self.stream + (self.products + self.norms + self.waits)

    @property
    def scheduled(self) -> Number:
        """As UbiMoE's kernels run one image: AV under QK^T, weights under the products before them
        (ping and pong), the gate after its norm and before its experts."""
        return self.stream + self.beside

    @property
    def beside(self) -> Number:
        """`scheduled` without the attention kernels."""
        return self.products + self.norms + self.waits + self.gate

    @property
    def no_overlap(self) -> Number:
        return self.scheduled + (self.loads + self.stream + self.expert_loads)

    @property
    def interval(self) -> Number:
        """The least from one image to the next, however many are under way: attention of one
        against all else of another. derived: there is one linear kernel, so that only its own work
        and the streams can overlap (UbiMoE's double buffers)."""
        return np.maximum(self.stream, self.beside)


def design_of(points: Points) -> UbiMoe:
    """The design of a single point with one attention kernel, for `estimate`."""
    form = points.precision
    return UbiMoe(
        tin=int(points.tin),
        tout=int(points.tout),
        linear_units=int(points.units),
        queries=int(points.queries),
        feature_bits=form.feature_bits,
        weight_bits=form.weight_bits,
        port_bits=int(points.port_bits),
        dsp_per_feature=form.dsp_per_feature,
        dsp_per_weight=form.dsp_per_weight,
        patch_inputs=PATCH_INPUTS,
    )


def points_of(design: Design, clock_hz: float) -> Points:
    """The point of a design, with one attention kernel: `design_of` backwards. Raises BadInput for
    a design that differs in what all points have in common."""
    common = UbiMoe()
    for name in ("patch_inputs", "weight_buffers", "score_rows"):
        if getattr(design, name) != getattr(common, name):
            wanted = getattr(common, name)
            what = f"is {'left out' if wanted is None else wanted} where resources are asked for"
            raise BadInput(what, key=name, value=getattr(design, name))
    form = precision_of(
        feature_bits=design.feature_bits,
        weight_bits=design.weight_bits,
        dsp_per_feature=design.dsp_per_feature,
        dsp_per_weight=design.dsp_per_weight,
    )
    form.check_port(design.port_bits)
    return Points(
        precision=form,
        clock_hz=clock_hz,
        lanes=design.lanes,
        queries=design.queries,
        copies=1,
        tin=design.tin,
        tout=design.tout,
        units=design.linear_units,
    )


def copy_steps(tokens: int, queries: Number, copies: Number) -> Number:
    """Key rows that pass each of `copies` kernels with an equal share of the queries.

    derived: `stream_steps` with fewer queries than keys."""
    share = tiles(tokens, copies)
    return tokens * tiles(share, queries) + (share + queries - 1) % queries


def image_cycles(
    points: Points, model: MoEModel, tokens: int, queues: NDArray[np.int64], bytes_per_s: float
) -> Cycles:
    """Cycles of an image of `tokens` tokens on a board with a memory of `bytes_per_s`.

    The mean over images whose experts get `queues` tokens `[images, moe_layers, experts]`; equal to
    `estimate` of each point.
    """
    kernels, width, lanes = _Kernels(points, bytes_per_s), model.hidden, points.lanes
    kernels.block(tokens - 1, ((PATCH_INPUTS, width),), 1)
    rows = iter(queues.swapaxes(0, 1))
    routed: dict[Shapes, list[NDArray[np.int64]]] = defaultdict(list)
    plain: Counter[Shapes] = Counter()
    for layer in model.layers:
        mixer, ffn = layer.mixers[0], layer.ffn
        assert isinstance(mixer, Gqa)
        inner = mixer.heads * mixer.head_dim
        kernels.attention(tokens, inner)
        kernels.add(norms=2 * feature_cycles(tokens, width, lanes))
        plain[((width, inner),) * 3 + ((inner, width),)] += 1
        shapes: Shapes = ((width, ffn.inter), (ffn.inter, width))
        if isinstance(ffn, Experts):
            kernels.add(gate=gate_cycles(tokens, width, ffn.count, lanes))
            routed[shapes].extend(next(rows))
        else:
            plain[shapes] += 1
    for every, times in plain.items():
        kernels.block(tokens, every, times)
    for each, found in routed.items():
        kernels.experts(found, each, len(queues))
    return Cycles(**kernels.sums)


class _Kernels:
    """Adds up the work of the kernels of `points` by the fields of `Cycles`."""

    def __init__(self, points: Points, bytes_per_s: float) -> None:
        self.points = points
        beat = points.port_bits / 8 * points.clock_hz / bytes_per_s
        self.load_beat = np.maximum(1.0, beat)
        # Keys and values of every attention kernel stream through a port each, all at once.
        self.stream_beat = np.maximum(1.0, beat * (2 * points.copies))
        self.sums: dict[str, Number] = dict.fromkeys(Cycles.__struct_fields__, 0)

    def add(self, **more: Number) -> None:
        for name, cycles in more.items():
            self.sums[name] = self.sums[name] + cycles

    def attention(self, tokens: int, inner: int) -> None:
        p = self.points
        steps = tiles(inner, p.lanes) * copy_steps(tokens, p.queries, p.copies)
        rows = 2 * feature_cycles(tokens, inner, p.lanes)
        self.add(stream=steps * self.stream_beat, beats=2 * p.copies * steps + rows)

    def block(self, tokens: int, shapes: Shapes, times: int) -> None:
        """Matrices that every token passes; their weights load under them as far as they fit."""
        products, load = self._products(tokens, shapes, times), self._load(shapes)
        self.add(waits=times * np.maximum(0, load - products))
        self.add(loads=times * np.minimum(load, products))
        self._beats(shapes, times)

    def experts(self, queues: list[NDArray[np.int64]], shapes: Shapes, images: int) -> None:
        """Experts with tokens, one after the other; each but the last of a layer hides the load of
        the next one as far as it lasts."""
        filled = [row[row > 0].tolist() for row in queues]
        hiding = Counter(length for row in filled for length in row[:-1])
        load, waits = self._load(shapes), 0.0
        for length, times in Counter(length for row in filled for length in row).items():
            products = self._products(length, shapes, times / images)
            waits = waits + hiding[length] / images * np.maximum(0, load - products)
        loaded = sum(map(len, filled)) / images
        self.add(waits=waits, expert_loads=loaded * load - waits)
        self._beats(shapes, loaded)

    def _products(self, tokens: int, shapes: Shapes, times: float) -> Number:
        p = self.points
        products, busy, features = 0, 0, 0
        for shape in shapes:
            tile = (tokens, *shape, p.tin, p.tout, p.units)
            products = products + matrix_cycles(*tile, p.lanes)
            busy = busy + linear_cycles(*tile)
            features = features + sum(feature_cycles(tokens, size, p.lanes) for size in shape)
        self.add(products=times * products, busy=times * busy, beats=times * features)
        return products

    def _load(self, shapes: Shapes) -> Number:
        return self._words(shapes) * self.load_beat

    def _words(self, shapes: Shapes) -> Number:
        per_beat = self.points.port_bits // self.points.precision.weight_bits
        return sum(weight_cycles(*shape, per_beat) for shape in shapes)

    def _beats(self, shapes: Shapes, times: float) -> None:
        self.add(beats=times * self._words(shapes))
