"""moesaic trace: recorded routing shown, brought into our format, or drawn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import show

if TYPE_CHECKING:
    from ..workload import RoutingCounts, RoutingTrace

app = typer.Typer(no_args_is_help=True, help="Routing traces: show, import, make.")

RANKS = (4, 8)
MOST_WINDOWS = 24
"""A recording of a thousand steps is no table to read."""
File = Annotated[
    Path, typer.Argument(help="A trace, a table of counts, or the folder of a recording.")
]
TopK = Annotated[
    int | None,
    typer.Option(
        "--top-k", help="Experts a token takes; router logits and SGLang answers need it."
    ),
]
Part = Annotated[
    str | None, typer.Option("--part", help="Which model, where the file holds several.")
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="The model that ran: tells experts, top-k and layers."),
]
Experts = Annotated[
    int | None, typer.Option("--experts", help="Experts of a layer, where the file is silent.")
]
MoeLayers = Annotated[
    str | None,
    typer.Option(
        "--moe-layers", help="Absolute numbers of the MoE layers, as 3-60 or 1,3,5; or a choice."
    ),
]
HiddenLayers = Annotated[
    int | None, typer.Option("--hidden-layers", help="All layers of the model, dense ones too.")
]
Form = Annotated[
    str | None, typer.Option("--format", help="The format, where content does not decide.")
]


@app.command("show")
def show_(
    file: File,
    part: Part = None,
    top_k: TopK = None,
    model: Model = None,
    experts: Experts = None,
    moe_layers: MoeLayers = None,
    hidden_layers: HiddenLayers = None,
    form: Form = None,
    json: show.Json = False,
) -> None:
    """What a routing says: loads, imbalance by domain, affinity of layers against its null.

    Example: moesaic trace show examples/data/tiny_mixtral_E16k2_seed0.npz
    Example: moesaic trace show examples/data/olmoe_repo_counts.npz --part olmoe1b7b --json
    """
    from ..workload import RoutingTrace, readers

    asked = _asked(model, top_k, experts, moe_layers, hidden_layers, form)
    if part is None:
        parts = readers.load_parts(file, **asked)
    else:
        parts = {part: readers.load(file, part=part, **asked)}
    told = {
        name: _trace(routing) if isinstance(routing, RoutingTrace) else _counts(routing)
        for name, routing in parts.items()
    }
    if json:
        show.json(next(iter(told.values())) if len(told) == 1 else told)
        return
    for facts in told.values():
        _print(facts)


@app.command("import")
def import_(
    file: File,
    out: Annotated[
        Path, typer.Option("--out", help="The file to write: .parquet for tokens, .npz for counts.")
    ],
    part: Part = None,
    top_k: TopK = None,
    model: Model = None,
    experts: Experts = None,
    moe_layers: MoeLayers = None,
    hidden_layers: HiddenLayers = None,
    form: Form = None,
) -> None:
    """Brings a recording of any format that is read here into ours; says what was assumed.

    A trace of tokens becomes Parquet, counts become .npz.

    Example: moesaic trace import logits.npz --top-k 2 --out trace.parquet
    Example: moesaic trace import recorder-folder/ --out trace.parquet
    Example: moesaic trace import load.json --moe-layers 3-60 --out counts.npz
    """
    from ..base import BadInput
    from ..workload import RoutingTrace, readers

    asked = _asked(model, top_k, experts, moe_layers, hidden_layers, form)
    routing = readers.load(file, part=part, **asked)
    if isinstance(routing, RoutingTrace):
        if out.suffix == ".npz":
            raise BadInput("a trace of tokens is written as Parquet; name a .parquet", file=out)
        readers.write_parquet_trace(routing, out)
        size = f"{routing.tokens} tokens"
    elif out.suffix == ".npz":
        readers.write_counts(routing, out)
        size = f"{len(routing.loads)} windows of counts"
    else:
        raise BadInput(
            "holds counts, where Parquet takes a token-level trace; name a .npz", file=file
        )
    show.say(f"wrote {out}: {size}, {len(routing.layers)} layers, from {routing.source}")


@app.command("make")
def make(
    experts: Annotated[int, typer.Option("--experts", help="Experts of each layer.")],
    top_k: Annotated[int, typer.Option("--top-k", help="Experts a token takes.")],
    out: Annotated[Path, typer.Option("--out", help="The Parquet file to write.")],
    tokens: Annotated[int, typer.Option("--tokens", help="Tokens to draw.")] = 10_000,
    layers: Annotated[int, typer.Option("--layers", help="MoE layers.")] = 1,
    zipf: Annotated[float, typer.Option("--zipf", help="Exponent; 0 is uniform.")] = 0.0,
    affinity: Annotated[
        float | None,
        typer.Option("--affinity", help="Tokens about topics: layers tell of each other."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the draw.")] = 0,
) -> None:
    """Draws a trace: experts of Zipf popularity, independent tokens and layers; or, with an
    affinity, tokens about topics, whose experts of one layer tell of those of the next.

    Example: moesaic trace make --experts 64 --top-k 8 --layers 16 --zipf 0.8 --out z.parquet
    """
    from ..base import BadInput
    from ..workload import readers, synthetic

    if seed < 0:
        raise BadInput("must not be negative", key="seed", value=seed)
    if affinity is not None and zipf:
        raise BadInput("goes without --affinity, which has a popularity of its own", key="--zipf")
    if affinity is None:
        trace = synthetic.zipf(experts, top_k, tokens, layers, zipf, seed)
    else:
        trace = synthetic.topical(experts, top_k, tokens, layers, affinity, seed)
    readers.write_parquet_trace(trace, out)
    show.say(f"wrote {out}: {trace.tokens} tokens, {layers} layers")


def _asked(
    model: str | None,
    top_k: int | None,
    experts: int | None,
    moe_layers: str | None,
    hidden_layers: int | None,
    form: str | None,
) -> dict[str, Any]:
    """What the user tells of a file, by the names that the readers use; a model fills the gaps."""
    layers = None if moe_layers is None else _numbers(moe_layers)
    if model is not None:
        from ..workload import load

        ran = load.model(model)
        experts = ran.experts.count if experts is None else experts
        layers = ran.moe_layers if layers is None else layers
        hidden_layers = len(ran.layers) if hidden_layers is None else hidden_layers
        top_k = ran.experts.top_k if top_k is None else top_k
    return {
        "top_k": top_k,
        "experts": experts,
        "layers": layers,
        "hidden_layers": hidden_layers,
        "form": form,
    }


def _numbers(text: str) -> tuple[int, ...]:
    """`3-5,8` -> (3, 4, 5, 8)."""
    from ..base import BadInput

    numbers: list[int] = []
    for run in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})(?:-(\d{1,5}))?\s*", run)
        if match is None:
            raise BadInput(
                "must be numbers and runs, as 3-60 or 1,3,5", key="--moe-layers", value=text
            )
        numbers += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(numbers)


def _loads(loads: Any) -> dict[str, Any]:
    """Busiest over mean, by expert and by rank, from `[layers, experts]`: mean and worst layer."""
    from ..workload import statistics

    tables = {"expert": loads} | {
        f"ep{ranks}": statistics.rank_loads(loads, ranks)
        for ranks in RANKS
        if ranks <= loads.shape[1]
    }
    shares = {name: statistics.imbalance(table) for name, table in tables.items()}
    return {name: {"mean": share.mean(), "worst": share.max()} for name, share in shares.items()}


def _trace(trace: RoutingTrace) -> dict[str, Any]:
    from ..workload import statistics

    windows = {}
    if trace.domain is not None and trace.domain.min() >= 0:
        names = dict(enumerate(trace.domain_names))
        for domain in sorted(set(trace.domain.tolist())):
            part = trace.select(trace.domain == domain)
            windows[names.get(domain, str(domain))] = _loads(part.counts().total())
    several = len(trace.layers) > 1
    return {
        "kind": "trace",
        "source": trace.source,
        "tokens": trace.tokens,
        "layers": trace.layers,
        "experts": trace.experts,
        "top_k": trace.top_k,
        "imbalance": _loads(trace.counts().total()),
        "imbalance_by_window": windows,
        "affinity": statistics.affinity(trace) if several else None,
        "repetition": statistics.repetition(trace).mean() if trace.tokens > 1 else None,
    }


def _counts(counts: RoutingCounts) -> dict[str, Any]:
    names = counts.names or tuple(map(str, range(len(counts.loads))))
    return {
        "kind": "counts",
        "source": counts.source,
        "layers": counts.layers,
        "experts": counts.experts,
        "imbalance": _loads(counts.total()),
        "imbalance_by_window": {
            name: _loads(loads) for name, loads in zip(names, counts.loads, strict=True)
        },
        "pairs": counts.pairs,
    }


def _print(facts: dict[str, Any]) -> None:
    tokens = f"{facts['tokens']} tokens, " if "tokens" in facts else ""
    choice = f", top-{facts['top_k']}" if "top_k" in facts else ""
    kinds = list(facts["imbalance"])
    windows = facts["imbalance_by_window"]
    rows = {"all": facts["imbalance"]} | (windows if len(windows) <= MOST_WINDOWS else {})
    show.table(
        f"{facts['source']}: {facts['kind']}, {tokens}{len(facts['layers'])} layers, "
        f"{facts['experts']} experts{choice}. Busiest over mean load, mean of layers (worst)",
        ["window", *kinds],
        [
            [name, *(f"{row[kind]['mean']:.2f} ({row[kind]['worst']:.2f})" for kind in kinds)]
            for name, row in rows.items()
        ],
        note="ep4, ep8: ranks that hold experts in order"
        + (f"; --json shows all {len(windows)} windows" if len(windows) > MOST_WINDOWS else ""),
    )
    if affinity := facts.get("affinity"):
        show.table(
            "next layer's first choice, guessed from this layer's",
            ["from the layer before", "from popularity", "shuffled null", "information (bits)"],
            [
                [
                    f"{affinity.conditional:.3f}",
                    f"{affinity.marginal:.3f}",
                    f"{affinity.shuffled:.3f}",
                    f"{affinity.information_bits:.3f} of {affinity.entropy_bits:.2f}",
                ]
            ],
            note="what counts is the gain over the shuffled null"
            + (
                f"; an expert is active again at the next token: {facts['repetition']:.3f}"
                if facts["repetition"] is not None
                else ""
            ),
        )
