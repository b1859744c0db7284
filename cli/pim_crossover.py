"""moesaic pim crossover: where a GPU, PIM in banks, on the logic die, and both are fastest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..base import BadInput
from . import show


def crossover(
    model: Annotated[str, typer.Option("--model", help="Models by commas: a map for each.")],
    counts: Annotated[
        str,
        typer.Option(
            help="Recorded routing whose skew is kept, FILE or FILE:PART by commas, one for each "
            "model; the last serves the rest. Uniform without."
        ),
    ] = "",
    on: Annotated[str, typer.Option("--on", help="A PIM with its host.")] = "duplex",
    bank: Annotated[str, typer.Option(help="The PIM in banks that stands against it.")] = (
        "bank-pim"
    ),
    most_batch: Annotated[int, typer.Option(help="Tokens of the largest step.")] = 4096,
    steps: Annotated[int, typer.Option(help="Points to a doubling, of both axes.")] = 2,
    draws: Annotated[int, typer.Option(help="Batches drawn for each recorded layer.")] = 2,
    layers: Annotated[int, typer.Option(help="Recorded layers used, spread evenly.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the drawn loads.")] = 0,
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """The fastest processor for a layer's routed experts, by tokens and number of experts, and
    what Duplex gains over it.

    Experts get narrower as they get more, top_k stays. --out writes every point as JSON, or a
    picture where it ends in .png or .svg.

    Example: moesaic pim crossover --model mixtral-8x7b,deepseek-v3,qwen3-235b-a22b --counts
    examples/data/fiddler_mixtral_popularity.json:original,examples/data/olmoe_repo_counts.npz:olmoe1b7b
    --out crossover.png
    """
    from ..base.spec import build
    from ..sweeps.chapters.crossover import Crossover, crossings, plain, table

    asked = {
        "kind": "pim-crossover", "name": "crossover", "title": "", "maps": _maps(model, counts),
        "on": on, "bank": bank, "most_batch": most_batch, "steps": steps, "draws": draws,
        "layers": layers,
    }  # fmt: skip
    found = list(crossings(build(Crossover, asked), seed, Path()))
    data = [plain(one) for one in found]
    if out is not None and out.suffix in (".png", ".svg"):
        from ..sweeps.plots.crossover import region_maps
        from ..sweeps.plots.style import save

        save(region_maps(found), out)
        show.say(f"wrote {out}")
    elif out is not None:
        show.save_json(out, data)
    if json:
        show.json(data)
    else:
        shown = table(found)
        show.table("Routed experts of one layer", shown.columns, shown.rows, shown.note)


def _maps(model: str, counts: str) -> list[dict[str, str]]:
    """Each model with its recording."""
    models, files = model.split(","), counts.split(",") if counts else []
    if len(files) > len(models):
        raise BadInput(f"names {len(files)} files for {len(models)} models", key="--counts")
    files += files[-1:] * (len(models) - len(files))
    maps = [{"model": name} for name in models]
    for one, file in zip(maps, files, strict=False):
        path, colon, part = file.rpartition(":")
        one |= {"counts": path, "part": part} if colon else {"counts": file}
    return maps
