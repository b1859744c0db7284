"""The words of `moesaic place`: its options, and the problem that they pose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..base import BadInput
from . import show
from .question import system_of

if TYPE_CHECKING:
    from ..hardware import System
    from ..placement import Problem, Weights
    from ..sweeps.placements import Served
    from ..workload import RoutingCounts, RoutingTrace

Trace = Annotated[Path, typer.Argument(help="A routing trace or expert counts.")]
On = Annotated[str, typer.Option("--on", help="The machine: a name or a TOML file.")]
Part = Annotated[str | None, typer.Option("--part", help="Which routing of a file with several.")]
Ranks = Annotated[
    int | None,
    typer.Option("--ranks", help="Expert-parallel ranks; the machine's devices if not given."),
]
Slots = Annotated[
    int | None, typer.Option("--slots", help="Experts that a rank holds; more than fit: copies.")
]
Cap = Annotated[
    float | None, typer.Option("--cap", help="Largest rank load, as a multiple of the mean.")
]
RelaxCap = Annotated[
    bool, typer.Option("--relax-cap", help="Raise the cap where balancing alone cannot keep it.")
]
NodeCost = Annotated[
    float, typer.Option("--node-cost", help="A hop to another node; one inside it costs 1.")
]
Touched = Annotated[
    int | None,
    typer.Option("--touched", help="Balance experts touched by steps of so many tokens."),
]
Price = Annotated[str, typer.Option("--price", help="What joint weighs: hops=1,fan-out=0,moves=0.")]
Current = Annotated[
    Path | None, typer.Option("--current", help="The placement file in force, to move few experts.")
]
Moves = Annotated[
    int | None, typer.Option("--moves", help="Most experts that may come to a new rank.")
]
TimeLimit = Annotated[
    float, typer.Option("--time-limit", help="Seconds for a method that searches.")
]
BoundTime = Annotated[
    float, typer.Option("--bound-time", help="Seconds for a tighter bound on hops.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of a method that draws.")]
FormatName = Annotated[
    str | None, typer.Option("--format", help="The engine's file format; else by its ending.")
]
ModelLayers = Annotated[
    int | None, typer.Option("--model-layers", help="Hidden layers of the model, for the file.")
]
Model = Annotated[
    str | None, typer.Option("--model", help="Times steps of this model: seconds beside counts.")
]
Batch = Annotated[int, typer.Option("--batch", help="Decoding requests of a timed step.")]
Context = Annotated[int, typer.Option("--context", help="Tokens that each of them has cached.")]
Detail = Annotated[str, typer.Option("--detail", help="How steps are timed: bound or tile.")]
Learn = Annotated[
    Literal["half", "all"],
    typer.Option("--learn", help="half: every other request is kept for scoring."),
]


class Pose:
    """The words of the command line, ready to make a problem of any part of a routing."""

    def __init__(
        self,
        on: str,
        ranks: int | None,
        slots: int | None,
        cap: float | None,
        node_cost: float,
        touched: int | None,
        price: str,
        current: Path | None,
        moves: int | None,
        model: str | None = None,
    ) -> None:
        self.machine = system_of(on)
        self.ranks = len(self.machine.devices) if ranks is None else ranks
        if self.ranks > len(self.machine.devices):
            raise BadInput(
                f"{self.machine.name} has {len(self.machine.devices)} devices",
                key="--ranks",
                value=ranks,
            )
        self.slots, self.cap, self.node_cost, self.touched = slots, cap, node_cost, touched
        self.weights, self.current, self.moves = _weights(price), current, moves
        self.expert_bytes = None if model is None else _expert_bytes(model)

    def __call__(self, routing: RoutingTrace | RoutingCounts) -> Problem:
        from ..placement import Problem, formats

        loaded, slots = None, self.slots
        if self.current is not None:
            loaded, _ = formats.read(
                self.current, layers=routing.layers, experts=routing.experts, ranks=self.ranks
            )
            slots = loaded.slots.shape[1] // self.ranks if slots is None else slots
        return Problem.of(
            routing,
            self.ranks,
            slots_per_rank=slots,
            cap=self.cap,
            system=self.machine,
            node_cost=self.node_cost,
            batch=self.touched,
            current=loaded,
            most_moves=self.moves,
            expert_bytes=self.expert_bytes,
            weights=self.weights,
        )


def _expert_bytes(model: str) -> float:
    """Weights of one routed expert of one layer."""
    from ..workload.load import model as named
    from ..workload.parameters import parameter_bytes

    shape = named(model)
    return parameter_bytes(shape)["routed"] / (len(shape.moe_layers) * shape.experts.count)


def _weights(price: str) -> Weights:
    """'hops=1,fan-out=0.5' as weights; what is not named counts nothing."""
    from ..base import unknown
    from ..placement import Weights

    given = {"hops": 0.0, "fan_out": 0.0, "moves": 0.0}
    for word in price.split(","):
        name, _, number = (text.strip() for text in word.partition("="))
        key = name.replace("-", "_")
        if key not in given:
            raise unknown("price", name, ["hops", "fan-out", "moves"], key="--price")
        try:
            given[key] = float(number)
        except ValueError:
            raise BadInput(
                "needs NAME=NUMBER by commas, such as hops=1,fan-out=0.5", key="--price", value=word
            ) from None
        if not 0 <= given[key] < float("inf"):
            raise BadInput("must be a number, 0 or more", key="--price", value=word)
    if not any(given.values()):
        raise BadInput("weighs nothing; give at least one number above 0", key="--price")
    return Weights(**given)


def routing_of(trace: Path, part: str | None, *, tokens: bool = False) -> Any:
    """The routing of a file; with `tokens` a trace, since half of its requests are kept back."""
    from ..workload import RoutingTrace
    from ..workload.readers.detect import load

    routing = load(trace, part=part)
    if tokens and not isinstance(routing, RoutingTrace):
        raise BadInput("holds counts; comparing methods needs tokens", file=trace)
    return routing


def split(routing: Any, learn: str) -> tuple[Any, Any]:
    """(what is learnt from, what is kept for scoring or None)."""
    from ..sweeps.placements import halves, windows
    from ..workload import RoutingTrace

    if learn == "all":
        return routing, None
    if isinstance(routing, RoutingTrace):
        return halves(routing)
    if len(routing.loads) < 2:
        show.say("one window of counts: all of it is learnt from, none is kept for scoring")
        return routing, None
    return windows(routing)


def served(
    model: str | None, machine: System, batch: int, context: int, detail: str
) -> Served | None:
    from ..sweeps.placements import Served
    from ..workload.load import model as named

    if model is None:
        return None
    return Served(model=named(model), system=machine, batch=batch, context=context, detail=detail)
