"""moesaic place split: experts of a model on an xPU and the PIM of the same memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from . import show
from .placing import Part, Seed, Trace, routing_of

if TYPE_CHECKING:
    from ..sweeps.placements.uneven import SplitTrials


def uneven(
    trace: Trace,
    model: Annotated[str, typer.Option("--model", help="The model that was recorded.")],
    on: Annotated[str, typer.Option("--on", help="A PIM with its host.")] = "duplex",
    part: Part = None,
    batch: Annotated[int, typer.Option("--batch", help="Tokens of a step.")] = 64,
    steps: Annotated[int, typer.Option("--steps", help="Steps learnt from, and scored.")] = 32,
    spaces: Annotated[
        int | None,
        typer.Option("--spaces", help="Memory spaces, 4 unless named; each to one unit in a step."),
    ] = None,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="Each expert stays with one unit: no spaces.")
    ] = False,
    seed: Seed = 0,
    out: show.Out = None,
    as_json: show.Json = False,
) -> None:
    """Which experts lie together so that whole memory spaces suit the xPU or the PIM, or with
    --fixed which unit each expert stays with; learnt on some steps, scored on others.

    Example: moesaic place split examples/data/olmoe_repo_counts.npz --part olmoe1b7b
    --model olmoe-1b-7b --on duplex --batch 64
    """
    from ..placement.uneven import Uneven
    from ..sweeps.placements.uneven import curves_of, split_trials, steps_of
    from ..workload.load import model as named

    if fixed and spaces is not None:
        raise BadInput("goes without --fixed", key="--spaces", value=spaces)
    shape = named(model)
    routing = routing_of(trace, part)
    drawn = steps_of(routing, shape, batch, steps, seed)
    xpu, pim = curves_of(shape, on)
    if fixed:
        learn, fresh = (Uneven.fixed(loads, routing.layers, (xpu, pim)) for loads in drawn)
    else:
        learn, fresh = (
            Uneven.spaces(loads, routing.layers, xpu, pim, 4 if spaces is None else spaces)
            for loads in drawn
        )
    found = split_trials(learn, fresh, seed=seed)
    data = _plain(found)
    if out is not None:
        show.save_json(out, data)
    if as_json:
        show.json(data)
    else:
        _table(found, f"{model} on {on}, steps of {batch} tokens, {len(routing.layers)} layers")


def _plain(found: SplitTrials) -> dict[str, Any]:
    rows = [
        {
            "method": trial.found.method,
            "learnt_s": float(trial.found.expected_s.sum()),
            "bound_s": float(trial.found.bound_s.sum()),
            "gap": trial.found.gap,
            "proven": trial.found.proven,
            "unseen_s": trial.unseen_s,
            "homes": trial.found.homes,
        }
        for trial in found.trials
    ]
    return {"methods": rows, "unseen_free_s": found.free_s, "unseen_alone_s": found.alone_s}


def _table(found: SplitTrials, title: str) -> None:
    from ..base.units import show as unit

    rows = [
        (
            trial.found.method,
            unit(float(trial.found.expected_s.sum()), "s"),
            "proven" if trial.found.proven else f"{trial.found.gap:.1%}",
            unit(trial.unseen_s, "s"),
            f"{trial.unseen_s / found.free_s - 1:.1%}",
        )
        for trial in found.trials
    ]
    bound = unit(float(found.trials[0].found.bound_s.sum()), "s")
    show.table(
        title,
        ("homes", "learnt steps", "above the bound", "unseen steps", "above free"),
        rows,
        f"Seconds of all layers' experts in a step, simulated. Bound on learnt steps: {bound}. "
        f"Free: any expert to any unit in each unseen step, {unit(found.free_s, 's')}; all on the "
        f"better unit: {unit(found.alone_s, 's')}.",
    )
