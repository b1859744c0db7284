"""Plots of a design space: its fronts, who wins where, which knob matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.outcome import Contest, Outcome
from ..design.results import RESULTS
from ..design.sensitivity import Effect
from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

MARKERS = "osD^vPX*<>hp"
MOST_LABELS = 12
MOST_TICKS = 12
CELLS = 160
"""Of the picture of all points, each way."""
MOST_LINES = 300


def titled(name: str) -> str:
    """An objective and its unit: 'tpot_s [s]'."""
    unit = RESULTS[name].unit if name in RESULTS else ""
    return f"{name} [{unit}]" if unit else name


def front_of(found: Outcome) -> Figure:
    """All points that meet the goals as a shade, the front above them: the first objective across,
    each other one in a panel of its own."""
    names = [name for name, _ in found.space.objectives]
    pairs = [(0, k) for k in range(1, len(names))] or [(0, 0)]
    across = min(3, len(pairs))
    down = -(-len(pairs) // across)
    size = (max(6.0, 3.6 * across), 0.6 + 3.2 * down)
    with figure(*size, nrows=down, ncols=across, squeeze=False) as (made, grid):
        for axes in grid.ravel()[len(pairs) :]:
            axes.set_visible(False)
        for axes, pair in zip(grid.ravel(), pairs, strict=False):
            _panel(axes, found, names, pair)
        handles, texts = grid.ravel()[0].get_legend_handles_labels()
        made.legend(handles, texts, loc="outside lower center", ncols=4, fontsize=7)
    return made


def _panel(axes: Axes, found: Outcome, names: list[str], pair: tuple[int, int]) -> None:
    senses = np.array([sense for _, sense in found.space.objectives])
    every = (found.standing.values * senses)[found.standing.meets]
    front = found.front_standing.values * senses
    logs = [_log(every[:, k]) for k in pair]
    if len(every):
        _shade(axes, every[:, pair[0]], every[:, pair[1]], logs)
    for k, way in zip(pair, "xy", strict=True):
        _scaled(axes, way, every[:, k])
    for label, rows in _labelled(found.front, found.label).items():
        number = list(_labelled(found.front, found.label)).index(label)
        axes.plot(
            front[rows, pair[0]], front[rows, pair[1]], ls="", ms=4.5, label=label,
            marker=MARKERS[number % len(MARKERS)], color=PALETTE[number % len(PALETTE)],
            mec="white", mew=0.4,
        )  # fmt: skip
    at = found.knees[found.knees >= 0]
    axes.plot(
        front[at, pair[0]], front[at, pair[1]], ls="", marker="o", ms=9, mfc="none", mec=INK,
        label="knee",
    )  # fmt: skip
    axes.set(xlabel=titled(names[pair[0]]), ylabel=titled(names[pair[1]]))


def _log(values: Floats) -> bool:
    return bool(values.size and (values > 0).all() and values.max() > 10 * values.min())


def _scaled(axes: Axes, way: str, values: Floats) -> None:
    """An axis with room at both ends; of numbers that span decades in logarithms, with plain ticks:
    along x the values themselves, when they are few whole numbers."""
    from matplotlib.ticker import (
        EngFormatter,
        FixedLocator,
        FuncFormatter,
        LogLocator,
        NullLocator,
    )

    low, high = float(values.min()), float(values.max())
    axis = axes.xaxis if way == "x" else axes.yaxis
    ends = (low - 0.05 * (high - low), high + 0.05 * (high - low)) if high > low else None
    if _log(values):
        room = (high / low) ** 0.05
        ends = (low / room, high * room)
        axes.set(**{f"{way}scale": "log"})
        few = np.unique(values[values == np.floor(values)])
        decades = np.log10(high / low)
        subs = (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
        axis.set_major_locator(
            FixedLocator(few.tolist())
            if way == "x" and 1 < few.size <= MOST_TICKS
            else LogLocator(subs=subs)
        )
        axis.set_minor_locator(NullLocator())
    whole = high < 1e5 and (values == np.floor(values)).all()
    axis.set_major_formatter(
        FuncFormatter(lambda x, _: f"{x:g}") if whole else EngFormatter(sep="")
    )
    axes.tick_params(axis="x" if way == "x" else "y", labelsize=7)
    if way == "x" and np.unique(values).size > 7:
        axes.tick_params(axis="x", rotation=45)
    if ends is not None:
        axes.set(**{f"{way}lim": ends})


def _shade(axes: Axes, x: Floats, y: Floats, logs: Sequence[bool]) -> None:
    """How many points lie where, as a picture: as small for a million points as for ten."""
    edges = [_edges(column, log) for column, log in zip((x, y), logs, strict=True)]
    count, *_ = np.histogram2d(x, y, bins=edges)
    shown = np.ma.masked_equal(np.log1p(count.T), 0)
    axes.pcolormesh(*edges, shown, cmap="Greys", vmin=-2, vmax=4 + shown.max(), rasterized=True)


def _edges(values: Floats, log: bool) -> Floats:
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.array([low - 0.5 * abs(low) - 1e-30, high + 0.5 * abs(high) + 1e-30])
    return np.asarray(np.geomspace(low, high, CELLS) if log else np.linspace(low, high, CELLS))


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
    """The best value of each objective against a number, a line for each label."""
    objectives = list(dict.fromkeys(one.objective for one in contests))
    labels = sorted({label for one in contests for label in one.best})[:MOST_LABELS]
    across = min(3, len(objectives))
    down = -(-len(objectives) // across)
    size = (max(6.0, 3.6 * across), 0.6 + 3.0 * down)
    with figure(*size, nrows=down, ncols=across, squeeze=False) as (made, grid):
        for axes in grid.ravel()[len(objectives) :]:
            axes.set_visible(False)
        for axes, objective in zip(grid.ravel(), objectives, strict=False):
            mine = [one for one in contests if one.objective == objective]
            x = np.array([one.group[0] for one in mine], float)
            for i, label in enumerate(labels):
                y = np.array([one.best.get(label, np.nan) for one in mine])
                axes.plot(
                    x, y, lw=1.4, ms=4, label=label,
                    marker=MARKERS[i % len(MARKERS)], color=PALETTE[i % len(PALETTE)],
                )  # fmt: skip
            every = np.array([value for one in mine for value in one.best.values()])
            axes.set(xlabel=by, ylabel=titled(objective))
            _scaled(axes, "x", x)
            _scaled(axes, "y", every)
        handles, texts = grid.ravel()[0].get_legend_handles_labels()
        made.legend(handles, texts, loc="outside lower center", ncols=4, fontsize=7)
    return made


def knobs(effects: Sequence[Effect]) -> Figure:
    """Shares of variance by axis, a panel for each objective: alone, and with interactions."""
    objectives = list(dict.fromkeys(effect.objective for effect in effects))
    axes_named = list(dict.fromkeys(effect.axis for effect in effects))
    height = 1.0 + 0.3 * len(axes_named)
    size = (max(6.0, 2.2 + 2.2 * len(objectives)), height)
    with figure(*size, ncols=len(objectives), squeeze=False, sharey=True) as (made, grid):
        y = np.arange(len(axes_named))
        for axes, objective in zip(grid[0], objectives, strict=True):
            mine = {effect.axis: effect for effect in effects if effect.objective == objective}
            alone = [mine[name].alone if name in mine else 0.0 for name in axes_named]
            whole = [mine[name].whole if name in mine else np.nan for name in axes_named]
            axes.barh(y, np.nan_to_num(whole), color=FAINT, height=0.7, label="with interactions")
            axes.barh(y, alone, color=PALETTE[0], height=0.4, label="alone")
            axes.set(title=objective, xlim=(0, 1), xlabel="share of variance")
            axes.set_yticks(y, axes_named, fontsize=7)
            axes.invert_yaxis() if axes is grid[0][0] else None
        handles, texts = grid[0][0].get_legend_handles_labels()
        made.legend(handles, texts, loc="outside lower center", ncols=2)
    return made


def parallel(found: Outcome) -> Figure:
    """The front in parallel coordinates: a line a design over its axes and objectives, each from
    its least to its largest value; texts by their order."""
    rows, label = found.front, found.label
    names = [axis.name for axis in found.space.axes if axis.name in rows]
    names += [name for name, _ in found.space.objectives]
    count = rows["point"].size
    kept = np.unique(np.linspace(0, count - 1, min(count, MOST_LINES)).round().astype(int))
    with figure(max(7.2, 1.2 * len(names)), 4.2) as (made, axes):
        for i, (name, members) in enumerate(_labelled(rows, label).items()):
            drawn = np.intersect1d(kept, members)
            y = np.stack([_place(rows[column])[drawn] for column in names])
            lines = axes.plot(y, color=PALETTE[i % len(PALETTE)], lw=0.8, alpha=0.6)
            if lines:
                lines[0].set_label(name)
        for x, name in enumerate(names):
            low, high = _ends(rows[name])
            axes.annotate(high, (x, 1.02), ha="center", fontsize=7)
            axes.annotate(low, (x, -0.06), ha="center", fontsize=7)
        axes.set_xticks(range(len(names)), [_short(name) for name in names], fontsize=7)
        axes.set(yticks=[], ylim=(-0.1, 1.1), xlim=(-0.5, len(names) - 0.5))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, fontsize=7)
    return made


def _place(column: NDArray[Any]) -> Floats:
    if column.dtype == object:
        return _place(np.unique(column, return_inverse=True)[1].astype(float))
    values = np.asarray(column, np.float64)
    values = np.log(values) if _log(values) else values
    spread = np.ptp(values)
    return np.asarray((values - values.min()) / spread if spread else np.full(values.size, 0.5))


def _ends(column: NDArray[Any]) -> tuple[str, str]:
    """The least and the largest value, as short as they can be."""
    low, high = min(column.tolist()), max(column.tolist())
    return _cut(f"{low:.3g}" if isinstance(low, float) else str(low)), _cut(
        f"{high:.3g}" if isinstance(high, float) else str(high)
    )


def _short(name: str) -> str:
    """The last part of a path."""
    return _cut(name.rpartition(".")[2])


def _cut(text: str, most: int = 14) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
