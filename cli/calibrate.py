"""moesaic calibrate: constants of the tile model from a measured table."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from . import show

app = typer.Typer()


@app.command()
def calibrate(
    on: Annotated[str, typer.Option("--on", help="The GPU that was timed.")],
    out: Annotated[Path, typer.Option("--out", help="The file of constants to write.")],
    table: Annotated[
        Path | None, typer.Argument(help="A table (CSV or Parquet); the shipped one without.")
    ] = None,
    what: Annotated[
        str, typer.Option(help="What the table holds: moe, gemm or attention.")
    ] = "moe",
    trees: Annotated[
        Path | None, typer.Option(help="Also grow a correction and write it here (Parquet).")
    ] = None,
    seed: int = 0,
) -> None:
    """Fits constants for every kernel family and scores them on shapes left out of the fit.

    moesaic calibrate --on h100-sxm --out h100.toml

    moesaic calibrate my_timings.csv --on l40s --out mine.toml

    moesaic calibrate my_timings.csv --on l40s --out mine.toml --trees mine.parquet

    moesaic calibrate my_gemms.csv --what gemm --on l40s --out mine.toml
    """
    from ..base import BadInput, unknown
    from ..base.files import write_text
    from ..base.spec import dump
    from ..hardware.load import device
    from ..measured import import_table, load
    from ..simulator.gpu.trees import save
    from ..sweeps.accuracy.calibrate import calibrate as run
    from ..sweeps.accuracy.calibrate import correction
    from ..sweeps.accuracy.families import FAMILIES

    gpu = device(on)
    if seed < 0:
        raise BadInput("must not be negative", key="--seed", value=seed)
    if trees is not None and trees.resolve() == out.resolve():
        raise BadInput("must be another file than --out", key="--trees", value=trees)
    for file in filter(None, (out, trees)):
        if file.is_dir() or not file.parent.is_dir():
            raise BadInput("must name a file in a folder that exists", file=file)
    if what not in FAMILIES:
        raise unknown("kind of table with a tile model", what, FAMILIES, key="--what")
    rows = load(what, on) if table is None else import_table(table, what, on)
    words = ["moesaic", "calibrate", *([table.name] if table else []), "--what", what, "--on", on]
    command = shlex.join([*words, "--out", out.name, "--seed", str(seed)])
    fitted = run(rows, gpu, command=command, seed=seed, tell=show.say)
    write_text(out, dump(fitted))
    count = len(fitted.family)
    show.say(f"wrote {out}: {count} kernel {'family' if count == 1 else 'families'}")
    if trees is not None:
        save(correction(rows, gpu, fitted, seed), trees)
        show.say(f"wrote {trees}")
