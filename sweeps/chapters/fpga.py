"""A chapter that holds published FPGA designs against their boards."""

from __future__ import annotations

from pathlib import Path

from ...base import BadInput, Count, Evidence
from ...hardware import Fpga
from ...hardware.load import device as load_device
from ...simulator.fpga import BoardResult, Bracket, design, estimate, published
from ...workload.load import model as load_model
from ..report.section import Section, Table
from .question import Chapter


class Designs(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="fpga"):
    """Designs on one board, each for several numbers of tokens in an image."""

    designs: tuple[str, ...]
    model: str = "m3vit-tiny"
    on: str = "zcu102"
    tokens: tuple[Count, ...] = (129, 197)


Answer = tuple[str, Bracket, BoardResult | None]


def designs(chapter: Designs, seed: int) -> Section:
    """Latency brackets beside the boards' latency, and every term of them."""
    from ..plots.curves import latency_brackets

    answers = _ask(chapter)
    evidence: list[Evidence] = ["simulated"]
    if any(board for *_, board in answers):
        evidence.append("measured-published")
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=tuple(filter(None, (chapter.words, *(_verdict(answer) for answer in answers)))),
        evidence=tuple(evidence),
        tables=(_terms(answers),),
        figure=latency_brackets(
            [(_name(a), a[1].full_overlap_s, a[1].no_overlap_s) for a in answers],
            [board.latency_s if board else None for *_, board in answers],
            f"{chapter.model} on {chapter.on}",
        ),
        data={
            _name((name, b, board)): {
                "full_overlap_s": b.full_overlap_s,
                "no_overlap_s": b.no_overlap_s,
                "board_s": board.latency_s if board else None,
                "terms": {t.name: t.cycles for t in b.terms},
            }
            for name, b, board in answers
        },
    )


def _ask(chapter: Designs) -> list[Answer]:
    board = load_device(Path(chapter.on) if chapter.on.endswith(".toml") else chapter.on)
    if not isinstance(board, Fpga):
        raise BadInput("is no FPGA", key=chapter.on)
    model = load_model(chapter.model)
    answers: list[Answer] = []
    for name in chapter.designs:
        for tokens in chapter.tokens:
            bracket = estimate(design(name), model, tokens, board)
            result = published(name, board.name, model.name, bracket.clock_hz)
            answers.append((name, bracket, result))
    return answers


def _name(answer: Answer) -> str:
    return f"{answer[0]}, {answer[1].tokens} tokens"


def _verdict(answer: Answer) -> str:
    """Where the board's latency lies; nothing is tuned to bring it inside."""
    _, bracket, board = answer
    if board is None:
        return ""
    low, high = board.latency_s / bracket.full_overlap_s, board.latency_s / bracket.no_overlap_s
    place = "inside" if low >= 1 >= high else "outside"
    return (
        f"{_name(answer)}: the board's {board.latency_s * 1e3:.2f} ms lies {place} the bracket "
        f"({low:.2f} of full overlap, {high:.2f} of no overlap)."
    )


def _terms(answers: list[Answer]) -> Table:
    keys = list(dict.fromkeys((t.name, t.hidden) for _, b, _ in answers for t in b.terms))
    columns = [{(t.name, t.hidden): t.cycles / b.clock_hz for t in b.terms} for _, b, _ in answers]
    rows = [
        (
            f"{name} (hideable)" if hidden else name,
            *(_ms(c.get((name, hidden), 0)) for c in columns),
        )
        for name, hidden in keys
    ]
    rows.append(("full overlap", *(_ms(b.full_overlap_s) for _, b, _ in answers)))
    rows.append(("no overlap", *(_ms(b.no_overlap_s) for _, b, _ in answers)))
    rows.append(("board", *(_ms(board.latency_s) if board else "-" for *_, board in answers)))
    sources = dict.fromkeys(board.source for *_, board in answers if board)
    return Table(
        columns=("ms", *map(_name, answers)),
        rows=tuple(rows),
        note="Hideable terms count only without overlap. " + " ".join(f"{s}." for s in sources),
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
