"""The sections of a design space's report: what was asked, the front, who wins, what matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import MARKS
from ..design.axes import Axis
from ..design.outcome import Contest, Outcome, contests
from ..design.sensitivity import Effect
from ..design.told import (
    basis,
    columns,
    goals,
    heads,
    level,
    looked,
    mixed,
    order,
    proof,
    shared,
    shown,
    varied,
    wanted,
)
from ..report.section import Section, Table

MOST_ROWS = 300
"""Of a table: what is left out is said, and stays in the files."""


def sections(found: Outcome, provenance: Mapping[str, str]) -> Iterator[Section]:
    """The report of a run, section by section. provenance: version, content hash, seed."""
    yield asked(found, provenance)
    if not found.front["point"].size:
        return
    yield front(found)
    if found.front["point"].size > 1:
        yield designs(found)
    rivals = contests(found)
    if rivals and len(found.standing.groups) > 1:
        yield winners(found, rivals)
    if found.effects:
        yield knobs(found)
    if found.closer is not None:
        yield closer(found)
    if found.served:
        yield served(found)


def asked(found: Outcome, provenance: Mapping[str, str]) -> Section:
    """The space, and how many of its points got how far."""
    space, standing = found.space, found.standing
    evaluated = standing.point.size
    status, count = np.unique(found.rows["status"], return_counts=True)
    fate = dict(zip(status.tolist(), count.tolist(), strict=True))
    counts = [("points of the space", space.size), ("evaluated at the bound", evaluated)]
    counts += [("can be built and fit", fate.pop("ok", 0))]
    counts += [(f"not: {reason}", n) for reason, n in sorted(fate.items(), key=lambda x: -x[1])]
    missed = [(f"missing {goal}", n) for goal, n in standing.missed.items() if goal != "status"]
    counts += [*missed, ("meeting every goal", int(standing.meets.sum()))]
    told = ", ".join(f"{key} {value}" for key, value in provenance.items())
    words = [space.file.words, f"Wanted: {wanted(space)}.", f"Run: {told}."]
    if not standing.meets.any():
        left = [f"{goal} leaves {n}" for goal, n in goals(found)]
        words.append(f"No point meets every goal: of {evaluated}, {', '.join(left)}.")
    return Section(
        name="space",
        title="The space",
        words=tuple(filter(None, words)),
        evidence=("bound",),
        tables=(
            Table(columns=("axis", "values", "from", "to"), rows=tuple(map(_axis, space.axes))),
            Table(
                columns=("points", "count"),
                rows=tuple((name[:160], f"{n}") for name, n in counts[:MOST_ROWS]),
                note="Constraints leave points out before they are evaluated; goals afterwards.",
            ),
        ),
        data={"counts": dict(counts), "provenance": dict(provenance)},
    )


def _axis(axis: Axis) -> tuple[str, str, str, str]:
    if not axis.size:
        return axis.name, "range", shown(axis.name, axis.low), shown(axis.name, axis.high)
    column = axis.columns.get(axis.name)
    column = next(iter(axis.columns.values())) if column is None else column
    first, last = column.tolist()[0], column.tolist()[-1]
    return axis.name, str(axis.size), shown(axis.name, first), shown(axis.name, last)


def front(found: Outcome) -> Section:
    """The designs that no other beats, a knee for each group."""
    from ..plots.design import front_of

    rows, (names, same) = found.front, columns(found)
    knees = set(found.knees[found.knees >= 0].tolist())
    volume = found.volume()
    words = [
        f"{rows['point'].size:,} designs form the front: each meets every goal, and no other "
        f"{'of its group ' if found.space.by else ''}is as good in every objective and better in "
        f"one. {int(found.standing.meets.sum()):,} points meet the goals at the bound. "
        "Each dot is a design of the front; the shade is where all points lie, at the bound. The "
        "knee lies farthest below the plane through the ends of the front.",
        mixed(found),
        proof(found),
        "" if volume is None else f"Hypervolume of the whole front, in its ranges: {volume:.4f}.",
    ]
    chosen = order(found)
    table = Table(
        columns=("point", *heads(found.space, names), "detail", "knee"),
        rows=tuple(
            (
                str(rows["point"][i]),
                *(shown(name, rows[name][i]) for name in names),
                looked(str(rows["detail"][i])),
                "yes" if i in knees else "-",
            )
            for i in chosen[:MOST_ROWS].tolist()
        ),
        note=" ".join(filter(None, (_cut(chosen.size), shared(found), MARKED))),
    )
    return Section(
        name="front",
        title="The front",
        words=tuple(filter(None, words)),
        evidence=basis(found),
        tables=(table,),
        figure=front_of(found),
        data=_plain({name: rows[name][chosen] for name in ("point", *names, *same, "detail")}),
    )


MARKED = (
    f"Marks at `detail`: {MARKS['simulated']} simulated, {MARKS['bound']} bound. Columns headed "
    f"{MARKS['measured-published']} are figures of the machine itself."
)


def designs(found: Outcome) -> Section:
    """The front in parallel coordinates."""
    from ..plots.design import parallel

    return Section(
        name="designs",
        title="The front, design by design",
        words=(
            "A line is a design: its knobs, then what it gives, each from the least to the largest "
            "on the front, by logarithm where that is more than a factor of ten. What all "
            "designs of the front share is left out.",
        ),
        evidence=basis(found),
        figure=parallel(found),
    )


def winners(found: Outcome, rivals: list[Contest]) -> Section:
    """Who is best at each objective, group by group."""
    from ..plots.design import winners as plot

    by = ", ".join(found.space.by)
    rows = []
    for one in rivals:
        if one.best:
            first = next(iter(one.best))
            group = ", ".join(str(value) for value in one.group)
            value = shown(one.objective, one.best[first])
            rows.append((group, one.objective, first, value, *_ahead(list(one.best.items()))))
    numeric = len(found.space.by) == 1 and isinstance(rivals[0].group[0], int | float)
    return Section(
        name="winners",
        title=f"Who wins, by {by}",
        words=(
            f"The best that each {found.label} reaches at each objective alone, with all other "
            "knobs free, among points that meet the goals: at the bound, where every point was "
            "looked at. How many times better than the next: `ahead`.",
        ),
        evidence=("bound",),
        tables=(
            Table(
                columns=(by, "objective", f"best {found.label}", "its value", "ahead", "next"),
                rows=tuple(rows[:MOST_ROWS]),
                note=_cut(len(rows)),
            ),
        ),
        figure=plot(rivals, by) if numeric else None,
        data=[{"group": list(c.group), "objective": c.objective, "best": c.best} for c in rivals],
    )


def _ahead(best: list[tuple[str, float]]) -> tuple[str, str]:
    """How far the best is ahead of the next, and who that is."""
    if len(best) < 2:
        return "-", "-"
    (_, first), (name, second) = best[:2]
    ratio = second / first if first * second > 0 else np.nan
    return "-" if np.isnan(ratio) else f"{max(ratio, 1 / ratio):.2f}x", name


def knobs(found: Outcome) -> Section:
    """Which axis matters for which objective, and the front in parallel coordinates."""
    from ..plots.design import knobs as plot

    return Section(
        name="knobs",
        title="Which knob matters",
        words=(
            "The share of the variance of each objective (of its logarithm, where it is positive) "
            "that an axis explains alone, and with all its interactions: Sobol's first and total "
            "indices, over the points that fit. Factor: the worst mean over the best. Where "
            "constraints or memory leave points out, axes are no longer independent: shares then "
            "overlap, and there is no total.",
        ),
        evidence=("bound",),
        tables=(
            Table(
                columns=KNOBS,
                rows=tuple(map(knob, found.effects[:MOST_ROWS])),
                note=_cut(len(found.effects)),
            ),
        ),
        figure=plot(found.effects),
        data=[
            {"objective": e.objective, "axis": e.axis, "alone": e.alone, "whole": e.whole}
            for e in found.effects
        ],
    )


KNOBS = ("objective", "axis", "alone", "whole", "best at", "worst at", "factor")


def knob(effect: Effect) -> tuple[str, ...]:
    """An effect as a row under `KNOBS`."""
    return (
        effect.objective,
        effect.axis,
        f"{effect.alone:.1%}",
        "-" if np.isnan(effect.whole) else f"{effect.whole:.1%}",
        level(effect.axis, effect.best),
        level(effect.axis, effect.worst),
        "-" if np.isnan(effect.factor) else f"{effect.factor:.3g}x",
    )


def closer(found: Outcome) -> Section:
    """The closer look beside the bound, detail by detail."""
    assert found.closer is not None
    details = np.asarray(found.closer.rows["detail"])
    fine = found.closer.standing
    at = np.searchsorted(found.standing.point, fine.point)
    table = []
    for detail in np.unique(details).tolist():
        for k, (name, sense) in enumerate(found.space.objectives):
            with np.errstate(all="ignore"):
                ratio = (sense * fine.values[:, k]) / (sense * found.standing.values[at, k])
            known = ratio[np.isfinite(ratio) & (details == detail)]
            if known.size:
                ends = (np.min(known), np.median(known), np.max(known))
                told = (f"{value:.3g}x" for value in ends)
                table.append((looked(detail), str(known.size), name, *told))
    return Section(
        name="closer",
        title="A closer look at the best",
        words=(
            "What the closer look gave, over what the bound of the same point gives. Machines that "
            "no closer model knows stay at the bound: their ratio is 1.",
        ),
        evidence=("simulated", "bound"),
        tables=(
            Table(
                columns=("detail", "points", "objective", "least ratio", "median", "largest"),
                rows=tuple(table),
                note="Over every point that was looked at more closely, and can be built.",
            ),
        ),
    )


def served(found: Outcome) -> Section:
    """Points of the front as a serving engine would meet them."""
    rows = found.served
    given = ("tpot_s", "ttft_s", "throughput_tokens_per_s", "status")
    names = (*varied(found.space, rows), *given)
    return Section(
        name="served",
        title="The front, served",
        words=(
            "Requests of `prompt` tokens that make `output` tokens each, at most `batch` under "
            "way, without a pause: continuous batching, stage by stage.",
        ),
        evidence=("simulated",),
        tables=(
            Table(
                columns=("point", *names),
                rows=tuple(
                    (str(rows["point"][i]), *(shown(name, rows[name][i]) for name in names))
                    for i in range(min(MOST_ROWS, rows["point"].size))
                ),
                note=_cut(rows["point"].size),
            ),
        ),
        data=_plain({name: rows[name] for name in ("point", *names)}),
    )


def _cut(rows: int) -> str:
    return (
        "" if rows <= MOST_ROWS else f"The first {MOST_ROWS} of {rows} rows; all are in the files."
    )


def _plain(columns: Mapping[str, NDArray[Any]]) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in columns.items()}
