"""A run in words: values with their units, rows with their evidence, what is proven and what each
goal leaves. For its report and for the terminal alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import MARKS, BadInput, Evidence
from ...base.units import show
from .columns import about, unit
from .outcome import Outcome
from .results import evidence
from .space import Space

MOST_LETTERS = 60
"""Of a text in a cell."""

_PRINTED = {"m2": (1e6, "mm2"), "USD/token": (1e6, "USD/Mtoken")}
"""Units in which nobody thinks, what a value is multiplied by, and what it is printed in."""


def printed(name: str) -> tuple[float, str]:
    """What values are multiplied by to be printed, and their unit then."""
    given = unit(name)
    return _PRINTED.get(given, (1.0, "" if given in ("request", "token") else given))


def shown(name: str, value: Any) -> str:
    """A value with its unit, as people write it: '12.3 ms'; '-' where it is unknown."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, str):
        return value if len(value) <= MOST_LETTERS else f"{value[: MOST_LETTERS - 3]}..."
    if isinstance(value, float) and np.isnan(value):
        return "-"
    scale, called = printed(name)
    if not called or not np.isfinite(value):
        return f"{value:.5g}" if isinstance(value, float) else str(value)
    if scale != 1 or called.startswith("USD"):
        return f"{value * scale:.4g} {called}"
    return show(float(value), called, 4)


def level(name: str, text: str) -> str:
    """A value that is text already, such as an effect's 'about 3.35e+12', with the unit of its
    axis."""
    number = text.removeprefix("about ")
    try:
        value = float(number)
    except ValueError:
        return text
    about = text[: len(text) - len(number)]
    return f"{about}{shown(name, value) if unit(name) else number}"


def headed(name: str, rests: str) -> str:
    """The name of a result, marked where it rests on published figures of the machine, whatever
    the detail."""
    mark = MARKS["measured-published"]
    return f"{name}\N{NO-BREAK SPACE}{mark}" if rests == "measured-published" else name


def heads(space: Space, names: Iterable[str]) -> list[str]:
    """`headed` columns."""
    known = about(space, "bound")
    return [headed(name, known[name].evidence) for name in names]


def looked(detail: str) -> str:
    """How closely a row was looked at, with the mark of its evidence: '△ tile'."""
    return f"{MARKS[evidence('tpot_s', detail)]} {detail}" if detail else "-"


def basis(found: Outcome) -> tuple[Evidence, ...]:
    """What the numbers of the front rest on."""
    return tuple(sorted({evidence("tpot_s", d) for d in _details(found)}, reverse=True))


def varied(space: Space, rows: Mapping[str, NDArray[Any]]) -> list[str]:
    """The words that tell the rows apart: groups and axes first, then what follows from them,
    varies, and is not the same again."""
    found = [name for name in (*space.by, *(axis.name for axis in space.axes)) if name in rows]
    for name in space.words:
        if name not in space.before or name not in rows or np.unique(rows[name]).size == 1:
            continue
        if not any(np.array_equal(rows[name], rows[other]) for other in found):
            found.append(name)
    return list(dict.fromkeys(found))


def columns(found: Outcome) -> tuple[list[str], list[str]]:
    """What is shown of the designs of a front: what tells them apart, their objectives, devices,
    spare memory and limiter; and of these words what all of them share."""
    space, rows = found.space, found.front
    objectives = [name for name, _ in space.objectives]
    names = [*varied(space, rows), *objectives, "devices", "spare_bytes", "limiter"]
    many = rows["point"].size > 1
    kept = {*space.by, *objectives, "limiter"}
    same = [n for n in names if many and n not in kept and np.unique(rows[n]).size == 1]
    return [n for n in dict.fromkeys(names) if n not in same], same


def shared(found: Outcome) -> str:
    """'All of them: devices 4.'; '' where designs share nothing that could differ."""
    _, same = columns(found)
    told = [f"{name} {shown(name, found.front[name][0])}" for name in same]
    return f"All of them: {', '.join(told)}." if told else ""


def order(found: Outcome, by: str = "") -> NDArray[np.int64]:
    """Rows of the front by group, then the best first at an objective: `by`, or the first. Raises
    BadInput for a `by` that is none."""
    names = [name for name, _ in found.space.objectives]
    if by and by not in names:
        raise BadInput(f"must be one of {', '.join(names)}", key="--by-objective", value=by)
    standing = found.front_standing
    at = names.index(by) if by else 0
    return np.lexsort((standing.values[:, at], standing.group))


def wanted(space: Space) -> str:
    """'least tpot_s, most throughput; within each batch; with tpot_s < 0.1'."""
    told = [", ".join(f"{'least' if s > 0 else 'most'} {name}" for name, s in space.objectives)]
    told += [f"within each {', '.join(space.by)}"] if space.by else []
    told += [f"with {goal.text}" for goal in space.goals]
    return "; ".join(told)


def goals(found: Outcome) -> list[tuple[str, int]]:
    """What each goal alone leaves of all evaluated points, at the bound; that a point can be built
    and fits is the first."""
    total = found.standing.point.size
    named = {"status": "status == 'ok'"}
    return [(named.get(name, name), total - n) for name, n in found.standing.missed.items()]


def proof(found: Outcome) -> str:
    """Whether the front is that of all points, and why."""
    if not found.standing.meets.any():
        return ""
    searched = found.space.file.search is not None
    asked = f"A search asked about {found.standing.point.size:,} points: the front is of these."
    if found.closer is None:
        return asked if searched else "Every point was looked at, at the bound."
    closer = found.closer
    seen = f"{asked} " if searched else ""
    seen += f"{closer.standing.point.size:,} points were looked at more closely"
    if rough := int((closer.rows["detail"] == "bound").sum()):
        seen += f" ({rough:,} of them stay bounds, for want of a closer model)"
    below = (
        f" {closer.faster:,} of them came out better than their own bound." if closer.faster else ""
    )
    if closer.faster and not closer.open:
        return f"{seen}. But{below.lower()} No proof rests on such bounds."
    if closer.open and closer.loose:
        return (
            f"{seen}. {closer.open:,} more were not, and nothing rules them out: "
            f"{', '.join(closer.loose)} may come out better than at the bound, so the front is not "
            f"proven to be that of all; raise `most` under [finer].{below}"
        )
    if closer.open:
        return (
            f"{seen}. {closer.open:,} more have bounds that none of these beats: the front is not "
            f"proven to be that of all; raise `most` under [finer].{below}"
        )
    return (
        f"{seen}, which is enough: the bound of each other point is beaten by one of them at its "
        "own detail, and nothing runs faster than its bound."
    )


def mixed(found: Outcome) -> str:
    """That bounds stand beside simulated numbers on the front; '' where they do not."""
    details, count = np.unique(_details(found), return_counts=True)
    many = dict(zip(details.tolist(), count.tolist(), strict=True))
    if found.closer is None or "bound" not in many:
        return ""
    total = sum(many.values())
    if many["bound"] == total:
        return "The whole front is of bounds: no closer model knows these machines."
    return (
        f"Mind the column `detail`: {many['bound']} of {total} designs are bounds, since no closer "
        "model knows their machines; the others are simulated. A bound is the least time that the "
        "peaks allow: beside a simulated number it flatters its machine."
    )


def _details(found: Outcome) -> list[str]:
    column = found.front.get("detail")
    return ["bound"] if column is None else [one or "bound" for one in column.tolist()]
