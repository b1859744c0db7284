"""Plots of a design space: its fronts, who wins where, which knob matters."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...base.units import show
from ..design.outcome import Contest, Outcome
from ..design.sensitivity import Effect
from ..design.told import printed, shown
from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

MARKERS = "osD^vPX*<>hp"
MOST_LABELS = 12
MOST_TICKS = 12
CELLS = 160
"""Of the picture of many points, each way."""
MOST_LINES = 300


def titled(name: str) -> str:
    """An objective and the unit of its ticks: 'tpot_s [s]'; a long one in two lines."""
    unit = printed(name)[1]
    return _wrapped(f"{name} [{unit}]" if unit else name, 34)


def front_of(found: Outcome) -> Figure:
    """All points that meet the goals as a shade, the front above them: the first objective across,
    each other one in a panel of its own; a single objective by how often its values occur."""
    count = len(found.space.objectives)
    pairs = [(0, k) for k in range(1, count)] or [(0, 0)]
    with _panels(len(pairs), 3.2) as (made, panels):
        for axes, pair in zip(panels, pairs, strict=True):
            if count > 1:
                _panel(axes, found, pair)
            else:
                _only(axes, found)
        _legend(made, panels[0])
    return made


@contextmanager
def _panels(count: int, height: float) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of some panels, three in a row; one alone is larger."""
    across = min(3, count)
    down = -(-count // across)
    size = (7.2, 5.0) if count == 1 else (max(7.2, 3.8 * across), 0.7 + height * down)
    with figure(*size, nrows=down, ncols=across, squeeze=False) as (made, grid):
        for axes in grid.ravel()[count:]:
            axes.set_visible(False)
        yield made, list(grid.ravel()[:count])


def _legend(made: Figure, axes: Axes) -> None:
    """One legend for all panels, below them, as many in a row as their names leave room for."""
    handles, texts = axes.get_legend_handles_labels()
    room = made.get_figwidth() * 14
    longest = max(map(len, texts)) + 5
    ncols = max(1, min(6, len(texts), int(room / longest)))
    made.legend(handles, texts, loc="outside lower center", ncols=ncols, fontsize=8)


def _panel(axes: Axes, found: Outcome, pair: tuple[int, int]) -> None:
    names, senses = zip(*found.space.objectives, strict=True)
    every = (found.standing.values * np.array(senses))[found.standing.meets][:, pair]
    front = (found.front_standing.values * np.array(senses))[:, pair]
    both = np.concatenate((every, front))
    if len(every):
        _shade(axes, every, both)
    for k, way in enumerate("xy"):
        _scaled(axes, way, both[:, k], names[pair[k]])
    if len(names) == 2 and len(found.front_standing.groups) > 1:
        _joined(axes, found, front)
    rough = _rough(found)
    for number, (label, rows) in enumerate(_labelled(found.front, found.label).items()):
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        for hollow in (False, True):
            some = rows[rough[rows] == hollow]
            axes.plot(
                front[some, 0], front[some, 1], ls="", ms=5, marker=marker, color=colour,
                mfc="white" if hollow else colour, mec=colour if hollow else "white",
                mew=1.2 if hollow else 0.4, label="_" if hollow else label,
            )  # fmt: skip
    if rough.any():
        axes.plot([], [], ls="", marker="o", mfc="white", mec=INK, label="hollow: the bound")
    _knees(axes, found, front)


def _rough(found: Outcome) -> NDArray[np.bool_]:
    """Rows of a front that are bounds while others are simulated."""
    rough = np.asarray(found.front["detail"] == "bound", np.bool_)
    return rough if not rough.all() else np.zeros_like(rough)


def _joined(axes: Axes, found: Outcome, front: Floats) -> None:
    """A line through the front of each group, in two objectives."""
    group = found.front_standing.group
    for number in range(len(found.front_standing.groups)):
        rows = np.flatnonzero(group == number)
        rows = rows[np.argsort(front[rows, 0], kind="stable")]
        axes.plot(front[rows, 0], front[rows, 1], color=FAINT, lw=0.7, zorder=1.5)


def _knees(axes: Axes, found: Outcome, front: Floats) -> None:
    """A ring around each group's knee, named where groups are few."""
    groups, by = found.front_standing.groups, ", ".join(found.space.by)
    at = found.knees[found.knees >= 0]
    axes.plot(
        front[at, 0], front[at, 1], ls="", marker="o", ms=9, mfc="none", mec=INK, mew=0.9,
        label=f"knee of each {by}" if by else "knee",
    )  # fmt: skip
    if 1 < len(groups) <= MOST_LABELS:
        # In shares of the panel: a name that would lie on another's is left out.
        places = axes.transAxes.inverted().transform(axes.transData.transform(front))
        taken: list[Any] = []
        for number, row in enumerate(found.knees.tolist()):
            if row >= 0 and not any((abs(places[row] - at) < (0.09, 0.05)).all() for at in taken):
                taken.append(places[row])
                text = ", ".join(
                    _brief(n, v) for n, v in zip(found.space.by, groups[number], strict=True)
                )
                axes.annotate(
                    text, (front[row, 0], front[row, 1]), xytext=(5, 5), color=INK, fontsize=7,
                    textcoords="offset points", path_effects=[_halo()],
                )  # fmt: skip


def _halo() -> Any:
    from matplotlib.patheffects import withStroke

    return withStroke(linewidth=2, foreground="white")


def _only(axes: Axes, found: Outcome) -> None:
    """A single objective: how many points have which value, and where the best ones are."""
    name, sense = found.space.objectives[0]
    every = (found.standing.values * sense)[found.standing.meets, 0]
    front = (found.front_standing.values * sense)[:, 0]
    both = np.concatenate((every, front))
    bins = _edges(both, 40).tolist()
    axes.hist(every, bins=bins, color=FAINT, alpha=0.5, label="all, at the bound")
    for number, (label, rows) in enumerate(_labelled(found.front, found.label).items()):
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        # In shares of the axes' height: marks stand on the axis.
        axes.plot(
            front[rows], np.full(rows.size, 0.02), ls="", marker=marker, color=colour, ms=7,
            mec="white", label=label, transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    _scaled(axes, "x", both, name)
    axes.set(ylabel="points")


def _log(values: Floats) -> bool:
    return bool(values.size and (values > 0).all() and values.max() > 10 * values.min())


def _scaled(axes: Axes, way: str, values: Floats, name: str) -> None:
    """An axis with its name, its unit and room at both ends; of numbers that span decades in
    logarithms: along x the values themselves are ticks when they are few whole numbers."""
    from matplotlib.ticker import (
        FixedLocator,
        FuncFormatter,
        LogLocator,
        MaxNLocator,
        NullLocator,
    )

    low, high = _range(values)
    room = 0.05 * (high - low)
    ends = (low - room, high + room)
    axis = axes.xaxis if way == "x" else axes.yaxis
    few = np.unique(values)
    whole = bool((few == np.floor(few)).all())
    if _log(values):
        ends = (low / (high / low) ** 0.05, high * (high / low) ** 0.05)
        axes.set(**{f"{way}scale": "log"})
    listed = way == "x" and whole and 1 < few.size <= MOST_TICKS
    if listed and (_log(values) or few.size <= 6):
        axis.set_major_locator(FixedLocator(few.tolist()))
        axes.tick_params(axis="x", rotation=45 if few.size > 7 else 0)
    elif _log(values):
        decades = np.log10(high / low)
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)))
    else:
        axis.set_major_locator(MaxNLocator(5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: _tick(name, x)))
    axes.tick_params(axis="x" if way == "x" else "y", labelsize=7)
    axes.set(**{f"{way}lim": ends, f"{way}label": titled(name)})


def _tick(name: str, value: float) -> str:
    """A tick as people read it: '10 ms', '35k'. Short units stand beside the number."""
    scale, unit = printed(name)
    value = value * scale
    if not value:
        return "0"
    if not 1e-18 < abs(value) < 1e21:
        return f"{value:.3g}"
    if len(unit) == 1:
        return show(value, unit, 3)
    return f"{value:.5g}" if 1e-3 <= abs(value) < 1e5 else show(value, "", 3).replace(" ", "")


def _range(values: Floats) -> tuple[float, float]:
    """The least and the largest; where they are equal, as much around them."""
    low, high = float(values.min()), float(values.max())
    around = 0.5 * abs(low) or 0.5
    return (low, high) if low < high else (low - around, high + around)


def _shade(axes: Axes, points: Floats, both: Floats) -> None:
    """How many points `[n, 2]` lie where, as a picture: as small for a million points as for ten.
    both: these and whatever else the panel shows."""
    # Of few points each is a cell that can be seen.
    cells = CELLS if len(points) > 4000 else CELLS // 2
    edges = [_edges(column, cells) for column in both.T]
    count, *_ = np.histogram2d(points[:, 0], points[:, 1], bins=edges)
    shown = np.ma.masked_equal(np.log1p(count.T), 0)
    axes.pcolormesh(*edges, shown, cmap="Greys", vmin=-2, vmax=4 + shown.max(), rasterized=True)


def _edges(values: Floats, cells: int) -> Floats:
    low, high = _range(values)
    made = np.geomspace if _log(values) else np.linspace
    return np.asarray(made(low, high, cells + 1), np.float64)


def _labelled(rows: Mapping[str, NDArray[Any]], label: str) -> dict[str, NDArray[np.int64]]:
    """The rows of each label, in the order of the alphabet; the rarest together when many."""
    if not label:
        return {"front": np.arange(rows["point"].size)}
    names, place, count = np.unique(rows[label], return_inverse=True, return_counts=True)
    found = {str(name): np.flatnonzero(place == i) for i, name in enumerate(names.tolist())}
    if len(found) <= MOST_LABELS:
        return found
    kept = sorted(np.argsort(-count, kind="stable")[: MOST_LABELS - 1].tolist())
    rest = np.flatnonzero(~np.isin(place, kept))
    return {str(names[i]): found[str(names[i])] for i in kept} | {"others": rest}


def winners(contests: Sequence[Contest], by: str) -> Figure:
    """The best value of each objective against a number, a line for each label; of many labels
    those that come first most often."""
    objectives = list(dict.fromkeys(one.objective for one in contests))
    labels = _foremost(contests)
    with _panels(len(objectives), 3.0) as (made, panels):
        for axes, objective in zip(panels, objectives, strict=True):
            mine = [one for one in contests if one.objective == objective and one.best]
            x = np.array([one.group[0] for one in mine], float)
            every = [one.best[label] for one in mine for label in labels if label in one.best]
            for i, label in enumerate(labels):
                y = np.array([one.best.get(label, np.nan) for one in mine])
                axes.plot(
                    x, y, lw=1.4, ms=4, label=label,
                    marker=MARKERS[i % len(MARKERS)], color=PALETTE[i % len(PALETTE)],
                )  # fmt: skip
            if every:
                _scaled(axes, "x", x, by)
                _scaled(axes, "y", np.array(every), objective)
        _legend(made, panels[0])
    return made


def _foremost(contests: Sequence[Contest]) -> list[str]:
    """At most `MOST_LABELS` labels, in the order of the alphabet."""
    rank: defaultdict[str, float] = defaultdict(float)
    for one in contests:
        for place, label in enumerate(one.best):
            rank[label] += 1 / (place + 1)
    return sorted(sorted(rank, key=lambda label: (-rank[label], label))[:MOST_LABELS])


def knobs(effects: Sequence[Effect]) -> Figure:
    """Shares of variance by axis, a panel for each objective: alone, and with interactions."""
    objectives = list(dict.fromkeys(effect.objective for effect in effects))
    named = list(dict.fromkeys(effect.axis for effect in effects))
    across = min(3, len(objectives))
    down = -(-len(objectives) // across)
    size = (max(7.2, 2.0 + 2.8 * across), 0.6 + (0.8 + 0.28 * len(named)) * down)
    with figure(*size, nrows=down, ncols=across, squeeze=False, sharey=True) as (made, grid):
        for axes in grid.ravel()[len(objectives) :]:
            axes.set_visible(False)
        y = np.arange(len(named))
        for axes, objective in zip(grid.ravel(), objectives, strict=False):
            mine = {effect.axis: effect for effect in effects if effect.objective == objective}
            alone = [100 * mine[name].alone if name in mine else 0.0 for name in named]
            whole = [100 * mine[name].whole if name in mine else np.nan for name in named]
            axes.barh(y, np.nan_to_num(whole), color=FAINT, height=0.7, label="with interactions")
            axes.barh(y, alone, color=PALETTE[0], height=0.4, label="alone")
            axes.set_title(objective, fontsize=8)
            axes.set(xlim=(0, 104), xticks=[0, 25, 50, 75, 100])
            axes.set_xlabel("share of variance [%]", fontsize=7)
            axes.tick_params(labelsize=7)
            axes.set_yticks(y, [_wrapped(name, 24) for name in named], fontsize=7)
        grid[0][0].invert_yaxis()  # of all: they share it
        _legend(made, grid[0][0])
    return made


def parallel(found: Outcome) -> Figure:
    """The front in parallel coordinates: a line a design over those of its axes and objectives
    that differ on the front, each from its least to its largest value; texts by their order."""
    rows = found.front
    every = [axis.name for axis in found.space.axes if axis.name in rows]
    every += [name for name, _ in found.space.objectives]
    names = [name for name in every if np.unique(rows[name]).size > 1] or every
    count = rows["point"].size
    kept = np.unique(np.linspace(0, count - 1, min(count, MOST_LINES)).round().astype(int))
    wide = float(np.clip(1.2 * len(names), 7.2, 12.4))
    letters = max(6, int(14 * wide / len(names)))
    with figure(wide, 4.4) as (made, axes):
        for i, (name, members) in enumerate(_labelled(rows, found.label).items()):
            drawn = np.intersect1d(kept, members)
            y = np.stack([_place(rows[column])[drawn] for column in names])
            colour = PALETTE[i % len(PALETTE)]
            alpha = 0.6 if kept.size < 100 else 0.3
            axes.plot(y, color=colour, lw=0.8, alpha=alpha, marker="." if len(names) == 1 else "")
            axes.plot([], [], color=colour, lw=1.6, label=name)
        for x, name in enumerate(names):
            axes.vlines(x, 0, 1, color=INK, lw=0.6, zorder=1)
            low, high = (_cut(text, letters) for text in _ends(name, rows[name]))
            axes.annotate(high, (x, 1.03), ha="center", fontsize=7)
            axes.annotate(low, (x, -0.07), ha="center", fontsize=7)
        texts = [_wrapped(name, letters) for name in names]
        axes.set_xticks(range(len(names)), texts, fontsize=7)
        axes.tick_params(length=0)
        axes.set(yticks=[], ylim=(-0.1, 1.1), xlim=(-0.5, len(names) - 0.5))
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.grid(visible=False)
        _legend(made, axes)
    return made


def _place(column: NDArray[Any]) -> Floats:
    """Values in shares of their range."""
    if column.dtype == object:
        return _place(np.unique(column, return_inverse=True)[1].astype(float))
    values = np.asarray(column, np.float64)
    values = np.log(values) if _log(values) else values
    spread = np.ptp(values)
    return np.asarray((values - values.min()) / spread if spread else np.full(values.size, 0.5))


def _ends(name: str, column: NDArray[Any]) -> tuple[str, str]:
    """The least and the largest value with their units."""
    return _brief(name, column.min()), _brief(name, column.max())


def _brief(name: str, value: Any) -> str:
    """A value in three digits."""
    return shown(name, float(f"{value:.3g}")) if isinstance(value, float) else shown(name, value)


def _wrapped(name: str, letters: int) -> str:
    """A path as lines of at most so many letters, its last parts first: two lines at most."""
    lines = [""]
    for part in re.findall(r"[^_.]+[_.]?|[_.]", name):
        if lines[-1] and len(lines[-1]) + len(part) > letters:
            lines.append("")
        lines[-1] += part
    return "\n".join(_cut(line, letters) for line in lines[-2:])


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
