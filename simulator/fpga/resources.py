"""What designs of UbiMoE's class take of a board: DSP, memories, logic, bandwidth, dies.

UbiMoE (arXiv 2502.05602) prints a model of the attention kernel's DSP only (eq. 2). All else is
derived here from what the kernels hold and move, with the constants of `coefficients`.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ...base import BadInput
from ...hardware import Fpga
from ...workload import Experts, Gqa, MoEModel
from .closed_forms import Number, attention_dsp, linear_dsp, tiles
from .coefficients import value
from .points import PATCH_INPUTS, Points
from .precision import Mark

BRAM18 = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
"""Width and depth of half a block RAM with one port to write and one to read (from memory)."""
URAM = (72, 4096)
MARKS: dict[str, Mark] = {
    "DSP": "derived",
    "BRAM36": "assumed",
    "URAM": "assumed",
    "LUT": "assumed",
    "FF": "assumed",
    "GB/s": "derived",
    "dies": "assumed",
    "DSP of one die": "assumed",
    "wires between dies": "assumed",
    "MHz": "derived",
    "MHz across dies": "assumed",
}
"""Of what is taken, by resource: the weakest that it rests on (the attention's DSP are UbiMoE's
published eq. 2, the linear kernel's derived)."""
SLACK = 1e-9
"""Rounding that does not count as over budget."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one kernel takes of a board."""

    dsp: Number = 0
    bram36: Number = 0
    uram: Number = 0
    lut: Number = 0
    ff: Number = 0

    def __add__(self, other: Part) -> Part:
        pairs = zip(
            PART, msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True
        )
        return Part(**{name: a + b for name, a, b in pairs})

    def times(self, count: Number) -> Part:
        return Part(**{name: count * each for name, each in msgspec.structs.asdict(self).items()})


PART = Part.__struct_fields__


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What design points take in all, of which an attention kernel and the linear kernel.

    bandwidth: bytes/s that keys and values ask for; dies: the fewest that together have enough of
    everything; wires: over one boundary between dies; part_dsp: of the largest part that no
    boundary may cut, an attention kernel or a unit of the linear kernel.
    """

    total: Part
    attention: Part
    linear: Part
    bandwidth: Number
    dies: Number
    wires: Number
    part_dsp: Number


class Shape(msgspec.Struct, frozen=True):
    """The widths of a model that size the buffers: features, heads, experts, and every matrix."""

    width: int
    heads: int
    experts: int
    tokens: int
    matrices: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, model: MoEModel, tokens: int) -> Shape:
        heads, experts, matrices = 0, 0, {(PATCH_INPUTS, model.hidden)}
        for layer in model.layers:
            mixer, ffn = layer.mixers[0], layer.ffn
            assert isinstance(mixer, Gqa)
            inner = mixer.heads * mixer.head_dim
            matrices |= {(model.hidden, inner), (inner, model.hidden)}
            matrices |= {(model.hidden, ffn.inter), (ffn.inter, model.hidden)}
            heads = max(heads, mixer.heads)
            experts = max(experts, ffn.count if isinstance(ffn, Experts) else 0)
        return cls(model.hidden, heads, experts, tokens, frozenset(matrices))


def usage(points: Points, shape: Shape, board: Fpga) -> Usage:
    """What every point takes of `board` with a model's buffers."""
    attention = _attention(points, shape)
    linear = _linear(points, shape, board)
    total = linear + _buffers(points, shape, board) + attention.times(points.copies)
    dies = _dies(total, board)
    cut = 4 * points.copies * points.port_bits
    cut = cut + points.tin * points.tout * points.precision.weight_bits
    return Usage(
        total=total,
        attention=attention,
        linear=linear,
        bandwidth=2 * points.copies * (points.port_bits / 8) * points.clock_hz,
        dies=dies,
        wires=np.where(dies > 1, cut, 0),
        part_dsp=np.maximum(attention.dsp, linear.dsp // points.units),
    )


def budgets(taken: Usage, points: Points, board: Fpga) -> dict[str, tuple[Number, float]]:
    """What is taken and what there is, by resource. Block RAM stands for UltraRAM that a board has
    not got, so that UltraRAM is never short, and dies are no more than there are."""
    total = taken.total
    die_dsp = max(board.die_dsp) if board.die_dsp else board.dsp // board.dies
    across = np.where(taken.dies > 1, points.clock_hz, 0)
    return {
        "DSP": (total.dsp, board.dsp),
        "BRAM36": (total.bram36, board.bram36),
        "URAM": (total.uram, board.uram),
        "LUT": (total.lut, board.lut),
        "FF": (total.ff, board.ff),
        "GB/s": (taken.bandwidth / 1e9, board.memory.bandwidth_bytes_per_s / 1e9),
        "dies": (taken.dies, board.dies),
        "DSP of one die": (taken.part_dsp, die_dsp),
        "wires between dies": (taken.wires, board.die_wires),
        "MHz": (points.clock_hz / 1e6, (board.clock_hz or np.inf) / 1e6),
        "MHz across dies": (across / 1e6, value("die_clock") / 1e6),
    }


def excess(taken: Usage, points: Points, board: Fpga) -> Number:
    """By how much each point is over its budgets: shares of them, summed (of a resource that the
    board has not got, all that is needed); 0 for one that fits."""
    over: Number = 0.0
    for need, have in budgets(taken, points, board).values():
        over = over + _short(need, have) / (have or 1)
    return over


def check(points: Points, shape: Shape, board: Fpga) -> Usage:
    """What one design takes; raises BadInput that names every resource over budget."""
    taken = usage(points, shape, board)
    over = [
        f"{need:,.10g} of {have:,.10g} {name} ({need - have:,.10g} too many)"
        for name, (need, have) in budgets(taken, points, board).items()
        if _short(need, have) > 0
    ]
    if over:
        raise BadInput(f"cannot hold the design: it needs {'; '.join(over)}", key=board.name)
    return taken


def _short(need: Number, have: float) -> Number:
    """What is missing, but for rounding."""
    return np.maximum(0.0, need - have * (1 + SLACK))


def bram_blocks(width: Number, depth: Number) -> Number:
    """Blocks of 36 kbit, in halves, for `depth` words; none where they lie in LUT."""
    halves = np.minimum.reduce([tiles(width, w) * tiles(depth, d) for w, d in BRAM18])
    return np.where(depth <= value("lut_ram_words"), 0, halves / 2)


def lut_ram(width: Number, depth: Number) -> Number:
    """LUT that hold `depth` words; none where they lie in block RAM."""
    return np.where(depth <= value("lut_ram_words"), width, 0)


def stored(width: Number, depth: Number) -> Part:
    """A buffer of `depth` words: block RAM, or LUT where it is shallow."""
    return Part(bram36=bram_blocks(width, depth), lut=lut_ram(width, depth))


def uram_blocks(width: Number, depth: Number) -> Number:
    """UltraRAM blocks for `depth` words."""
    return tiles(width, URAM[0]) * tiles(depth, URAM[1])


def _logic(sums: Number, bits: Number) -> tuple[Number, Number]:
    """LUT and FF behind so many products of so many bits: each is added to a sum."""
    wide = bits + value("guard_bits")
    return value("adder_lut") * sums * wide, value("adder_ff") * sums * wide


def _attention(points: Points, shape: Shape) -> Part:
    """One attention kernel (UbiMoE eq. 2): two products, exponentials, a division per query."""
    form, na, bits = points.precision, points.queries, points.precision.feature_bits
    units = tiles(na, form.per_dsp)
    exps = shape.heads * na
    lut, ff = _logic(2 * points.lanes * na, 2 * bits)
    products = attention_dsp(form.dsp_per_feature, points.lanes, units)
    logic = Part(
        dsp=products + attention_dsp(0, 0, na, shape.heads, value("exp_dsp")),
        lut=lut + value("exp_lut") * exps + value("divider_lut") * na * bits**2,
        ff=ff + value("divider_ff") * na * bits**2,
    )
    scores = stored(exps * bits, shape.tokens)
    # A query's features and its sums stay in its processing element.
    rows = stored(points.port_bits * na, tiles(shape.width, points.lanes)).times(2)
    return logic + scores + rows + _ports(points, value("ports_per_copy"))


def _linear(points: Points, shape: Shape, board: Fpga) -> Part:
    """The linear kernel with its ping and pong of weights, and its units' rows."""
    form, tile = points.precision, points.tin * points.tout
    lut, ff = _logic(tile * points.units, form.feature_bits + form.weight_bits)
    depth, inputs, outputs = 0, 0, 0
    for din, dout in shape.matrices:
        depth = np.maximum(depth, tiles(din, points.tin) * tiles(dout, points.tout))
        inputs = np.maximum(inputs, tiles(din, points.tin))
        outputs = np.maximum(outputs, tiles(dout, points.tout))
    logic = Part(
        dsp=linear_dsp(
            form.dsp_per_weight, points.tin, tiles(points.tout, form.per_dsp), points.units
        ),
        bram36=tiles(points.lanes, 2),  # derived: a GELU table of a block serves two features
        lut=lut,
        ff=ff,
    )
    weights = _deep(value("weight_buffers"), tile * form.weight_bits, depth, board)
    rows = stored(points.tin * form.feature_bits, inputs)
    rows = rows + stored(points.tout * form.feature_bits, outputs)
    return logic + weights + rows.times(points.units) + _ports(points, value("other_ports"))


def _buffers(points: Points, shape: Shape, board: Fpga) -> Part:
    """What belongs to no kernel: images between the blocks, the experts' queues with gate scores
    (long enough for every token on every expert), and control."""
    words = shape.tokens * tiles(shape.width, points.lanes)
    images = _deep(value("image_buffers"), points.port_bits, words, board)
    entry = int(np.ceil(np.log2(shape.tokens))) + points.precision.feature_bits
    queues = stored(entry, shape.experts * shape.tokens)
    return images + queues + Part(lut=value("control_lut"), ff=value("control_ff"))


def _ports(points: Points, count: float) -> Part:
    """Memory ports, each with its burst."""
    logic = Part(lut=value("port_lut"), ff=value("port_ff"))
    return (logic + stored(points.port_bits, value("burst_beats"))).times(count)


def _deep(count: float, width: Number, depth: Number, board: Fpga) -> Part:
    """`count` deep buffers. assumed: each kind of buffer lies in UltraRAM where it takes half of
    the board's at most."""
    deep, other = count * uram_blocks(width, depth), stored(width, depth).times(count)
    there = deep <= board.uram / 2
    return Part(
        uram=np.where(there, deep, 0),
        bram36=np.where(there, 0, other.bram36),
        lut=np.where(there, 0, other.lut),
    )


def _dies(total: Part, board: Fpga) -> Number:
    """The fewest dies that together have enough of everything, the richest first."""
    spanned: Number = 1
    for name, need in msgspec.structs.asdict(total).items():
        each = sorted(board.die_dsp, reverse=True) if name == "dsp" else ()
        have = each or [getattr(board, name) / board.dies] * board.dies
        over = sum((need > most).astype(np.int64) for most in np.cumsum(have)[:-1])
        spanned = np.maximum(spanned, 1 + over)
    return spanned
