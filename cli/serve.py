"""moesaic serve: requests in time: throughput, waiting, gaps between tokens, energy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ..base import BadInput
from . import question as q
from . import show

if TYPE_CHECKING:
    from ..hardware import System
    from ..simulator.serving import Served
    from ..workload import MoEModel, Parallel, Requests

app = typer.Typer(
    no_args_is_help=True,
    help="Requests served by continuous batching.\n\n"
    "Example: moesaic serve run mixtral-8x7b --on duplex-4 --batch 64",
)


@app.callback()
def group() -> None:
    """Keeps `run` a word of the command, though it stands alone."""


Batch = Annotated[str, typer.Option(help="Most requests in flight; several by commas.")]
Spread = Annotated[
    float, typer.Option(help="Standard deviation of both lengths over their means; Gaussian.")
]
Rate = Annotated[
    float | None, typer.Option(help="Poisson arrivals a second; without it the batch is kept full.")
]
Trace = Annotated[
    Path | None,
    typer.Option(help="Recorded requests instead: arrival_s, prompt_tokens, output_tokens."),
]
Budget = Annotated[
    int | None, typer.Option(help="Tokens of a stage, if chunked; 512 if not named.")
]
Plot = Annotated[Path | None, typer.Option(help="Draw the run, of one batch: .png or .svg.")]


@app.command()
def run(
    model: q.Model,
    on: q.On,
    batch: Batch = "64",
    prompt: Annotated[float, typer.Option(help="Mean tokens of a prompt.")] = 1024,
    output: Annotated[float, typer.Option(help="Mean tokens that a request makes.")] = 1024,
    spread: Spread = 0.2,
    requests: Annotated[int, typer.Option(help="How many are served.")] = 1000,
    rate: Rate = None,
    trace: Trace = None,
    scheduler: Annotated[str, typer.Option(help="continuous or chunked.")] = "continuous",
    budget: Budget = None,
    tp: q.Tp = 1,
    dp: q.Dp = None,
    ep: q.Ep = 1,
    pp: q.Pp = 1,
    weights: q.Weights = None,
    detail: Annotated[str, typer.Option(help="Of a stage: bound, tile or cycle.")] = "bound",
    units: q.Units = "",
    seed: Annotated[int, typer.Option(min=0, help="Of drawn requests and the start.")] = 0,
    plot: Plot = None,
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
    from . import serve_shown as shown

    batches = _batches(batch, plot)
    _check(plot, rate, scheduler, budget, batches)
    found, system = q.model_of(model, weights), q.system_of(on)
    split = q.split_on(system, tp, dp, ep, pp)
    asked, closed = _requests(requests, prompt, output, spread, rate, trace, seed)
    serving = _Serving(found, system, split, asked, closed, scheduler, budget or BUDGET, seed)
    runs = serving.runs(batches, detail, units)
    title = f"{found.name} on {on}, tp {split.tp}, dp {split.dp}, ep {split.ep}, pp {split.pp}"
    if plot is not None:
        shown.draw(plot, runs[0].served, title)
    rows = [shown.plain(one) for one in runs]
    if out is not None:
        show.save_json(out, rows)
    if json:
        show.json(rows)
    else:
        paced = "" if rate is None else f", {rate:g} requests/s"
        shown.print_runs(f"{title}, {scheduler}{paced}", rows)


LEAST_RATE, BUDGET = 1e-6, 512


def _check(
    plot: Path | None, rate: float | None, scheduler: str, budget: int | None, batches: list[int]
) -> None:
    """Words that the long run would only stumble over at its end, or never use."""
    if plot is not None and (plot.suffix not in (".png", ".svg") or not plot.parent.is_dir()):
        raise BadInput("must be a .png or .svg in a folder", key="--plot", value=str(plot))
    if rate is not None and not LEAST_RATE <= rate < float("inf"):
        raise BadInput(f"must be a number of at least {LEAST_RATE:g}", key="--rate", value=rate)
    if budget is not None and scheduler != "chunked":
        raise BadInput("goes with --scheduler chunked", key="--budget", value=budget)
    if scheduler == "chunked" and (budget or BUDGET) <= max(batches):
        raise BadInput(
            f"must exceed {max(batches)} requests in flight, or prompts find no room",
            key="--budget",
            value=budget or BUDGET,
        )


class Run(NamedTuple):
    """One batch, the cache's room, and what became of the requests."""

    batch: int
    room: int
    served: Served
    evidence: str


class _Serving(NamedTuple):
    model: MoEModel
    system: System
    split: Parallel
    requests: Requests
    closed: bool
    scheduler: str
    budget: int
    seed: int

    def runs(self, batches: list[int], detail: str, units: str) -> list[Run]:
        """The requests served under each batch, at one price list."""
        from ..simulator.serving import serve
        from ..simulator.serving.details import costs_of
        from ..simulator.serving.estimated import cache_room

        machine = self.model, self.system, self.split
        costs = costs_of(detail, *machine, units=units, seed=self.seed)
        runs = []
        for most in batches:
            room = cache_room(*machine, self.requests, most)
            served = serve(
                self.requests,
                costs,
                most_requests=most,
                kv_tokens=room,
                scheduler=self.scheduler,
                budget=self.budget,
                closed=self.closed,
                stationary=self.closed,
                seed=self.seed,
            )
            runs.append(Run(most, room, served, costs.evidence))
        return runs


def _batches(text: str, plot: Path | None) -> list[int]:
    batches = q.numbers(text, "--batch")
    if min(batches) < 1:
        raise BadInput("must be at least 1", key="--batch", value=text)
    if plot is not None and len(batches) > 1:
        raise BadInput("draws one batch", key="--plot", value=text)
    return batches


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
