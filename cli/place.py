"""moesaic place: where experts live."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from . import place_split, show
from .placed import finish, held_against, seconds_of, sizes, text, title, told_by
from .placing import (
    Batch,
    BoundTime,
    Cap,
    Context,
    Current,
    Detail,
    FormatName,
    Learn,
    Model,
    ModelLayers,
    Moves,
    NodeCost,
    On,
    Part,
    Pose,
    Price,
    Ranks,
    RelaxCap,
    Seed,
    Slots,
    TimeLimit,
    Touched,
    Trace,
    routing_of,
    served,
    split,
)

if TYPE_CHECKING:
    from ..placement import Placement, Problem
    from ..placement.formats import Format

app = typer.Typer(
    no_args_is_help=True, help="Where experts live: solve, check, compare, rebalance, split."
)
app.command("split")(place_split.uneven)


@app.command()
def solve(
    trace: Trace,
    on: On,
    method: Annotated[
        str, typer.Option("--method", help="The method; `compare` lists all.")
    ] = "lpt-swaps",
    part: Part = None,
    ranks: Ranks = None,
    slots: Slots = None,
    cap: Cap = None,
    relax_cap: RelaxCap = False,
    node_cost: NodeCost = 1.0,
    touched: Touched = None,
    price: Price = "hops=1",
    current: Current = None,
    moves: Moves = None,
    learn: Learn = "half",
    model: Model = None,
    batch: Batch = 64,
    context: Context = 2048,
    detail: Detail = "bound",
    time_limit: TimeLimit = 10.0,
    bound_time: BoundTime = 5.0,
    seed: Seed = 0,
    format: FormatName = None,
    model_layers: ModelLayers = None,
    out: show.Out = None,
    as_json: show.Json = False,
) -> None:
    """Finds a placement, scores it on requests that it has not seen, and writes the engine's file.

    Example: moesaic place solve trace.npz --on dgx-h100 --method joint --cap 1.05 --out map.json
    """
    from ..placement import formats
    from ..placement import solve as find

    pose = Pose(on, ranks, slots, cap, node_cost, touched, price, current, moves, model)
    timed = served(model, pose.machine, batch, context, detail)
    routing = routing_of(trace, part)
    taught, fresh = split(routing, learn)
    problem = pose(taught)
    if relax_cap:
        problem = _relaxed(problem)
    form = None if out is None else formats.demand_writable(out, problem, format, model_layers)
    start = time.perf_counter()
    placement = find(problem, method, time_limit, seed, bound_s=bound_time)
    seconds = time.perf_counter() - start
    more = {} if timed is None else seconds_of(placement, timed, taught if fresh is None else fresh)
    finish(problem, placement, None if fresh is None else pose(fresh), seconds, as_json, more)
    if out is not None and form is not None:
        _write(out, placement, learn if fresh is not None else "all", form, model_layers)


@app.command()
def rebalance(
    trace: Trace,
    on: On,
    current: Annotated[Path, typer.Option("--current", help="The placement file in force.")],
    moves: Annotated[int, typer.Option("--moves", help="Most experts that may come to a rank.")],
    part: Part = None,
    cap: Cap = None,
    learn: Learn = "half",
    format: FormatName = None,
    model_layers: ModelLayers = None,
    out: show.Out = None,
    as_json: show.Json = False,
) -> None:
    """Balances the map in force with few moved experts, and says how few could do.

    Example: moesaic place rebalance today.npz --on dgx-h100 --current map.json --moves 40
    """
    from ..placement import formats
    from ..placement import solve as find

    routing = routing_of(trace, part)
    taught, fresh = split(routing, learn)
    pose = Pose(on, None, None, cap, 1.0, None, "hops=1", current, moves)
    problem = pose(taught)
    form = None if out is None else formats.demand_writable(out, problem, format, model_layers)
    start = time.perf_counter()
    placement = find(problem, "rebalance")
    seconds = time.perf_counter() - start
    finish(problem, placement, None if fresh is None else pose(fresh), seconds, as_json, {})
    if out is not None and form is not None:
        _write(out, placement, learn if fresh is not None else "all", form, model_layers)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A file made by `place solve`, or an engine's.")],
    trace: Annotated[
        Path | None, typer.Option("--trace", help="The routing to hold it against.")
    ] = None,
    part: Part = None,
    ranks: Ranks = None,
    touched: Touched = None,
    format: FormatName = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The model whose layers the file must match.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Says what an engine would choke on, and with a trace what the map is worth and its proofs.

    Example: moesaic place check map.json --trace trace.npz
    """
    from ..placement import formats
    from ..workload.load import model as named

    shape = None if model is None else named(model)
    faults = formats.check(file, format, model=shape, ranks=ranks)
    if faults:
        raise BadInput("; ".join(faults), file=file)
    if trace is None:
        facts = told_by(file, format, ranks)
    else:
        facts = held_against(file, format, ranks, routing_of(trace, part), touched)
    if as_json:
        show.json(facts)
    else:
        show.table(f"{file} loads", ("what", "value"), [(k, text(v)) for k, v in facts.items()])


@app.command()
def compare(
    trace: Trace,
    on: On,
    methods: Annotated[str, typer.Option("--methods", help="Names with commas, or all.")] = "all",
    part: Part = None,
    ranks: Ranks = None,
    slots: Slots = None,
    cap: Cap = None,
    node_cost: NodeCost = 1.0,
    model: Model = None,
    batch: Batch = 64,
    context: Context = 2048,
    detail: Detail = "bound",
    time_limit: TimeLimit = 10.0,
    bound_time: BoundTime = 5.0,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for the plots, page and tables.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """Runs several methods: learnt on one half of the requests, scored on the other.

    Example: moesaic place compare trace.npz --on two-node-h100 --methods all --out report
    """
    from ..sweeps.placements import run_trials
    from ..sweeps.placements.report import methods_table, report, summary
    from ..sweeps.report import write

    pose = Pose(on, ranks, slots, cap, node_cost, None, "hops=1", None, None, model)
    tokens = routing_of(trace, part, tokens=True)
    names = [] if methods == "all" else [name.strip() for name in methods.split(",")]
    found = run_trials(
        tokens,
        pose,
        names,
        served=served(model, pose.machine, batch, context, detail),
        time_limit_s=time_limit,
        bound_s=bound_time,
        seed=seed,
        say=show.say,
    )
    if out is not None:
        sections = list(
            report(tokens, pose, found, time_limit_s=time_limit, seed=seed, say=show.say)
        )
        show.say(f"wrote {write(out, f'Placements of {trace.name} on {on}', sections)}")
    for method, reason in found.left_out.items():
        show.say(f"{method} is left out: {reason}")
    if as_json:
        rows = [summary(trial) for trial in found.trials]
        show.json({**sizes(found.learn), "chosen": found.chosen.method, "methods": rows})
    else:
        table = methods_table(found)
        note = table.note if model else f"{table.note} Seconds need --model."
        show.table(title(found.learn), table.columns, table.rows, note)


def _relaxed(problem: Problem) -> Problem:
    import msgspec

    from ..placement import relaxed_caps

    if problem.cap is None:
        raise BadInput("needs --cap", key="--relax-cap")
    return msgspec.structs.replace(problem, cap=relaxed_caps(problem, float(problem.caps[0])))


def _write(
    out: Path, placement: Placement, learnt: Any, form: Format, model_layers: int | None
) -> None:
    import msgspec

    from ..placement import formats

    formats.write(out, msgspec.structs.replace(placement, learnt=learnt), form.name, model_layers)
    show.say(f"wrote {out} ({form.name}) and its sidecar; check it with: moesaic place check {out}")
