"""How replayed searches are shown: a table for each space, the mean over spaces, facts, a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import show

if TYPE_CHECKING:
    from ..kernels.search import Recording, Replay

MARKS = (10, 25, 50, 100, 200)
"""Evaluations at which scores are read off."""


def show_replays(spaces: Sequence[Recording], done: Sequence[Replay]) -> None:
    """A table for each space and, of several, their mean."""
    for space in spaces:
        _show_space(space, _of(space, done))
    if len(spaces) > 1:
        _show_mean(done)


def replay_facts(spaces: Sequence[Recording], done: Sequence[Replay]) -> list[dict[str, Any]]:
    """What was replayed and how it went, for programs."""
    return [_facts(space, _of(space, done)) for space in spaces]


def save_replays(folder: Path, spaces: Sequence[Recording], done: Sequence[Replay]) -> None:
    """replay.json, and the plot as replay.png and replay.svg."""
    from ..sweeps.plots.style import save
    from ..sweeps.plots.tuning import fraction_of_optimum

    show.save_json(folder / "replay.json", replay_facts(spaces, done))
    titles = {space.name: f"{space.name}, {space.near_words} within 5%" for space in spaces}
    drawn = fraction_of_optimum(done, titles)
    for suffix in ("png", "svg"):
        save(drawn, folder / f"replay.{suffix}")
        show.say(f"wrote {folder / f'replay.{suffix}'}")


def _of(space: Recording, done: Sequence[Replay]) -> list[Replay]:
    return [one for one in done if one.space == space.name]


def _marks(replays: Sequence[Replay]) -> list[int]:
    budget = min(one.fractions.shape[1] for one in replays)
    return [mark for mark in MARKS if mark <= budget] or [budget]


def _show_space(space: Recording, replays: Sequence[Replay]) -> None:
    marks = _marks(replays)
    device = space.about.get("device", "")
    show.table(
        f"{space.name}{f', {device}' if device else ''}: {len(space.space)} configurations, "
        f"{space.near_words} within 5% of the best",
        ["strategy", *(f"after {mark}" for mark in marks)],
        [[one.strategy, *(_cell(one, mark) for mark in marks)] for one in replays],
        "Best time / time found: mean over seeds (quartiles). "
        f"Evidence: {space.evidence}. Teachers: {', '.join(replays[0].taught_by) or 'none'}.",
    )


def _cell(one: Replay, mark: int) -> str:
    low, high = one.quartiles_at(mark)
    return f"{one.mean_at(mark):.3f} ({low:.2f}-{high:.2f})"


def _show_mean(done: Sequence[Replay]) -> None:
    marks = _marks(done)
    rows = []
    for name in dict.fromkeys(one.strategy for one in done):
        mine = [one for one in done if one.strategy == name]
        means = [sum(one.mean_at(mark) for one in mine) / len(mine) for mark in marks]
        rows.append([name, *(f"{mean:.3f}" for mean in means)])
    show.table("Mean over the spaces", ["strategy", *(f"after {mark}" for mark in marks)], rows)


def _facts(space: Recording, replays: Sequence[Replay]) -> dict[str, Any]:
    return {
        "space": space.name,
        "about": space.about,
        "evidence": space.evidence,
        "configurations": len(space.space),
        "share_within_5_percent": space.share_near,
        "best_s": space.best_s,
        "taught_by": replays[0].taught_by,
        "strategies": [
            {
                "strategy": one.strategy,
                "seeds": len(one.fractions),
                "mean_fraction": one.fractions.mean(axis=0),
                "at": {
                    mark: {"mean": one.mean_at(mark), "quartiles": one.quartiles_at(mark)}
                    for mark in _marks(replays)
                },
            }
            for one in replays
        ],
    }
