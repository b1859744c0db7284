"""moesaic estimate: the time of a step, what limits it, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from ..base.units import show as human
from . import question as q
from . import show

if TYPE_CHECKING:
    from pathlib import Path

    from ..hardware import System
    from ..roofline import Efficiency, Estimate
    from ..workload import MoEModel

app = typer.Typer()


@app.command()
def estimate(
    model: q.Model,
    on: q.On,
    batch: q.Batch = "0",
    context: q.Context = 0,
    prefill: q.Prefill = 0,
    tp: q.Tp = 1,
    dp: q.Dp = None,
    ep: q.Ep = 1,
    pp: q.Pp = 1,
    detail: q.Detail = "bound",
    kernels: q.Kernels = "",
    units: q.Units = "",
    seed: q.Seed = 0,
    weights: q.Weights = None,
    memory_map: q.MemoryMap = None,
    memory_queue: q.MemoryQueue = None,
    why: Annotated[bool, typer.Option("--why", help="Where the time goes, term by term.")] = False,
    ignore_capacity: q.IgnoreCapacity = False,
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """The time of one forward pass on a machine, its limiter, and with --why every term of it.

    A step decodes --batch requests of --context cached tokens and computes --prefill prompt
    tokens. Numbers are marked with their evidence: a bound, or simulated.

    moesaic estimate mixtral-8x7b --on dgx-h100 --tp 2 --batch 1,16 --memory-map line-hashed

    moesaic estimate mixtral-8x7b --on duplex-4 --batch 32,64 --context 2048 --detail cycle --why
    """
    from ..simulator import estimate as ask
    from ..workload import make_step

    found, system = q.model_of(model, weights), q.system_of(on)
    degrees = tp, dp, ep, pp
    split = q.split_on(system, *degrees) if detail == "cycle" else q.split_of(*degrees)
    efficiency = _efficiency(found, system, memory_map, memory_queue)
    prefill = prefill or (found.image_tokens or 0) * (batch == "0")

    def priced(requests: int) -> Estimate:
        if not requests and not prefill:
            raise BadInput("computes no token: give --batch or --prefill")
        return ask(
            found,
            make_step(found, batch=requests, context=context, prefill=prefill),
            system,
            parallel=split,
            detail=detail,
            efficiency=efficiency,
            kernels=kernels,
            units=units,
            seed=seed,
            ignore_capacity=ignore_capacity,
        )

    results = _each(q.numbers(batch, "--batch"), priced)
    _save([_plain(found, on, requests, result) for requests, result in results], out, json)
    if not json:
        _print(found, on, f"context {context}, prefill {prefill}", results, why)


def _save(data: list[dict[str, Any]], out: Path | None, json: bool) -> None:
    if out is not None:
        show.save_json(out, data)
    if json:
        show.json(data)


def _efficiency(
    model: MoEModel, system: System, memory_map: str | None, queue: int | None
) -> Efficiency | None:
    """Simulated shares of the memory's peak, said aloud; None where no map is named."""
    if memory_map is None:
        if queue is not None:
            raise BadInput("goes with --memory-map", key="--memory-queue")
        return None
    from ..base.spec import build
    from ..simulator.memory import Controller, system_efficiency

    entries = {} if queue is None else {"read_queue": queue, "write_queue": queue}
    controller = build(Controller, entries)
    name = "" if memory_map == "own" else memory_map
    found = system_efficiency(system, model, controller, map_name=name)
    shares = ", ".join(f"{kind} {getattr(found, kind):.1%}" for kind in ("weights", "kv"))
    show.say(
        f"memory simulated, map {memory_map}, queues of {controller.read_queue}: {shares}, "
        f"activations {found.activations:.1%} of peak bandwidth"
    )
    return found


def _each(batches: list[int], priced: Callable[[int], Estimate]) -> list[tuple[int, Estimate]]:
    """Estimates of several batches; one that does not fit leaves the others' answers standing."""
    results: list[tuple[int, Estimate]] = []
    for requests in batches:
        try:
            results.append((requests, priced(requests)))
        except BadInput as fault:
            if requests == batches[-1] and not results:
                raise
            show.say(f"batch {requests} left out: {fault}")
    return results


def _plain(model: MoEModel, on: str, requests: int, result: Estimate) -> dict[str, Any]:
    return {
        "model": model.name,
        "on": on,
        "batch": requests,
        "seconds": result.seconds,
        "tokens_per_s": result.tokens_per_s,
        "limiter": result.limiter,
        "energy_j": result.energy_j,
        "evidence": result.evidence,
        "why": result.why,
        "kernels": result.kernels,
        "interval_s": result.interval_s,
    }


def _print(
    model: MoEModel, on: str, load: str, results: list[tuple[int, Estimate]], why: bool
) -> None:
    rows = [
        [
            requests,
            _sure(result),
            human(result.tokens_per_s, "token/s"),
            "-" if result.energy_j is None else human(result.energy_j, "J"),
            result.limiter,
            result.evidence,
        ]
        for requests, result in results
    ]
    columns = ["batch", "step", "throughput", "energy", "limiter", "evidence"]
    show.table(f"{model.name} on {on}, {load}", columns, rows)
    for part, family in results[0][1].kernels.items():
        show.say(f"{part}: priced as {family}")
    if not why:
        return
    names = list(dict.fromkeys(name for _, result in results for name in result.why))
    terms = [
        [name, *(_term(result.why.get(name, 0.0), result.seconds) for _, result in results)]
        for name in names
    ]
    terms.append(["sum", *(human(result.seconds, "s") for _, result in results)])
    show.table("Why", ["part: resource", *(f"batch {n}" for n, _ in results)], terms)


def _sure(result: Estimate) -> str:
    """The seconds, with the 80% interval where the detail knows one."""
    if result.interval_s is None:
        return human(result.seconds, "s")
    low, high = result.interval_s
    return f"{human(result.seconds, 's')} ({human(low, 's')} to {human(high, 's')})"


def _term(seconds: float, total: float) -> str:
    return f"{human(seconds, 's')} ({seconds / total:.0%})" if seconds else "-"
