"""moesaic tune survey, tune fit: a kernel's space measured on a GPU, and the model that follows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..base import BadInput
from . import show

if TYPE_CHECKING:
    from ..kernels.library.part import Part, Product
    from ..kernels.prediction.fit import Fit
    from ..kernels.prediction.surveys import Measured, Survey

PARTS = "mixtral-8x7b:64,qwen3-30b-a3b:128,deepseek-v3:1024:8,mixtral-8x7b:2048,mixtral-8x7b:8"
FILE = "survey.parquet"
CONSTANTS = "constants.toml"


def survey(
    parts: Annotated[
        str, typer.Option(help="MODEL:TOKENS or MODEL:TOKENS:RANKS, with commas.")
    ] = PARTS,
    products: Annotated[
        str, typer.Option(help="gate-up, down, or both with a comma.")
    ] = "gate-up,down",
    configs: Annotated[int, typer.Option(min=1, help="Of each product, drawn by chance.")] = 250,
    minutes: Annotated[float, typer.Option(min=0.1, help="After them nothing more is begun.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for survey, constants and plot.")] = Path(
        "survey"
    ),
) -> None:
    """Measures configurations of the grouped GEMM on this machine's GPU, then fits the model anew.

    Each is compiled, executed on the CPU for its counts, checked against float64 on the GPU, and
    timed. Ctrl-C or the end of the time ends it with what was measured.

    Example: moesaic tune survey --minutes 5 --out report/survey
    """  # fmt: skip
    from ..kernels.autotune import catalogue_gpu
    from ..kernels.prediction import surveys
    from ..kernels.runners import local_gpu

    gpu = local_gpu()
    known = catalogue_gpu(gpu.name)
    if known is None:
        raise BadInput("is no GPU of the catalogue; add it to hardware/catalogue", value=gpu.name)
    wanted = {product: _parts(parts, product) for product in _products(products)}
    rows: list[Measured] = []
    try:
        for product, some in wanted.items():
            show.say(f"{product}: {configs} configurations on {len(some)} parts")
            _measure(rows, some, configs, 60 * minutes / len(wanted), seed)
    except KeyboardInterrupt:
        show.say(f"stopped; {len(rows)} measurements are kept")
    about = {
        "kind": "survey",
        "gpu": known.name,
        "device": gpu.name,
        "driver": gpu.driver,
        "date": time.strftime("%Y-%m-%d"),
        "evidence": "measured-here",
    }
    surveys.write(out / FILE, rows, about)
    show.say(f"wrote {out / FILE}: {len(rows)} measurements")
    _fit(surveys.read(out / FILE), out, f"moesaic tune survey --seed {seed}")


def fit(
    name: Annotated[
        str, typer.Argument(metavar="SURVEY", help="A GPU whose survey ships, or a file.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for constants and plot.")] = Path("fit"),
) -> None:
    """Fits the grouped GEMM's model to a survey, and scores it on each part left out.

    Example: moesaic tune fit h100-sxm --out fit
    """
    from ..kernels.prediction import surveys

    shipped = name in surveys.shipped_gpus()
    found = surveys.shipped(name) if shipped else surveys.read(name)
    _fit(found, out, f"moesaic tune fit {name if shipped else Path(name).name}")


def _measure(
    rows: list[Measured], parts: list[Part], configs: int, deadline_s: float, seed: int
) -> None:
    from ..kernels.runners import local_gpu
    from ..kernels.runners.survey import sample
    from ..kernels.runners.survey import survey as measured

    first = parts[0]
    space = sample(first.kernel, first.fixed, local_gpu().arch, configs, seed)
    said = time.monotonic()
    for one in measured(parts, space, deadline_s):
        rows.append(one)
        if time.monotonic() - said > 5:
            show.say(f"{len(rows)} measured; now {one.part.name}")
            said = time.monotonic()


def _fit(survey: Survey, out: Path, command: str) -> None:
    from ..base.files import write_text
    from ..base.spec import dump
    from ..hardware.load import device
    from ..kernels.prediction.fit import fit as fitted
    from ..sweeps.plots.style import save
    from ..sweeps.plots.tuned_gpu import survey_figure

    for step in fitted(survey, device(survey.gpu), command):
        if isinstance(step, str):
            show.say(step)
            continue
        found, predicted = step
        write_text(out / CONSTANTS, dump(found))
        _show(found)
        drawn = survey_figure(survey, predicted, "unseen parts" if found.unseen else "seen")
        for suffix in ("png", "svg"):
            save(drawn, out / f"survey.{suffix}")
        show.say(f"wrote {out / CONSTANTS} and {out / 'survey.png'}")


def _show(found: Fit) -> None:
    rows = [
        [
            one.part,
            str(one.rows),
            f"{one.mape:.1%} ({one.median_ape:.1%})",
            f"{one.spearman:.2f}",
            *(f"{share:.3f}" for share in (one.first, one.first_5, one.first_20)),
        ]
        for one in found.unseen
    ]
    show.table(
        f"Grouped GEMM on {found.gpu}, each part predicted by constants fitted to the others",
        ["part", "rows", "mean error (median)", "rank corr.", "first", "of 5", "of 20"],
        rows,
        "first, of 5, of 20: the best time over the best of so many first choices by prediction. "
        f"80% of measurements lay between {found.low} and {found.high} times the prediction. "
        "Evidence: simulated, held against measurements.",
    )


def _products(words: str) -> list[Product]:
    known: dict[str, Product] = {"gate-up": "gate-up", "down": "down"}
    named = [word.strip() for word in words.split(",")]
    for word in named:
        if word not in known:
            raise BadInput("must be gate-up, down, or both", key="--products", value=word)
    return [known[word] for word in named]


def _parts(words: str, product: Product) -> list[Part]:
    from ..kernels.library.part import part_of
    from ..kernels.prediction.surveys import known_model

    found = []
    for word in words.split(","):
        name, *numbers = word.strip().split(":")
        if not 1 <= len(numbers) <= 2 or not all(number.isdecimal() for number in numbers):
            raise BadInput("must be MODEL:TOKENS or MODEL:TOKENS:RANKS", key="--parts", value=word)
        tokens, ep = (*map(int, numbers), 1)[:2]
        found.append(part_of(known_model(name), product, tokens, ep=ep))
    return found
