"""How the answers of a finished run are shown: fronts, and the reasons of a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..base import MARKS
from ..base.units import show as human
from . import show

if TYPE_CHECKING:
    from ..base.parquet import Columns
    from ..sweeps.design.folder import RunFolder
    from ..sweeps.design.found import Rows
    from ..sweeps.design.outcome import Outcome
    from ..sweeps.design.why import Why

MOST_TERMS, MOST_NAMED = 12, 8
"""Terms of a step's time, and points that beat another."""


def front_facts(run: RunFolder, found: Outcome, chosen: Any) -> dict[str, Any]:
    """The front in SI units; a row's `evidence` is that of its results."""
    from ..sweeps.design.columns import unit
    from ..sweeps.design.results import evidence
    from ..sweeps.design.told import columns, goals, mixed, proof, wanted

    apart, same = columns(found)
    names = [*apart, *same]
    knees = set(found.knees.tolist())
    rows = []
    for i in chosen.tolist():
        row = {name: found.front[name][i] for name in ("point", *names, "detail")}
        told = {"evidence": evidence("tpot_s", str(row["detail"])), "knee": i in knees}
        rows.append(row | told)
    return {
        "title": found.space.title,
        "run": run.provenance,
        "wanted": wanted(found.space),
        "evaluated": found.standing.point.size,
        "goals": [{"goal": goal, "leaves": left} for goal, left in goals(found)],
        "meeting_all": int(found.standing.meets.sum()),
        "units": {name: unit(name) for name in names if unit(name)},
        "front": rows,
        "hypervolume": found.volume(),
        "proven": proof(found),
        "mixed": mixed(found),
    }


def show_front(found: Outcome, chosen: Any, size: int) -> None:
    from ..sweeps.design.told import (
        columns,
        goals,
        heads,
        looked,
        mixed,
        proof,
        shared,
        shown,
        wanted,
    )

    rows, space = found.front, found.space
    knees = set(found.knees.tolist())
    names = [name for name in columns(found)[0] if name not in ("devices", "spare_bytes")]
    if size:
        show.table(
            f"{space.title}: {wanted(space)}",
            ["point", *map(_last, heads(space, names)), "detail", "knee"],
            [
                [
                    rows["point"][i],
                    *(shown(name, rows[name][i]) for name in names),
                    looked(str(rows["detail"][i])),
                    "knee" if i in knees else "",
                ]
                for i in chosen.tolist()
            ],
            f"{len(chosen)} of {size} designs. {MARKS['simulated']} simulated, "
            f"{MARKS['bound']} bound.",
        )
    else:
        print(f"{space.title}: {wanted(space)}\nNo point meets every goal.")
    if alike := shared(found):
        print(alike)
    total, left = found.standing.point.size, goals(found)
    told = ", ".join(f"{goal} leaves {n:,}" for goal, n in left)
    print(
        f"Of {total:,} points, {told}; {int(found.standing.meets.sum()):,} meet all, at the bound."
    )
    volume = found.volume()
    if volume is not None:
        print(f"Hypervolume of the whole front, in its ranges: {volume:.4f}.")
    print(proof(found))
    if remark := mixed(found):
        print(remark)


def _last(name: str) -> str:
    """The last two parts of a path, which are what a terminal has room for."""
    return ".".join(name.split(".")[-2:])


class Seen(NamedTuple):
    """What a run holds of a point. results: by stage, of `RESULTS` and what is derived from them;
    stage: the closest that its rivals were held against it in, bound or finer; missed: goals that
    it misses there; evidence: of each result by stage."""

    results: dict[str, dict[str, Any]]
    stage: str
    missed: tuple[str, ...]
    evidence: dict[str, dict[str, str]]

    @classmethod
    def of(cls, run: RunFolder, rows: Rows, number: Any) -> Seen:
        from ..sweeps.design.columns import about
        from ..sweeps.design.results import RESULTS

        space = run.space
        read = {stage: rows.read(stage, None, number) for stage in run.manifest.stages}
        held: dict[str, Columns] = {k: row for k, row in read.items() if row and row["point"].size}
        stage = "finer" if "finer" in held else "bound"
        names = (*RESULTS, *space.after)
        missed = [
            goal.text
            for goal in space.goals
            if stage in held and not np.all(goal(held[stage] | space.derive(held[stage])))
        ]
        basis = {}
        for key, row in held.items():
            told = about(space, str(row["detail"][0]) or "bound")
            basis[key] = {name: told[name].evidence for name in names}
        results = {key: {name: row[name][0] for name in names} for key, row in held.items()}
        return cls(results, stage, tuple(missed), basis)


def why_facts(found: Why, seen: Seen) -> dict[str, Any]:
    """The reasons of a point in SI units."""
    from ..sweeps.design.columns import unit

    step = found.estimate
    names = list(next(iter(seen.results.values()), {}))
    told = None
    if step is not None:
        told = {"seconds": step.seconds, "limiter": step.limiter, "why": step.why}
        told |= {"evidence": step.evidence}
    return {
        "point": found.point,
        "words": found.words,
        "status": found.status,
        "results": {
            stage: {"values": row, "evidence": seen.evidence[stage]}
            for stage, row in seen.results.items()
        },
        "units": {name: unit(name) for name in names if unit(name)},
        "step": told,
        "misses": seen.missed,
        "beaten_by": {"stage": seen.stage, "points": found.beaten_by},
        "moves": {"evidence": "bound", "from": found.values, "to": found.steps},
    }


def show_why(found: Why, seen: Seen) -> None:
    from ..sweeps.design.told import headed, looked, shown

    words = ", ".join(f"{n} {shown(n, v)}" for n, v in found.words.items() if v != "")
    print(f"Point {found.point}: {words}")
    rows, first = seen.results, next(iter(seen.results), "")
    known = [
        name
        for name in rows.get(first, {})
        if name != "detail" and any(shown(name, row[name]) != "-" for row in rows.values())
    ]
    if rows:
        show.table(
            "What it gives",
            ["result", *(f"{stage}: {looked(row['detail'])}" for stage, row in rows.items())],
            [
                [headed(n, seen.evidence[first][n]), *(shown(n, row[n]) for row in rows.values())]
                for n in known
            ],
            f"{MARKS['simulated']} simulated, {MARKS['bound']} bound; {MARKS['measured-published']}"
            " a figure of the machine itself.",
        )
    _show_step(found)
    print(_rivals(found, seen))
    _show_moves(found)


def _rivals(found: Why, seen: Seen) -> str:
    """How it stands among the points that meet every goal."""
    if seen.stage not in seen.results:
        return "The search did not ask about it: nothing is said of who beats it."
    if found.status != "ok":
        return f"It is no candidate: {found.status}."
    if seen.missed:
        return f"It is no candidate: it misses {'; '.join(seen.missed)}."
    if not found.beaten_by:
        return f"It is on the front: no other point of its group dominates it ({seen.stage})."
    few = ", ".join(map(str, found.beaten_by[:MOST_NAMED]))
    rest = len(found.beaten_by) - MOST_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return (
        f"Points of the front that dominate it, no worse in any objective and better in one "
        f"({seen.stage}): {few}{more}."
    )


def _show_step(found: Why) -> None:
    """The additive parts of the time of its decoding step, at the bound."""
    step = found.estimate
    if step is None:
        return
    terms = sorted(step.why.items(), key=lambda term: -term[1])
    shown_terms, rest = terms[:MOST_TERMS], sum(seconds for _, seconds in terms[MOST_TERMS:])
    if rest:
        shown_terms.append((f"{len(terms) - MOST_TERMS} more", rest))
    show.table(
        f"Where its step's time goes: {human(step.seconds, 's')} {MARKS['bound']}, limited by "
        f"{step.limiter}",
        ["part: resource", "time", "share"],
        [
            [name, human(seconds, "s"), f"{seconds / step.seconds:.1%}"]
            for name, seconds in shown_terms
        ],
    )


def _show_moves(found: Why) -> None:
    """What one step along each axis would change, at the bound."""
    from ..sweeps.design.told import level, shown

    if found.sampled:
        print("A sample has no neighbours: what a step of a knob would change is not asked.")
        return
    if not found.steps:
        print("No axis has another value: there is no knob to turn.")
        return
    names = list(found.values)

    def cell(name: str, values: Any) -> str:
        if name not in values or np.isnan(values[name]):
            return "-"
        was, now = found.values[name], values[name]
        return shown(name, now) + (f" ({now / was - 1:+.1%})" if was and was == was else "")

    show.table(
        f"One step along each axis, at the bound {MARKS['bound']}",
        ["axis", "from", "to", *names, "status"],
        [
            [
                *(one.axis, level(one.axis, one.was), level(one.axis, one.to)),
                *(cell(name, one.values) for name in names),
                one.status,
            ]
            for one in found.steps
        ],
    )
