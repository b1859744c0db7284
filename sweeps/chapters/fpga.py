"""A chapter that holds published FPGA designs against their boards."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from ...base import BadInput, Count, Evidence
from ...hardware import Fpga
from ...hardware.load import device as load_device
from ...simulator.fpga import BoardResult, Bracket, design, estimate, published
from ...simulator.fpga.accelerators import simulate_images
from ...workload import MoEModel
from ...workload.load import model as load_model
from ..report.section import Section, Table
from .question import Chapter


class Designs(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="fpga"):
    """Designs on one board, each for several numbers of tokens in an image. detail: bound (closed
    forms only), or cycle: also an image in time."""

    designs: tuple[str, ...]
    model: str = "m3vit-tiny"
    on: str = "zcu102"
    tokens: tuple[Count, ...] = (129, 197)
    detail: Literal["bound", "cycle"] = "cycle"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A design at a number of tokens: its bracket, cycle by cycle, and on a real board."""

    design: str
    bracket: Bracket
    simulated_s: float | None
    board: BoardResult | None

    @property
    def name(self) -> str:
        return f"{self.design}, {self.bracket.tokens} tokens"

    @property
    def board_s(self) -> float | None:
        return None if self.board is None else self.board.latency_s


def designs(chapter: Designs, seed: int) -> Section:
    """Latency brackets and images in time beside the boards' latency, and every term."""
    from ..plots.curves import latency_brackets

    answers = _ask(chapter)
    evidence: list[Evidence] = ["simulated"]
    if any(answer.board for answer in answers):
        evidence.append("measured-published")
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=tuple(filter(None, (chapter.words, *(_verdict(answer) for answer in answers)))),
        evidence=tuple(evidence),
        tables=(_terms(answers),),
        figure=latency_brackets(
            [(a.name, a.bracket.full_overlap_s, a.bracket.no_overlap_s) for a in answers],
            [answer.simulated_s for answer in answers],
            [answer.board_s for answer in answers],
            f"{chapter.model} on {chapter.on}",
        ),
        data={
            answer.name: {
                "full_overlap_s": answer.bracket.full_overlap_s,
                "no_overlap_s": answer.bracket.no_overlap_s,
                "simulated_s": answer.simulated_s,
                "board_s": answer.board_s,
                "terms": {t.name: t.cycles for t in answer.bracket.terms},
            }
            for answer in answers
        },
    )


def _ask(chapter: Designs) -> list[Answer]:
    for name, values in (("designs", chapter.designs), ("tokens", chapter.tokens)):
        if not values or len(set(values)) < len(values):
            raise BadInput("must name at least one, and none twice", key=name, value=list(values))
    board = load_device(Path(chapter.on) if chapter.on.endswith(".toml") else chapter.on)
    if not isinstance(board, Fpga):
        raise BadInput("is no FPGA", key=chapter.on)
    model = load_model(chapter.model)
    return [
        _answer(chapter, name, model, tokens, board)
        for name in chapter.designs
        for tokens in chapter.tokens
    ]


def _answer(chapter: Designs, name: str, model: MoEModel, tokens: int, board: Fpga) -> Answer:
    bracket = estimate(design(name), model, tokens, board)
    found = None
    if chapter.detail == "cycle":
        found = simulate_images(design(name), model, tokens, board)
        if found.run.deadlock is not None:
            raise BadInput(f"stands still at {tokens} tokens: {found.run.deadlock}", key=name)
    return Answer(
        design=name,
        bracket=bracket,
        simulated_s=None if found is None else found.seconds,
        board=published(name, board.name, model.name, bracket.clock_hz),
    )


def _verdict(answer: Answer) -> str:
    """Where the board's latency lies; nothing is tuned to bring it inside."""
    bracket, board_s = answer.bracket, answer.board_s
    if board_s is None:
        return ""
    low, high = board_s / bracket.full_overlap_s, board_s / bracket.no_overlap_s
    place = "inside" if low >= 1 >= high else "outside"
    in_time = "" if answer.simulated_s is None else (
        f"; cycle by cycle an image takes {answer.simulated_s * 1e3:.2f} ms "
        f"({answer.simulated_s / board_s - 1:+.0%})"
    )  # fmt: skip
    return (
        f"{answer.name}: the board's {board_s * 1e3:.2f} ms lies {place} the bracket "
        f"({low:.2f} of full overlap, {high:.2f} of no overlap){in_time}."
    )


def _terms(answers: list[Answer]) -> Table:
    brackets = [answer.bracket for answer in answers]
    keys = list(dict.fromkeys((t.name, t.hidden) for b in brackets for t in b.terms))
    columns = [{(t.name, t.hidden): t.cycles / b.clock_hz for t in b.terms} for b in brackets]
    rows = [
        (
            f"{name} (hideable)" if hidden else name,
            *(_ms(c.get((name, hidden), 0)) for c in columns),
        )
        for name, hidden in keys
    ]
    rows.append(("full overlap", *(_ms(b.full_overlap_s) for b in brackets)))
    rows.append(("no overlap", *(_ms(b.no_overlap_s) for b in brackets)))
    rows.append(("cycle by cycle", *(_ms(answer.simulated_s) for answer in answers)))
    rows.append(("board", *(_ms(answer.board_s) for answer in answers)))
    sources = dict.fromkeys(answer.board.source for answer in answers if answer.board)
    return Table(
        columns=("ms", *(answer.name for answer in answers)),
        rows=tuple(rows),
        note="Hideable terms count only without overlap. " + " ".join(f"{s}." for s in sources),
    )


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.2f}"
