"""Holds every model against every recorded table and writes docs/accuracy.md and README's table.

Rows are predicted by what was learnt without their shape, then without their GPU. Fits are
remembered, so a run that was interrupted goes on where it stopped; each finished table is kept too.
"""

from __future__ import annotations

import argparse
import datetime
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from moesaic.base.files import cache_folder, content_hash, write_text
from moesaic.measured import systems
from moesaic.sweeps.accuracy import ErrorRow
from moesaic.sweeps.accuracy.compare import CROSS_VALIDATED, compare_models

HERE = Path(__file__).parents[2]
KINDS = ("moe", "gemm", "attention")
GPUS = ("h100-sxm", "a100-80gb-sxm", "l40s", "b200-sxm")
BEGIN, END = "<!-- accuracy: written by make accuracy -->", "<!-- end of accuracy -->"
LEARNING = (
    *("boosted", "cases", "families", "fit", "folds", "prediction", "reference"),
    *("rows", "rows_attention", "rows_gemm", "rows_moe", "unseen", "unseen_gpus"),
)
PRICING = ("constants.py", "correction.py", "experts.py", "machine.py", "tiles.py", "trees.py")
PRICING += ("attention*.py", "choice.py", "fitted.py", "gemm*.py")
"""Code that decides the errors: a table is made again where any of it changed."""
SHOWN = ("roofline", "boosted, unseen shapes", "tile, unseen shapes", "tile+trees, unseen shapes")


class Line(msgspec.Struct, frozen=True):
    """The errors of one band of one comparison."""

    kind: str
    gpu: str
    model: str
    row: ErrorRow


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def lines(kind: str, gpu: str, cv: str) -> list[Line]:
    """One table's errors; from the cache where the same code made them before."""
    files = [HERE / "sweeps/accuracy" / f"{name}.py" for name in LEARNING]
    files += [file for name in PRICING for file in sorted((HERE / "simulator/gpu").glob(name))]
    code = b"".join(file.read_bytes() for file in files)
    name = content_hash(f"{kind} {gpu} {cv}".encode() + code)
    kept = cache_folder("accuracy") / f"{name}.json"
    if kept.exists():
        return [read(one) for one in msgspec.json.decode(kept.read_bytes())]
    models = CROSS_VALIDATED[cv] if cv else ("roofline",)
    found = [
        Line(kind, gpu, one.model, row)
        for one in compare_models(kind, gpu, models, cv=cv, tell=tell)
        for row in one.by_band() + one.by_slowdown()
    ]
    write_text(kept, msgspec.json.encode(found).decode())
    return found


def read(kept: dict[str, Any]) -> Line:
    """A line as it was kept; JSON has null for what has no number."""
    row = {key: math.nan if value is None else value for key, value in kept["row"].items()}
    return msgspec.convert({**kept, "row": row}, Line)


def everything() -> Iterator[Line]:
    for kind in KINDS:
        for gpu in GPUS:
            if gpu not in systems(kind):
                continue
            for cv in ("", "shape", "gpu"):
                if cv or kind != "attention":
                    tell(f"== {kind} {gpu} {cv or 'roofline'}")
                    yield from lines(kind, gpu, cv)


def short(row: ErrorRow | None) -> str:
    return f"{row.mape:.1%} ({row.median_ape:.1%})" if row else "-"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def tables(found: list[Line]) -> Iterator[tuple[str, str, dict[tuple[str, str], ErrorRow]]]:
    """Kind, GPU and rows by (model, band) of each recorded table."""
    for kind in KINDS:
        for gpu in GPUS:
            mine = [one for one in found if (one.kind, one.gpu) == (kind, gpu)]
            if mine:
                yield kind, gpu, {(one.model, one.row.band): one.row for one in mine}


def overview(found: list[Line]) -> str:
    """MAPE (median) of each model over all rows of each table."""
    names = ("roofline", "boosted trees", "tile model", "with correction")
    rows = []
    for kind, gpu, mine in tables(found):
        tile = mine["tile, unseen shapes", "all"]
        cells = [short(mine.get((model, "all"))) for model in SHOWN]
        held = (f"{tile.spearman:.3f}", f"{tile.coverage:.0%}")
        rows.append([kind, gpu, f"{tile.rows:,}", *cells, *held])
    return table(["kernels", "GPU", "rows", *names, "Spearman", "in 80% interval"], rows)


def gpus(found: list[Line]) -> str:
    """The tile model on a GPU that no fit saw: kernels that other GPUs ran, and others."""
    rows = []
    for kind, gpu, mine in tables(found):
        cells = []
        for band in ("kernel seen on another GPU", "kernel never seen"):
            row = mine.get(("tile, unseen GPU", band))
            covered = f"{row.coverage:.0%}" if row else "-"
            cells += [f"{row.rows:,}" if row else "0", short(row), covered]
        rows.append([kind, gpu, *cells])
    held = ("MAPE (median)", "in 80%")
    return table(["kernels", "GPU", "seen elsewhere", *held, "never seen", *held], rows)


def bands(found: list[Line]) -> str:
    rows = []
    for one in found:
        row = one.row
        errors = (f"{row.signed:+.1%}", f"{row.mape:.1%}", f"{row.median_ape:.1%}")
        held = (f"{row.spearman:.3f}", f"{row.coverage:.0%}")
        shown = ["-" if "nan" in cell else cell for cell in (*errors, *held)]
        rows.append([one.kind, one.gpu, one.model, row.band, f"{row.rows:,}", *shown])
    held_columns = ("median signed", "MAPE", "median APE", "Spearman", "in 80%")
    return table(["kernels", "GPU", "model", "band", "rows", *held_columns], rows)


PAGE = """# Accuracy

{day}, written by `make accuracy`. Predicted: simulated (the roofline: a bound). Measured:
aiconfigurator-core 0.12.0 (NVIDIA, Apache-2.0), as shipped in `measured/recorded`:
measured-published. Errors are MAPE, with the median absolute percentage error in brackets.

## Unseen shapes

A fold leaves out whole shapes with all their splits, loads and tokens, from every kernel family at
once; five folds. Boosted trees are LightGBM without tuning on the same folds: they see what the
correction sees, and the two sides of the roofline in place of the tile model.

{overview}

## Unseen GPU

Constants fitted on the other three GPUs, and the data sheet of this one. A kernel never seen takes
constants fitted on the other GPUs' kernels of its number format. The interval is that of the
teaching GPUs left out in turn, stretched because they are only two or three.

{gpus}

## By band

{bands}
"""


def page(found: list[Line]) -> str:
    return PAGE.format(
        day=datetime.date.today().isoformat(),
        overview=overview(found),
        gpus=gpus(found),
        bands=bands(found),
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    found = list(everything())
    write_text(HERE / "docs/accuracy.md", page(found))
    readme = HERE / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    write_text(readme, f"{before}{BEGIN}\n{overview(found)}\n{END}{after}")
    print("wrote docs/accuracy.md and README.md")


if __name__ == "__main__":
    main()
