"""The two attention kernels on a plan: UbiMoE's in one region, Edge-MoE's in two passes.

Every function appends one use of the kernel: it begins after the points given and gives the point
at which its results are in the memory.
"""

from __future__ import annotations

from ....base import BadInput
from ..blocks.attention_stream import av_program, per_key, qk_program
from ..closed_forms import tiles
from ..graph import Loop, Program, Step
from .chip import Chip
from .plan import Done


def fused(chip: Chip, *after: Done) -> Done:
    """UbiMoE's streaming attention: scores wait on the chip until their row's maximum is known."""
    plan, design, queries = chip.plan, chip.design, chip.queries
    scores = plan.fifo("scores", design.score_rows or chip.tokens, queries * chip.score_bits)
    row_max = plan.fifo("row_max", 2 * queries, chip.score_bits)
    q, k = _queries(chip, *after), _rows(chip, "k.read", *after)
    v, out = _rows(chip, "v.read", *after), _output(chip)
    shape = (chip.tokens, chip.inner_beats, queries)
    qk = qk_program(*shape, q=q, k=k, scores=scores, row_max=row_max)
    av = av_program(*shape, scores=scores, row_max=row_max, v=v, out=out)
    plan.run("qk", qk, design.pipeline_cycles)
    plan.run("av", av, design.pipeline_cycles)
    return plan.done("attention.write")


def in_two(chip: Chip, *after: Done) -> Done:
    """Edge-MoE's attention: QK^T with a softmax in one pass, scores to the memory; then AV."""
    return _weighted(chip, _scored(chip, *after))


def _scored(chip: Chip, *after: Done) -> Done:
    plan, queries = chip.plan, chip.queries
    stream = plan.fifo("qxk_stream", 2, queries * chip.score_bits)
    scores = plan.fifo("attn_stream", 2 * queries, chip.score_bits)
    info = plan.fifo("attn_softmax_info_stream", chip.tokens, 2 * chip.score_bits)
    q, k = _queries(chip, *after), _rows(chip, "k.read", *after)
    per_beat, beats = _packing(chip)
    y = plan.write("scores.write", beats)
    shape = (chip.tokens, chip.inner_beats, queries)
    qk = qk_program(*shape, q=q, k=k, scores=stream, row_max=None)
    plan.run("qk", qk, chip.design.pipeline_cycles)
    softmax = _softmax(chip.tokens, queries, stream, scores, info)
    plan.run("softmax", softmax, chip.design.pipeline_cycles)
    plan.run("scores.pack", _pack(queries * chip.key_rows, per_beat, scores, y))
    return plan.done("scores.write")


def _weighted(chip: Chip, *after: Done) -> Done:
    plan, queries = chip.plan, chip.queries
    scores = plan.fifo("scores", 2, queries * chip.score_bits)
    plan.wait("scores.read", *after)
    per_beat, beats = _packing(chip)
    packed = plan.read("scores.read", beats)
    plan.run("scores.unpack", _unpack(chip.key_rows, queries, per_beat, packed, scores))
    v, out = _rows(chip, "v.read", *after), _output(chip)
    av = av_program(
        chip.tokens, chip.inner_beats, queries,
        scores=scores, row_max="attn_softmax_info_stream", v=v, out=out,
    )  # fmt: skip
    plan.run("av", av, chip.design.pipeline_cycles)
    return plan.done("attention.write")


def _queries(chip: Chip, *after: Done) -> str:
    chip.plan.wait("q.read", *after)
    return chip.plan.read("q.read", chip.tokens * chip.inner_beats)


def _rows(chip: Chip, port: str, *after: Done) -> str:
    """Keys or values, again and again."""
    chip.plan.wait(port, *after)
    return chip.plan.read(port, chip.key_rows * chip.inner_beats)


def _output(chip: Chip) -> str:
    return chip.plan.write("attention.write", chip.tokens * chip.inner_beats)


def _softmax(tokens: int, queries: int, stream: str, scores: str, info: str) -> Program:
    """The scores of a key step one by one; a row's maximum and sum go out with its last score."""

    def step(starts: bool, ends: bool) -> Program:
        first = Step(reads={stream: 1}, writes={scores: 1} | ({info: 1} if ends else {}))
        return (first, Step(writes={scores: 1}, times=queries - 1))

    return per_key(tokens, queries, step)


def _packing(chip: Chip) -> tuple[int, int]:
    """Scores (of all heads) in a beat, and beats of all. derived: none is cut in two."""
    per_beat = chip.design.port_bits // chip.score_bits
    if not per_beat:
        raise BadInput(
            f"is narrower than a score of {chip.heads} heads ({chip.score_bits} bits)",
            key="port_bits",
            value=chip.design.port_bits,
        )
    return per_beat, int(tiles(chip.queries * chip.key_rows, per_beat))


def _pack(scores: int, per_beat: int, into: str, out: str) -> Program:
    def beat(held: int) -> Program:
        return (Step(reads={into: 1}, times=held - 1), Step(reads={into: 1}, writes={out: 1}))

    whole, rest = divmod(scores, per_beat)
    return (Loop(whole, beat(per_beat)), *(beat(rest) if rest else ()))


def _unpack(steps: int, queries: int, per_beat: int, packed: str, scores: str) -> Program:
    """A token for each key step; a beat is taken when its first score is due."""

    def step(index: int) -> Step:
        due = [int(tiles(scores_before, per_beat)) for scores_before in _span(index, queries)]
        beats = due[1] - due[0]
        return Step(reads={packed: beats} if beats else {}, writes={scores: 1})

    whole, rest = divmod(steps, per_beat)  # after so many steps no beat is open
    pattern = tuple(step(index) for index in range(per_beat))
    return (Loop(whole, pattern), *pattern[:rest])


def _span(index: int, queries: int) -> tuple[int, int]:
    return index * queries, (index + 1) * queries
