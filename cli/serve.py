"""moesaic serve: requests in time: throughput, waiting, gaps between tokens, energy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from ..base.units import show as human
from . import question as q
from . import show

if TYPE_CHECKING:
    from ..hardware import System
    from ..simulator.serving import Metrics, Served
    from ..workload import Parallel, Requests

app = typer.Typer(
    no_args_is_help=True,
    help="Requests served by continuous batching.\n\n"
    "Example: moesaic serve run mixtral-8x7b --on duplex-4 --batch 64",
)


@app.callback()
def group() -> None:
    """Keeps `run` a word of the command, though it stands alone."""


@app.command()
def run(
    model: q.Model,
    on: q.On,
    batch: Annotated[str, typer.Option(help="Most requests in flight; several by commas.")] = "64",
    prompt: Annotated[float, typer.Option(help="Mean tokens of a prompt.")] = 1024,
    output: Annotated[float, typer.Option(help="Mean tokens that a request makes.")] = 1024,
    spread: Annotated[
        float, typer.Option(help="Standard deviation of both lengths over their means; Gaussian.")
    ] = 0.2,
    requests: Annotated[int, typer.Option(help="How many are served.")] = 1000,
    rate: Annotated[
        float | None,
        typer.Option(help="Poisson arrivals a second; without it the batch is kept full."),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(help="Recorded requests instead: arrival_s, prompt_tokens, output_tokens."),
    ] = None,
    scheduler: Annotated[str, typer.Option(help="continuous or chunked.")] = "continuous",
    budget: Annotated[int, typer.Option(help="Tokens of a stage, if chunked.")] = 512,
    tp: Annotated[
        int | None, typer.Option("--tp", help="As elsewhere; by default all of a node.")
    ] = None,
    dp: q.Dp = None,
    ep: q.Ep = 1,
    pp: q.Pp = 1,
    weights: q.Weights = None,
    detail: Annotated[str, typer.Option(help="How a stage is priced: bound or tile.")] = "bound",
    seed: Annotated[int, typer.Option(min=0, help="Of drawn requests and the start.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the run, of one batch: .png or .svg.")
    ] = None,
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """Throughput, time to first token (T2FT), gaps between tokens (TBT), end to end, and energy.

    Without --rate a closed loop, met in the middle of its work: who ends is replaced at once, and
    waiting counts from there. The cache holds what weights leave of the memory; a request that
    joins reserves its prompt and output there.

    moesaic serve run mixtral-8x7b --on duplex-4 --batch 32,64 --prompt 1024 --output 1024

    moesaic serve run mixtral-8x7b --on h100-4 --rate 8 --scheduler chunked --plot run.png
    """
    from ..simulator.serving import metrics, serve
    from ..simulator.serving.details import costs_of
    from ..simulator.serving.estimated import cache_room

    found, system = q.model_of(model, weights), q.system_of(on)
    split = _split(system, tp, dp, ep, pp)
    asked, closed = _requests(requests, prompt, output, spread, rate, trace, seed)
    costs = costs_of(detail, found, system, split)
    batches = q.numbers(batch, "--batch")
    if min(batches) < 1:
        raise BadInput("must be at least 1", key="--batch", value=batch)
    if plot is not None and len(batches) > 1:
        raise BadInput("draws one batch", key="--plot", value=batch)
    rows: list[dict[str, Any]] = []
    for most in batches:
        room = cache_room(found, system, split, asked, most)
        served = serve(
            asked,
            costs,
            most_requests=most,
            kv_tokens=room,
            scheduler=scheduler,
            budget=budget,
            closed=closed,
            stationary=closed,
            seed=seed,
        )
        rows.append(_plain(most, room, served, metrics(served), costs.evidence))
    title = f"{found.name} on {on}, tp {split.tp}, dp {split.dp}, ep {split.ep}, pp {split.pp}"
    if plot is not None:
        _draw(plot, served, title)
    if out is not None:
        show.save_json(out, rows)
    if json:
        show.json(rows)
    else:
        _print(f"{title}, {scheduler}{'' if rate is None else f', {rate:g} requests/s'}", rows)


def _split(system: System, tp: int | None, dp: int | None, ep: int, pp: int) -> Parallel:
    """The degrees; unless stated, a replica is a node and every node has one."""
    if tp is None:
        tp = system.tiers[0].size if system.tiers else 1
        if dp is None:
            dp = max(1, len(system.devices) // (tp * max(pp, 1)))
    return q.split_of(tp, dp, ep, pp)


def _requests(
    count: int,
    prompt: float,
    output: float,
    spread: float,
    rate: float | None,
    trace: Path | None,
    seed: int,
) -> tuple[Requests, bool]:
    """The requests, and whether they come as places get free."""
    from ..workload.requests import drawn, read_csv

    if trace is not None:
        if rate is not None:
            raise BadInput("goes without --rate: a trace has its own arrivals", key="--trace")
        return read_csv(trace), False
    made = drawn(
        count,
        prompt_mean=prompt,
        output_mean=output,
        spread=spread,
        rate_per_s=float("inf") if rate is None else rate,
        seed=seed,
        shape="gaussian",
    )
    return made, rate is None


def _plain(batch: int, room: int, served: Served, found: Metrics, evidence: str) -> dict[str, Any]:
    return {
        "batch": batch,
        "cache_tokens": room,
        "tokens_per_s": found.tokens_per_s,
        "requests_per_s": found.requests_per_s,
        "ttft_s": found.ttft_s,
        "tbt_s": found.tbt_s,
        "e2e_s": found.e2e_s,
        "queueing_s": found.queueing_s,
        "batch_mean": found.batch,
        "mixed_share": found.mixed_share,
        "energy_j_per_token": found.energy_j_per_token,
        "stages": served.stage_s.size,
        "evidence": evidence,
    }


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    first = [
        [
            row["batch"],
            human(row["tokens_per_s"], "token/s"),
            f"{row['requests_per_s']:.2f}",
            f"{row['batch_mean']:.1f}",
            f"{row['mixed_share']:.0%}",
            "-" if row["energy_j_per_token"] is None else human(row["energy_j_per_token"], "J"),
            row["stages"],
            row["evidence"],
        ]
        for row in rows
    ]
    columns = ["batch", "throughput", "requests/s", "in flight", "time in mixed stages"]
    show.table(title, [*columns, "energy a token", "stages", "evidence"], first)
    names = {"ttft_s": "T2FT", "tbt_s": "TBT", "e2e_s": "E2E", "queueing_s": "queueing"}
    spreads = [
        [row["batch"], name, *(human(getattr(row[key], p), "s") for p in _POINTS)]
        for row in rows
        for key, name in names.items()
        if row[key] is not None
    ]
    show.table("", ["batch", "time", *_POINTS], spreads)


_POINTS = ("mean", "p50", "p90", "p99")


def _draw(path: Path, served: Served, title: str) -> None:
    from ..sweeps.plots.serving import run_in_time
    from ..sweeps.plots.style import save

    save(run_in_time(served, title), path)
    show.say(f"wrote {path}")
