"""moesaic tune run: a kernel tuned for a model's batch, on this machine or on paper."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..base import BadInput, unknown
from . import show

if TYPE_CHECKING:
    from ..kernels.autotune import Work
    from ..kernels.search.runner import Trial

CPU_KERNEL = "experts-cpu"
JOURNAL, RESULTS = "journal.jsonl", "t4.json"


Kernel = Annotated[
    str, typer.Argument(help="grouped-gemm, decode (on a GPU), or experts-cpu (on this CPU).")
]
Model = Annotated[str, typer.Option(help="A bundled model, or the path of a config.json.")]
Tokens = Annotated[int, typer.Option(min=1, help="In the layer, of all ranks together.")]
On = Annotated[
    str, typer.Option("--on", help="local measures; a GPU of the catalogue is predicted.")
]
Budget = Annotated[int, typer.Option(min=1, help="Different configurations to try.")]
Matrices = Annotated[
    Literal["gate-up", "down"], typer.Option(help="Of a GPU: which matrices of the experts.")
]
Ranks = Annotated[int, typer.Option(min=1, help="Ranks that the experts are spread over.")]
By = Annotated[
    str,
    typer.Option(
        help="guided, random, ga, bo, transfer, model. Default: guided; model if only predicted."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Of the routing, the numbers and the search.")]
Folder = Annotated[
    Path | None,
    typer.Option(help="Folder for t4.json and the journal: the same command goes on there."),
]


def run(
    kernel: Kernel,
    model: Model = "",
    tokens: Tokens = 64,
    on: On = "local",
    budget: Budget = 20,
    product: Matrices = "gate-up",
    ep: Ranks = 1,
    strategy: By = "",
    seed: Seed = 0,
    as_json: show.Json = False,
    out: Folder = None,
) -> None:
    """Ranks all configurations by prediction, tries a few, learns from each, and names the best.

    On `local` each one is compiled, checked against float64 and timed, in a process of its own.
    Elsewhere it is compiled, executed on the CPU for its counts, and predicted.

    Example: moesaic tune run grouped-gemm --model mixtral-8x7b --tokens 64 --on h100-sxm

    Example: moesaic tune run grouped-gemm --model mixtral-8x7b --on local --budget 25 --out tuned

    Example: moesaic tune run experts-cpu --budget 30
    """
    from ..kernels.search import t4, tune
    from .tune_run_shown import run_facts, show_run

    if out is not None and out.exists() and not out.is_dir():
        raise BadInput("is a file; name a folder", key="--out", value=out)
    with _opened(kernel, model, tokens, on, product, ep, seed) as work:
        chosen = strategy or work.strategy
        if chosen == "model":
            work.expect_ranking(budget)
        done = tune(
            work.runner,
            chosen,
            budget,
            seed,
            predicted=work.predicted,
            teachers=work.teachers,
            journal=out / JOURNAL if out else None,
            watch=_watch(budget),
        )
        if not done.trials:
            raise KeyboardInterrupt
        if out:
            show.save_json(out / RESULTS, t4(done))
        ran = any(trial.status == "ok" for trial in done.trials)
        finals = work.finals(done) if ran and not done.stopped else None
    if as_json:
        show.json(run_facts(done, work, finals))
    else:
        show_run(done, work, finals)
    if done.stopped:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _opened(
    kernel: str,
    model: str,
    tokens: int,
    on: str,
    product: Literal["gate-up", "down"],
    ep: int,
    seed: int,
) -> Iterator[Work]:
    from ..kernels.autotune import on_cpu, on_gpu
    from ..kernels.library.part import TUNED
    from ..workload.load import model as load_model

    named = kernel.replace("_", "-")
    if named not in (*TUNED, CPU_KERNEL):
        raise unknown("kernel with a space to search", kernel, (*TUNED, CPU_KERNEL))
    known = load_model(model) if model else None
    if named == CPU_KERNEL:
        if on != "local":
            raise BadInput("runs on the processor of this machine: local", key="--on", value=on)
        work = on_cpu(known, tokens, seed=seed)
    elif known is None:
        raise BadInput("name a model, such as mixtral-8x7b", key="--model")
    else:
        work = on_gpu(named, known, product, tokens, on, ep=ep, seed=seed)
    try:
        yield work
    finally:
        work.close()


def _watch(budget: int) -> Callable[[Trial], None]:
    """A line for each trial on the error stream."""
    count, best = 0, float("inf")

    def watch(trial: Trial) -> None:
        nonlocal count, best
        count, best = count + 1, min(best, trial.seconds)
        became = f"{1e6 * trial.seconds:.1f} us" if trial.status == "ok" else trial.status
        so_far = f"best {1e6 * best:.1f} us" if best < float("inf") else "none ran yet"
        show.say(f"{count} of {budget}: {became}, {so_far}")

    return watch
