"""How a tuning is shown: the tried configurations, the fastest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base.evidence import MARKS
from . import show

if TYPE_CHECKING:
    from ..kernels.autotune import Finals, Work
    from ..kernels.search import Tuning
    from ..kernels.search.runner import Trial

FIRST = 12
SHORT = {
    "WARPS_M": "W_M",
    "WARPS_N": "W_N",
    "FRAGMENTS": "FRAG",
    "PERSISTENT": "WALK",
    "SPLIT_K": "SPLIT",
}
"""Long parameters at the head of a column."""


def show_run(done: Tuning, work: Work, finals: Finals | None) -> None:
    """The best first; what else is known of each beside it. Raises BadInput where none ran."""
    ran = sorted((t for t in done.trials if t.status == "ok"), key=lambda t: t.seconds)
    mark = MARKS[done.evidence]
    predicts = any("low_s" in trial.facts for trial in ran)
    columns = ["", *_short(done.trials[0]), f"us {mark}"]
    columns += ["80% of cases", "held by"] if predicts else ["spread"]
    columns += [f"recorded us {MARKS['measured-published']}"] if work.recorded else []
    shown = [
        [str(place), *map(str, trial.config.values()), f"{1e6 * trial.seconds:.1f}"]
        + (_foreseen(trial) if predicts else [f"{trial.spread:.1%}"])
        + ([_recorded(work, trial)] if work.recorded else [])
        for place, trial in enumerate(ran[:FIRST], 1)
    ]
    for trial in [t for t in done.trials if t.status != "ok"][:FIRST]:
        show.say(f"{trial.status}: {trial.reason}")
    title = f"{work.name}, {len(done.trials)} of {len(work.runner.space)} tried"
    show.table(title, columns, shown, _note(done, work, finals))


def run_facts(done: Tuning, work: Work, finals: Finals | None) -> dict[str, Any]:
    """For programs. best and seconds: as held again, where it was."""
    winner = finals.winner if finals else done.best
    untuned = finals.default if finals else None
    return {
        "work": work.name,
        "about": done.about,
        "evidence": done.evidence,
        "strategy": done.strategy,
        "configurations": len(work.runner.space),
        "bound_s": work.bound_s,
        "best": winner.config,
        "seconds": winner.seconds,
        "rounds": finals.rounds if finals else 0,
        "default": work.default,
        "default_s": untuned.seconds if untuned and untuned.status == "ok" else None,
        "trials": [
            {
                "config": trial.config,
                "status": trial.status,
                "seconds": trial.seconds if trial.status == "ok" else None,
                "reason": trial.reason,
                "facts": trial.facts,
                "recorded_s": work.recorded.get(tuple(trial.config.values())),
            }
            for trial in done.trials
        ],
    }


def _short(trial: Trial) -> list[str]:
    return [SHORT.get(name, name) for name in trial.config]


def _foreseen(trial: Trial) -> list[str]:
    from ..kernels.prediction.predicted_part import binding

    facts = trial.facts
    return [f"{1e6 * facts['low_s']:.0f} to {1e6 * facts['high_s']:.0f}", binding(trial)]


def _recorded(work: Work, trial: Trial) -> str:
    seconds = work.recorded.get(tuple(trial.config.values()))
    return f"{1e6 * seconds:.1f}" if seconds else ""


def _note(done: Tuning, work: Work, finals: Finals | None) -> str:
    winner = finals.winner if finals else done.best
    words = [f"Evidence: {done.evidence}."]
    if finals and finals.rounds > 1:
        values = " ".join(f"{name}={value}" for name, value in winner.config.items())
        words.append(
            f"The best, held again in turn {finals.rounds} times: {values}, "
            f"{1e6 * winner.seconds:.1f} us."
        )
    if work.bound_s:
        share = work.bound_s / winner.seconds
        words.append(f"Roofline {1e6 * work.bound_s:.1f} us: the best reaches {share:.0%} of it.")
        if share > 1:
            words.append("Its peaks were timed when this machine had other work.")
    if finals and finals.default and finals.default.status == "ok":
        untuned = finals.default.seconds
        times = untuned / winner.seconds
        words.append(f"The default takes {1e6 * untuned:.1f} us, {times:.2f} times the best.")
    if done.taught_by:
        words.append(f"Taught by {'; '.join(done.taught_by)}.")
    if "constants" in done.about:
        words.append(f"Constants {done.about['constants']}.")
    return " ".join(words)
