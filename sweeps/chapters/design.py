"""The sections of a design space's report: what was asked, the front, who wins, what matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Evidence
from ...base.units import show
from ..design.axes import Axis
from ..design.outcome import Contest, Outcome, contests
from ..design.results import RESULTS
from ..design.space import Space
from ..design.words import word
from ..report.section import Section, Table

MOST_ROWS = 300
"""Of a table: what is left out is said, and stays in the files."""


def sections(found: Outcome, provenance: Mapping[str, str]) -> Iterator[Section]:
    """The report of a run, section by section. provenance: version, content hash, seed."""
    yield asked(found, provenance)
    if not found.front["point"].size:
        return
    yield front(found)
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
    wanted = [f"{'least' if sense > 0 else 'most'} {name}" for name, sense in space.objectives]
    words = [space.file.words, f"Wanted: {', '.join(wanted)}{_goals(space)}.", f"Run: {told}."]
    if not standing.meets.any():
        words.append(f"No point meets every goal: {_nearest(found)}")
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


def _goals(space: Space) -> str:
    told = [f"within each {', '.join(space.by)}"] if space.by else []
    told += [f"with {goal.text}" for goal in space.goals]
    return f"; {'; '.join(told)}" if told else ""


def _nearest(found: Outcome) -> str:
    """What each goal alone leaves, of the points that fit."""
    total = found.standing.point.size
    left = [f"{goal} leaves {total - n}" for goal, n in found.standing.missed.items()]
    return f"of {total}, {', '.join(left)}."


def _axis(axis: Axis) -> tuple[str, str, str, str]:
    if not axis.size:
        return axis.name, "range", _shown(axis.name, axis.low), _shown(axis.name, axis.high)
    column = axis.columns.get(axis.name)
    column = next(iter(axis.columns.values())) if column is None else column
    first, last = column.tolist()[0], column.tolist()[-1]
    return axis.name, str(axis.size), _shown(axis.name, first), _shown(axis.name, last)


def front(found: Outcome) -> Section:
    """The designs that no other beats, a knee for each group."""
    from ..plots.design import front_of

    space, rows = found.space, found.front
    knees = set(found.knees[found.knees >= 0].tolist())
    order = _order(found)
    shown = _varied(space, rows)
    names = [name for name, _ in space.objectives]
    extra = [n for n in ("devices", "spare_bytes", "limiter", "detail") if n not in names]
    table = Table(
        columns=("point", *shown, *names, *extra, "knee"),
        rows=tuple(
            (
                str(rows["point"][i]),
                *(_shown(name, rows[name][i]) for name in (*shown, *names, *extra)),
                "yes" if i in knees else "-",
            )
            for i in order[:MOST_ROWS].tolist()
        ),
        note=_cut(order.size),
    )
    volume = found.volume()
    words = [
        f"{rows['point'].size} of {found.standing.meets.sum()} points that meet every goal are "
        "beaten by no other in all objectives. Each dot of the front is one; the shade is where "
        "all points lie. The knee lies farthest below the plane through the ends of the front.",
        "" if volume is None else f"Hypervolume of the front, in its ranges: {volume:.4f}.",
        _proof(found),
    ]
    return Section(
        name="front",
        title="The front",
        words=tuple(filter(None, words)),
        evidence=_evidence(found),
        tables=(table,),
        figure=front_of(found),
        data=_plain({name: rows[name][order] for name in ("point", *shown, *names, *extra)}),
    )


def _order(found: Outcome) -> NDArray[np.int64]:
    """Rows of the front by group, then by the first objective."""
    standing = found.front_standing
    return np.lexsort((standing.values[:, 0], standing.group))


def _proof(found: Outcome) -> str:
    if found.closer is None:
        return (
            "Every point was looked at, at the bound."
            if found.space.file.search is None
            else ("A search asked about some of the points: the front is of these.")
        )
    looked, open_, faster = found.closer.standing.point.size, found.closer.open, found.closer.faster
    if open_:
        return (
            f"{looked} points were looked at more closely. {open_} more have bounds that no "
            "simulated point beats: the front is not proven to be that of all; raise `most` under "
            "[finer]."
        )
    told = (
        f"{looked} points were looked at more closely, which is enough: the bound of each other "
        "point is beaten by one of them as simulated, and nothing runs faster than its bound."
    )
    if not faster:
        return told
    return f"{told} But {faster} of them came out better than their own bound, so it is no proof."


def winners(found: Outcome, rivals: list[Contest]) -> Section:
    """Who is best at each objective, group by group."""
    from ..plots.design import winners as plot

    by = ", ".join(found.space.by)
    rows = []
    for one in rivals:
        if one.best:
            first = next(iter(one.best))
            group = ", ".join(str(value) for value in one.group)
            value = _shown(one.objective, one.best[first])
            rows.append((group, one.objective, first, value, _ahead(list(one.best.items()))))
    numeric = len(found.space.by) == 1 and isinstance(rivals[0].group[0], int | float)
    return Section(
        name="winners",
        title=f"Who wins, by {by}",
        words=(
            f"The best that each {found.label} reaches at each objective alone, with all other "
            "knobs free, among points that meet the goals. At the bound.",
        ),
        evidence=("bound",),
        tables=(
            Table(
                columns=(by, "objective", f"best {found.label}", "its value", "ahead of the next"),
                rows=tuple(rows[:MOST_ROWS]),
                note=_cut(len(rows)),
            ),
        ),
        figure=plot(rivals, by) if numeric else None,
        data=[{"group": list(c.group), "objective": c.objective, "best": c.best} for c in rivals],
    )


def _ahead(best: list[tuple[str, float]]) -> str:
    """How far the best is ahead of the next."""
    if len(best) < 2 or not best[0][1] or not best[1][1]:
        return "-"
    ratio = best[1][1] / best[0][1]
    return f"{max(ratio, 1 / ratio):.2f}x {best[1][0]}"


def knobs(found: Outcome) -> Section:
    """Which axis matters for which objective, and the front in parallel coordinates."""
    from ..plots.design import knobs as plot

    rows = tuple(
        (
            effect.objective, effect.axis, f"{effect.alone:.1%}",
            "-" if np.isnan(effect.whole) else f"{effect.whole:.1%}",
            effect.best, effect.worst, "-" if np.isnan(effect.factor) else f"{effect.factor:.3g}",
        )
        for effect in found.effects
    )  # fmt: skip
    return Section(
        name="knobs",
        title="Which knob matters",
        words=(
            "The share of the variance of each objective (of its logarithm, where it is positive) "
            "that an axis explains alone, and with all its interactions: Sobol's first and total "
            "indices, over the points that fit. Factor: the worst mean over the best.",
        ),
        evidence=("bound",),
        tables=(
            Table(
                columns=("objective", "axis", "alone", "whole", "best at", "worst at", "factor"),
                rows=rows[:MOST_ROWS],
                note=_cut(len(rows)),
            ),
        ),
        figure=plot(found.effects),
        data=[
            {"objective": e.objective, "axis": e.axis, "alone": e.alone, "whole": e.whole}
            for e in found.effects
        ],
    )


def closer(found: Outcome) -> Section:
    """The finer look beside the bound, and the front in parallel coordinates."""
    from ..plots.design import parallel

    assert found.closer is not None
    rows, fine = found.closer.rows, found.closer.standing
    at = np.searchsorted(found.standing.point, fine.point)
    table = []
    for k, (name, sense) in enumerate(found.space.objectives):
        with np.errstate(all="ignore"):
            ratio = (sense * fine.values[:, k]) / (sense * found.standing.values[at, k])
        known = ratio[np.isfinite(ratio)]
        if known.size:
            ends = (np.min(known), np.median(known), np.max(known))
            table.append((name, *(f"{value:.3g}" for value in ends)))
    details, count = np.unique(rows["detail"], return_counts=True)
    looked = ", ".join(f"{n} at {d}" for d, n in zip(details.tolist(), count.tolist(), strict=True))
    return Section(
        name="closer",
        title="A closer look at the best",
        words=(f"Points by detail: {looked}.", _proof(found)),
        evidence=("simulated", "bound"),
        tables=(
            Table(
                columns=("objective", "least ratio", "median", "largest"),
                rows=tuple(table),
                note="Simulated over bound, of every point that was looked at more closely.",
            ),
        ),
        figure=parallel(found),
    )


def served(found: Outcome) -> Section:
    """Points of the front as a serving engine would meet them."""
    rows = found.served
    shown = _varied(found.space, rows)
    names = ("tpot_s", "ttft_s", "throughput_tokens_per_s", "status")
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
                columns=("point", *shown, *names),
                rows=tuple(
                    (str(rows["point"][i]), *(_shown(n, rows[n][i]) for n in (*shown, *names)))
                    for i in range(min(MOST_ROWS, rows["point"].size))
                ),
                note=_cut(rows["point"].size),
            ),
        ),
        data=_plain({name: rows[name] for name in ("point", *shown, *names)}),
    )


def _evidence(found: Outcome) -> tuple[Evidence, ...]:
    return ("bound",) if found.closer is None else ("simulated", "bound")


def _varied(space: Space, rows: Mapping[str, NDArray[Any]]) -> list[str]:
    """The words that tell the rows apart: axes first, then what follows from them and varies."""
    axes = [axis.name for axis in space.axes if axis.name in rows]
    rest = [
        name
        for name in space.words
        if name in space.before and name in rows and np.unique(rows[name]).size > 1
    ]
    return [*axes, *rest]


def _shown(name: str, value: Any) -> str:
    """A value with its unit, as people write it."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, str):
        return value if len(value) <= 60 else f"{value[:57]}..."
    if isinstance(value, float) and np.isnan(value):
        return "-"
    unit = _unit(name)
    if unit == "m2":
        return f"{value * 1e6:.4g} mm2"
    if unit in ("", "request", "token"):
        return f"{value:.5g}" if isinstance(value, float) else str(value)
    return show(float(value), unit, 4)


def _unit(name: str) -> str:
    if name in RESULTS:
        return RESULTS[name].unit
    try:
        return word(name).unit
    except BadInput:  # a name of the space's own
        return ""


def _cut(rows: int) -> str:
    return (
        "" if rows <= MOST_ROWS else f"The first {MOST_ROWS} of {rows} rows; all are in the files."
    )


def _plain(columns: Mapping[str, NDArray[Any]]) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in columns.items()}
