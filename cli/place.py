"""moesaic place: where experts live."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from . import show

if TYPE_CHECKING:
    from ..placement import Placement, Problem

app = typer.Typer(no_args_is_help=True, help="Where experts live: solve, check, compare.")

Trace = Annotated[Path, typer.Argument(help="A routing trace or expert counts.")]
On = Annotated[str, typer.Option("--on", help="The machine: a name or a TOML file.")]
Part = Annotated[str | None, typer.Option("--part", help="Which routing of a file with several.")]
Ranks = Annotated[
    int | None,
    typer.Option("--ranks", help="Expert-parallel ranks; the machine's devices if not given."),
]
TimeLimit = Annotated[
    float, typer.Option("--time-limit", help="Seconds for a method that searches.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of a method that draws.")]
Cap = Annotated[
    float | None, typer.Option("--cap", help="Largest rank load, as a multiple of the mean.")
]
COLUMNS = ("method", "max/mean worst", "max/mean mean", "gap to bound", "layers proven", "seconds")


@app.command()
def solve(
    trace: Trace,
    on: On,
    method: Annotated[
        str, typer.Option("--method", help="The method; `compare` lists all.")
    ] = "lpt-swaps",
    part: Part = None,
    ranks: Ranks = None,
    cap: Cap = None,
    time_limit: TimeLimit = 10.0,
    seed: Seed = 0,
    model_layers: Annotated[
        int | None, typer.Option("--model-layers", help="Hidden layers of the model, for the file.")
    ] = None,
    out: show.Out = None,
    as_json: show.Json = False,
) -> None:
    """Finds a placement and writes it as the file that SGLang loads.

    Example: moesaic place solve trace.npz --on dgx-h100 --method lpt-swaps --out map.json
    """
    from ..placement import solve as find
    from ..placement.formats import sglang

    problem = _problem(trace, part, on, ranks, cap)
    start = time.perf_counter()
    placement = find(problem, method, time_limit, seed)
    seconds = time.perf_counter() - start
    if out is not None:
        sglang.write(out, placement, model_layers)
        show.say(f"wrote {out} and its sidecar; load it with --init-expert-location {out}")
    if as_json:
        show.json({**_facts(problem), **placement.summary(), "seconds": seconds})
    else:
        show.table(_title(problem), COLUMNS, [_row(placement, seconds)], NOTE)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A file made by `place solve`, or for SGLang.")],
    trace: Annotated[Path, typer.Option("--trace", help="The routing to hold it against.")],
    part: Part = None,
    ranks: Ranks = None,
    as_json: show.Json = False,
) -> None:
    """Checks that an engine can load the file, what it is worth, and its certificate.

    Example: moesaic place check map.json --trace trace.npz
    """
    from ..placement import Problem, score, verify
    from ..placement.formats import sglang
    from ..workload import RoutingTrace
    from ..workload.readers.detect import load

    routing = load(trace, part=part)
    expert_map, placement = sglang.read(file, routing.layers, routing.experts, ranks)
    loads = (routing.counts() if isinstance(routing, RoutingTrace) else routing).total()
    facts: dict[str, Any] = {
        "moe_layers": len(routing.layers),
        "experts": routing.experts,
        "slots": expert_map.slots.shape[1],
        "ranks": expert_map.devices,
        "assignments": float(loads.sum()),
        **score(
            expert_map,
            Problem.of(
                routing,
                expert_map.devices,
                slots_per_rank=expert_map.slots.shape[1] // expert_map.devices,
            ),
        ),
    }
    problem = None if placement is None else Problem.of(routing, expert_map.devices)
    if placement is None or problem is None:
        facts["certificate"] = "none: no sidecar that speaks of these layers"
    elif placement.certificate.problem != problem.fingerprint():
        facts["certificate"] = "made from another trace; the scores here are for this one"
    else:
        seen = verify(problem, placement)
        facts["certificate"] = "holds"
        facts["gap"] = max(placement.gap, 0.0)
        facts["layers_checked"] = len(seen.checked)
        facts["layers_on_the_solvers_word"] = list(seen.on_trust)
    if as_json:
        show.json(facts)
    else:
        show.table(f"{file} loads", ("what", "value"), [(k, _text(v)) for k, v in facts.items()])


@app.command()
def compare(
    trace: Trace,
    on: On,
    methods: Annotated[str, typer.Option("--methods", help="Names with commas, or all.")] = "all",
    part: Part = None,
    ranks: Ranks = None,
    time_limit: TimeLimit = 10.0,
    seed: Seed = 0,
    as_json: show.Json = False,
) -> None:
    """Runs several methods on one problem.

    Example: moesaic place compare trace.npz --on dgx-h100 --methods contiguous,lpt-swaps
    """
    from ..placement import METHODS
    from ..placement import solve as find

    problem = _problem(trace, part, on, ranks, None)
    names = list(METHODS) if methods == "all" else [name.strip() for name in methods.split(",")]
    results: list[tuple[Placement, float]] = []
    for name in names:
        start = time.perf_counter()
        try:
            placement = find(problem, name, time_limit, seed)
        except BadInput as fault:
            if methods != "all":
                raise
            show.say(f"{name} is left out: {fault}")
            continue
        results.append((placement, time.perf_counter() - start))
    if as_json:
        rows = [{**placement.summary(), "seconds": seconds} for placement, seconds in results]
        show.json({**_facts(problem), "methods": rows})
    else:
        show.table(_title(problem), COLUMNS, [_row(*result) for result in results], NOTE)


NOTE = (
    "max/mean: tokens of the busiest rank over the mean rank, on the tokens the map was made from. "
    "gap: how far the worst layer lies above what no placement can beat."
)


def _problem(
    trace: Path, part: str | None, on: str, ranks: int | None, cap: float | None
) -> Problem:
    from ..hardware.load import system
    from ..placement import Problem
    from ..workload.readers.detect import load

    machine = system(on)
    if ranks is None:
        ranks = len(machine.devices)
    elif ranks > len(machine.devices):
        raise BadInput(
            f"{machine.name} has {len(machine.devices)} devices", key="--ranks", value=ranks
        )
    return Problem.of(load(trace, part=part), ranks, cap=cap, system=machine)


def _facts(problem: Problem) -> dict[str, Any]:
    return {
        "moe_layers": len(problem.layers),
        "experts": problem.experts,
        "ranks": problem.ranks,
        "assignments": float(problem.loads.sum()),
    }


def _title(problem: Problem) -> str:
    return (
        f"{len(problem.layers)} MoE layers of {problem.experts} experts on {problem.ranks} ranks, "
        f"{problem.loads.sum():,.0f} assignments"
    )


def _row(placement: Placement, seconds: float) -> tuple[object, ...]:
    facts = placement.summary()
    return (
        placement.method,
        f"{facts['imbalance_worst']:.4f}",
        f"{facts['imbalance_mean']:.4f}",
        f"{facts['gap']:.3%}",
        f"{facts['proven_layers']}/{facts['layers']}",
        f"{seconds:.3f}",
    )


def _text(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) and not value.is_integer() else str(value)
