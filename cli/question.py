"""The words that estimate, simulate and place share: a model on a machine, split, with a load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..base import BadInput

if TYPE_CHECKING:
    from ..hardware import System
    from ..workload import MoEModel, Parallel

Model = Annotated[str, typer.Argument(help="A bundled model, or the path of a config.json.")]
On = Annotated[
    str, typer.Option("--on", help="A machine: a system or device of the catalogue, or a .toml.")
]
Tp = Annotated[int, typer.Option("--tp", help="Tensor parallelism inside a replica.")]
Dp = Annotated[
    int | None,
    typer.Option("--dp", help="Replicas of the attention; as many as --ep needs by default."),
]
Ep = Annotated[int, typer.Option("--ep", help="Groups that the experts are spread over.")]
Pp = Annotated[int, typer.Option("--pp", help="Pipeline stages.")]
Batch = Annotated[str, typer.Option(help="Decoding requests: one number, or several by commas.")]
Context = Annotated[int, typer.Option(help="Tokens that each decoding request has cached.")]
Prefill = Annotated[int, typer.Option(help="Prompt tokens computed in the step.")]
IgnoreCapacity = Annotated[
    bool, typer.Option("--ignore-capacity", help="Estimate even what does not fit in memory.")
]
Detail = Annotated[str, typer.Option(help="How closely to look: bound, tile or cycle.")]
Kernels = Annotated[
    str, typer.Option(help="Whose kernels run, at detail tile: trtllm, sglang or vllm.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of drawn routing, at detail cycle.")]
Units = Annotated[
    str,
    typer.Option(
        help="Who works at detail cycle: xpu, or with its PIM one-unit, rule, spaces or exact."
    ),
]
Weights = Annotated[
    str | None, typer.Option(help="Number format of all weights, such as fp8 or int4.")
]

MemoryMap = Annotated[
    str | None,
    typer.Option(
        help="Simulate the memory under this address map, such as line-hashed, or its own: "
        "bandwidth times the share that experts, caches and activations reach."
    ),
]
MemoryQueue = Annotated[
    int | None, typer.Option(help="Entries of the memory's queues, with --memory-map.")
]


def numbers(text: str, key: str) -> list[int]:
    """'1,16,64' as whole numbers that are not negative."""
    try:
        values = [int(word) for word in text.split(",")]
    except ValueError:
        raise BadInput(
            "needs whole numbers by commas, such as 1,16,64", key=key, value=text
        ) from None
    if min(values) < 0:
        raise BadInput("must not be negative", key=key, value=text)
    return values


def model_of(name: str, weights: str | None) -> MoEModel:
    """The model, with its weights in another number format if one is named."""
    from ..sweeps.chapters.question import with_weights
    from ..workload.load import model

    return with_weights(model(name), weights)


def split_of(tp: int, dp: int | None, ep: int, pp: int) -> Parallel:
    """The degrees, checked. Experts spread over more devices than a replica has are the rule of
    data-parallel attention, so dp follows from ep where it is not given."""
    from ..workload import Parallel

    if dp is None:
        dp = max(1, ep // tp) if tp > 0 else 1

    for key, value in (("--tp", tp), ("--dp", dp), ("--ep", ep), ("--pp", pp)):
        if value < 1:
            raise BadInput("must be at least 1", key=key, value=value)
    try:
        return Parallel(tp=tp, dp=dp, ep=ep, pp=pp)
    except ValueError as fault:
        raise BadInput(str(fault)) from None


def system_of(name: str) -> System:
    """The machine of that name, or in that file."""
    from ..hardware.load import system

    return system(Path(name) if name.endswith(".toml") else name)


def split_on(system: System, tp: int, dp: int | None, ep: int, pp: int) -> Parallel:
    """The degrees asked for; where none is, the whole machine: tensor parallelism inside a node,
    experts split there too, and a replica of the attention on each node."""
    from . import show

    node = system.tiers[0].size if system.tiers else 1
    if (tp, dp, ep, pp) == (1, None, 1, 1) and len(system.devices) > 1:
        tp = node
        dp = ep = len(system.devices) // node
        show.say(f"on the whole machine: --tp {tp} --dp {dp} --ep {ep}")
    return split_of(tp, dp, ep, pp)
