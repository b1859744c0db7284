"""moesaic kernel blocks: the thread blocks of a routed-expert layer on the SMs of one GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..base import BadInput
from ..base.units import show as human
from . import question as q
from . import show

if TYPE_CHECKING:
    from ..simulator.gpu import ExpertConstants
    from ..simulator.gpu.routed import ProductRun, RoutedLayer

On = Annotated[str, typer.Option("--on", help="A GPU of the catalogue, or a .toml of one.")]
Batch = Annotated[int, typer.Option("--batch", help="Tokens of the whole expert-parallel group.")]
Skew = Annotated[float, typer.Option(help="0 deals tokens evenly, else a power law's exponent.")]
Kernels = Annotated[
    str, typer.Option(help="Whose kernels: trtllm, sglang or vllm; the first measured by default.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the power law's draw.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Write gate-up's blocks as a Perfetto trace.")
]

SHOWN = {"gate_up": "gate-up", "down": "down"}


def blocks(
    model: q.Model,
    on: On,
    batch: Batch,
    skew: Skew = 0.0,
    tp: q.Tp = 1,
    dp: q.Dp = None,
    ep: q.Ep = 1,
    weights: q.Weights = None,
    kernels: Kernels = "",
    seed: Seed = 0,
    json: show.Json = False,
    out: Out = None,
) -> None:
    """Thread blocks of a routed-expert layer on a GPU's SMs in time, beside the closed form.

    Example: moesaic kernel blocks qwen3-30b-a3b --on h100-sxm --batch 512 --skew 1.2

    Example: moesaic kernel blocks mixtral-8x7b --on h100-sxm --batch 64 --out gate-up.json
    """
    from ..hardware.load import device
    from ..simulator.gpu import Machine
    from ..simulator.gpu.routed import routed_layer, routed_runs

    found, split = q.model_of(model, weights), q.split_of(tp, dp, ep, 1)
    layer = routed_layer(found, split, batch, skew=skew, seed=seed)
    gpu = device(Path(on) if on.endswith(".toml") else on)
    machine = Machine.of(gpu, layer.dtype)
    family, constants = _kernels(gpu.name, layer, kernels)
    products = routed_runs(layer, machine, constants)
    if out is not None:
        products[0].run.save(out)
        show.say(f"wrote {out}; open it in ui.perfetto.dev")
    if json:
        show.json(
            {
                "model": found.name,
                "on": gpu.name,
                "kernels": family,
                "dtype": layer.dtype,
                "batch": batch,
                "skew": skew,
                "seed": seed,
                "loads": layer.loads,
                "products": [_facts(product) for product in products],
                "evidence": "simulated",
            }
        )
        return
    show.table(
        f"{found.name} on {gpu.name}, {family}: {layer.loads.sum()} rows on "
        f"{layer.loads.size} experts (simulated)",
        ("product", "tile", "blocks", "SM slots", "by events", "closed form", "idle SMs",
         "waiting on memory"),
        [_row(product) for product in products],
        "idle: share of the slots' time without a block. waiting: share of the blocks' time by "
        "which memory slows them. closed form: the same product with the same constants.",
    )  # fmt: skip


def _kernels(gpu: str, layer: RoutedLayer, framework: str) -> tuple[str, ExpertConstants]:
    """The family that a framework runs, and its constants."""
    from ..simulator.gpu import ExpertConstants
    from ..simulator.gpu.choice import choose

    words = ("-nongated", "") if layer.gated else ("nongated", "")
    chosen = choose(gpu, "moe", "experts", layer.dtype, framework, words=words)
    if not isinstance(chosen.constants, ExpertConstants):
        raise BadInput("holds no constants of MoE kernels", key=chosen.family)
    return chosen.family, chosen.constants


def _facts(product: ProductRun) -> dict[str, object]:
    run = product.run
    return {
        "product": product.name,
        "tile": product.tile,
        "blocks": run.slot.size,
        "slots": run.slots,
        "seconds": run.seconds,
        "closed_s": product.closed_s,
        "idle_share": run.idle_share,
        "waiting_share": run.waiting_share,
    }


def _row(product: ProductRun) -> tuple[object, ...]:
    run, (high, wide) = product.run, product.tile
    return (
        SHOWN[product.name],
        f"{high} x {wide}",
        run.slot.size,
        run.slots,
        human(run.seconds, "s"),
        human(product.closed_s, "s"),
        f"{run.idle_share:.1%}",
        f"{run.waiting_share:.1%}",
    )
