"""UbiMoE (arXiv 2502.05602) and Edge-MoE (ICCAD 2023) on the ZCU102: latency, GOPS, GOPS/W and
resources beside ours, at both token counts that the papers leave open."""

from __future__ import annotations

from typing import Any

import msgspec

from ...base import BadInput
from ...hardware import Fpga
from ...hardware.load import device
from ...simulator.fpga import DESIGNS, PUBLISHED, estimate
from ...simulator.fpga.accelerators import simulate_images
from ...simulator.fpga.coefficients import COEFFICIENTS
from ...simulator.fpga.energy import image_j
from ...simulator.fpga.points import PATCH_INPUTS, Cycles, Points, image_cycles
from ...simulator.fpga.precision import precision
from ...simulator.fpga.resources import Shape, Usage, usage
from ...workload import Dense, Experts, Gqa, MoEModel
from ...workload.load import model
from ..fpga.inverse import FINE
from ..fpga.queues import even
from ..fpga.space import Space
from ..report.section import Section, Table
from .claim import Claim, claims_section
from .question import Question, Reproduced
from .ubimoe_inverse import inverse_section

TOKENS = (129, 197)
BOARD, MODEL, CLOCK_HZ = "zcu102", "m3vit-tiny", 300e6
PRINTED: dict[str, tuple[float, float]] = {"ubimoe": (97.04, 8.438), "edge-moe": (72.15, 4.83)}
"""GOPS and GOPS/W by design; Edge-MoE's latter is 4.96 by division."""
RESOURCES = {"DSP": 1850.0, "BRAM": 458.0, "LUT": 123.4e3, "FF": 142.6e3}
"""Of UbiMoE on the ZCU102; whether its BRAM are of 18 or 36 kbit is not said."""
VIT_T_S, HEATVIT_S = 8.20e-3, 9.15e-3
"""UbiMoE-E (ViT-T, INT16) and HeatViT (DeiT-S, INT8, token pruning), ZCU102, 300 MHz."""

SAME_WORK = 0.05
"""GOPS are compared where ours counts the paper's operations (its GOPS x ms) to this share."""

UNPUBLISHED = "the parameters that the board ran with are not published: the repository's are used"
OPEN = "the operation count says 197 tokens, the data set's sentence 129: both are shown"
BEFORE = (
    "every loop starts one iteration a cycle; the task head and residual additions are left out; "
    "200 ns to a burst's first beat"
)
POWER = "watts are modelled with assumed constants"


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """One design on the board for one token count: an image cycle by cycle. low_s, high_s: all
    overlap and none, by closed form; energy_j: modelled, None where no energy model covers the
    design."""

    design: str
    tokens: int
    latency_s: float
    low_s: float
    high_s: float
    operations: float
    energy_j: float | None

    @property
    def gops(self) -> float:
        return self.operations / self.latency_s / 1e9


def ubimoe(question: Question) -> Reproduced:
    """Claims, then GOPS, resources, and the designs that would take what was printed."""
    boards = [_board(name, tokens) for name in PRINTED for tokens in TOKENS]
    speed = (*(claim for board in boards for claim in _speed_claims(board)), *_vit_claims())
    resources = _resource_claims()
    question.say("listing the designs within 5% of the printed DSP")
    spaces = [_space(tokens) for tokens in TOKENS]
    sections = (
        claims_section("ubimoe", "UbiMoE and Edge-MoE on the ZCU102", speed, (f"{OPEN}.",)),
        _gops(boards),
        claims_section("ubimoe-resources", "UbiMoE: what it takes of the board", resources),
        _constants(),
        inverse_section(spaces, RESOURCES["DSP"], PUBLISHED["ubimoe"].latency_s),
    )
    return Reproduced((*speed, *resources), sections)


def operations(shape: MoEModel, tokens: int) -> float:
    """Operations of an image, a multiply-add counted as two: projections, both products of the
    attention, the block or the experts that a token takes, patch embedding. derived: 2.507 GOP for
    ViT-Tiny at 197 tokens, which is the papers' GOPS times their latency."""
    total = (tokens - 1) * PATCH_INPUTS * shape.hidden
    for layer in shape.layers:
        mixer, ffn = layer.mixers[0], layer.ffn
        assert isinstance(mixer, Gqa)
        inner = mixer.heads * mixer.head_dim
        taken = ffn.inter * (1 if isinstance(ffn, Dense) else ffn.top_k)
        total += 4 * tokens * shape.hidden * inner + 2 * tokens**2 * inner
        total += 2 * tokens * shape.hidden * taken
    return 2.0 * total


def _board(name: str, tokens: int) -> Board:
    shape, board = model(MODEL), zcu102()
    bracket = estimate(DESIGNS[name], shape, tokens, board, CLOCK_HZ)
    latency = simulate_images(DESIGNS[name], shape, tokens, board, clock_hz=CLOCK_HZ).seconds
    return Board(
        design=name,
        tokens=tokens,
        latency_s=latency,
        low_s=bracket.full_overlap_s,
        high_s=bracket.no_overlap_s,
        operations=operations(shape, tokens),
        energy_j=_joules(shape, tokens, latency) if name == "ubimoe" else None,
    )


def zcu102() -> Fpga:
    found = device(BOARD)
    if not isinstance(found, Fpga):
        raise BadInput("is no FPGA", key=BOARD)
    return found


def _defaults(shape: MoEModel, tokens: int, form: str = "w16a32") -> tuple[Points, Cycles]:
    """The repository's parameters, and cycles: 256-bit ports, Na 4, one attention kernel, 16 x 16,
    NL 3."""
    bits = precision(form)
    points = Points(
        precision=bits, clock_hz=CLOCK_HZ, lanes=256 // bits.feature_bits, queries=4, copies=1,
        tin=16, tout=16, units=3,
    )  # fmt: skip
    memory = zcu102().memory.bandwidth_bytes_per_s
    return points, image_cycles(points, shape, tokens, even(shape, tokens), memory)


def _taken(points: Points, shape: MoEModel, tokens: int) -> Usage:
    return usage(points, Shape.of(shape, tokens), zcu102())


def _joules(shape: MoEModel, tokens: int, seconds: float) -> float:
    points, cycles = _defaults(shape, tokens)
    taken = _taken(points, shape, tokens)
    return float(image_j(points, cycles, taken, zcu102(), seconds))


def _speed_claims(board: Board) -> tuple[Claim, ...]:
    printed, (gops, per_watt) = PUBLISHED[board.design], PRINTED[board.design]
    name = "UbiMoE" if board.design == "ubimoe" else "Edge-MoE"
    at = f"{board.tokens} tokens"
    made: dict[str, Any] = {
        "paper": name,
        "assumptions": (BEFORE, *((UNPUBLISHED,) if name == "UbiMoE" else ())),
        "reason": _why(board, printed.latency_s),
    }
    claims = [
        Claim(
            **made, metric=f"{name} latency, {at}", unit="ms", published=printed.latency_s * 1e3,
            ours=board.latency_s * 1e3, span=(board.low_s * 1e3, board.high_s * 1e3),
        )
    ]  # fmt: skip
    counted = gops * 1e9 * printed.latency_s
    if abs(board.operations / counted - 1) > SAME_WORK:
        # Another count of operations: equal GOPS would mean nothing.
        made["reason"] = (
            f"the paper's GOPS x ms is {counted / 1e9:.2f} GOP; {board.tokens} tokens have "
            f"{board.operations / 1e9:.2f}"
        )
        return (*claims, Claim(**made, metric=f"{name} GOPS, {at}", unit="GOPS", published=gops,
                               ours=None))  # fmt: skip
    ends = (board.operations / board.high_s / 1e9, board.operations / board.low_s / 1e9)
    claims += [
        Claim(
            **made, metric=f"{name} GOPS, {at}", unit="GOPS", published=gops, ours=board.gops,
            span=ends,
        ),
        Claim(
            **made, metric=f"{name} GOPS/W, published W, {at}", unit="GOPS/W",
            published=per_watt, ours=board.gops / printed.power_w,
            span=(ends[0] / printed.power_w, ends[1] / printed.power_w),
        ),
    ]  # fmt: skip
    if board.energy_j is not None:
        made["assumptions"] = (*made["assumptions"], POWER)
        claims.append(
            Claim(
                **made, metric=f"{name} GOPS/W, modelled W, {at}", unit="GOPS/W",
                published=per_watt, ours=board.operations / board.energy_j / 1e9,
            )
        )  # fmt: skip
    return tuple(claims)


def _why(board: Board, printed_s: float) -> str:
    if board.low_s <= printed_s <= board.high_s:
        return "the board lies between the closed forms of all overlap and none (other readings)"
    return f"the board is slower than no overlap at all, by {printed_s / board.high_s:.2f} times"


def _vit_claims() -> tuple[Claim, ...]:
    """ViT-T is M3ViT-T with a dense block in every layer: here one expert that every token takes,
    whose gate is not counted."""
    shape = model(MODEL)
    dense = next(layer for layer in shape.layers if isinstance(layer.ffn, Dense))
    lone = Experts(count=1, top_k=1, inter=dense.ffn.inter, gated=False)
    layers = (dense,) * (len(shape.layers) - 1) + (msgspec.structs.replace(dense, ffn=lone),)
    vit = msgspec.structs.replace(shape, name="vit-tiny", layers=layers)
    _, cycles = _defaults(vit, 197, "int16")
    low, high = (float(c - cycles.gate) for c in (cycles.scheduled, cycles.no_overlap))
    scale = 1e3 / CLOCK_HZ
    made: dict[str, Any] = {
        "paper": "UbiMoE-E",
        "assumptions": (BEFORE, UNPUBLISHED),
        "reason": "with the repository's parameters INT16 takes fewer than half of the board's DSP",
    }
    return (
        Claim(**made, metric="UbiMoE-E latency, ViT-T INT16, 197 tokens", unit="ms",
              published=VIT_T_S * 1e3, ours=low * scale, span=(low * scale, high * scale)),
        Claim(paper="HeatViT", metric="HeatViT latency, DeiT-S INT8", unit="ms",
              published=HEATVIT_S * 1e3, ours=None, reason="token pruning is not modelled"),
    )  # fmt: skip


def _resource_claims() -> tuple[Claim, ...]:
    shape = model(MODEL)
    total = _taken(_defaults(shape, 197)[0], shape, 197).total
    ours = {"DSP": total.dsp, "BRAM": total.bram36, "LUT": total.lut, "FF": total.ff}
    return tuple(
        Claim(
            paper="UbiMoE",
            metric=name,
            unit="K" if printed > 1e4 else "blocks",
            published=printed / (1e3 if printed > 1e4 else 1),
            ours=float(ours[name]) / (1e3 if printed > 1e4 else 1),
            assumptions=(UNPUBLISHED, "no constant is fitted to these four numbers"),
            reason="a model of the attention's DSP alone is published (eq. 2)",
        )
        for name, printed in RESOURCES.items()
    )


def _constants() -> Section:
    table = Table(
        columns=("constant", "value", "unit", "mark", "source"),
        rows=tuple(
            (name, f"{each.value:g}", each.unit, each.mark, each.source)
            for name, each in COEFFICIENTS.items()
        ),
    )
    return Section(
        name="ubimoe-constants",
        title="Every constant of the resource and the energy model",
        words=("Those marked assumed are from memory and unverified; none is fitted to a board.",),
        evidence=("simulated",),
        tables=(table,),
        data={name: msgspec.structs.asdict(each) for name, each in COEFFICIENTS.items()},
    )


def _gops(boards: list[Board]) -> Section:
    rows = []
    for board in boards:
        printed, (gops, per_watt) = PUBLISHED[board.design], PRINTED[board.design]
        modelled = None if board.energy_j is None else board.energy_j / board.latency_s
        rows.append((
            board.design,
            str(board.tokens),
            f"{board.operations / 1e9:.3f}",
            f"{gops:.2f} / {board.gops:.2f}",
            f"{printed.power_w:.2f} / " + ("-" if modelled is None else f"{modelled:.2f}"),
            f"{per_watt:.3f} / {board.gops / printed.power_w:.2f} / "
            + ("-" if modelled is None else f"{board.gops / modelled:.2f}"),
        ))  # fmt: skip
    table = Table(
        columns=("design", "tokens", "GOP", "GOPS: paper / ours", "W: published / modelled",
                 "GOPS/W: paper / ours at published W / at modelled W"),
        rows=tuple(rows),
        note="The papers' GOPS times their latency is 2.50 GOP in both columns. Edge-MoE prints "
        "4.83 GOPS/W; 72.15 / 14.54 is 4.96.",
    )  # fmt: skip
    return Section(
        name="ubimoe-gops",
        title="GOPS and GOPS/W",
        words=(
            f"Published watts are the board's; modelled ones rest on assumed constants. {OPEN}.",
        ),
        evidence=("measured-published", "simulated"),
        tables=(table,),
        data=[msgspec.to_builtins(board) for board in boards],
    )


def _space(tokens: int) -> Space:
    shape = model(MODEL)
    return Space(
        board=zcu102(),
        precision=precision("w16a32"),
        model=shape,
        tokens=tokens,
        queues=even(shape, tokens),
        axes=FINE,
    )
