"""moesaic sweep: design spaces run, broken off, resumed, and asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..base import BadInput
from . import show, sweep_answers

if TYPE_CHECKING:
    from ..sweeps.design.engine import Where
    from ..sweeps.design.folder import RunFolder
    from ..sweeps.design.locks import Shard

app = typer.Typer(
    no_args_is_help=True,
    help="Design spaces: points, time and disk before it runs; runs that survive; answers in SQL.",
)
app.add_typer(sweep_answers.app)

SpaceFile = Annotated[Path, typer.Argument(metavar="SPACE.toml", help="The space.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")]
Jobs = Annotated[int, typer.Option(min=-1, help="Processes; -1 for all processors.")]
Engine = Annotated[Literal["loky", "dask"], typer.Option(help="Processes here, or a Dask cluster.")]
Scheduler = Annotated[
    str, typer.Option(help="Of --engine dask, such as tcp://head:8786; else local processes.")
]
Part = Annotated[
    str, typer.Option("--shard", metavar="I/N", help="Only the I-th of N parts: for job arrays.")
]
Seed = Annotated[
    int | None, typer.Option(min=0, max=2**31 - 1, help="In place of the space's own.")
]


@app.command()
def plan(
    space: SpaceFile,
    jobs: Jobs = -1,
    seed: Seed = None,
    as_json: show.Json = False,
) -> None:
    """Says what a run would ask and take: points, time, disk, words, objectives. Runs a sample.

    Example: moesaic sweep plan examples/gpu-pim-fpga.toml --jobs 2
    """
    from ..sweeps.design.conflicts import check_not_empty
    from ..sweeps.design.engine import Where
    from ..sweeps.design.folder import seeded
    from ..sweeps.design.forecast import forecast
    from ..sweeps.design.space import load
    from .sweep_shown import plan_facts, show_plan

    loaded = seeded(load(space), seed)
    check_not_empty(loaded)
    where = Where(jobs).checked()
    found = forecast(loaded, where.jobs)
    if as_json:
        show.json(plan_facts(loaded, found, where.jobs))
    else:
        show_plan(loaded, found, where.jobs)


@app.command()
def run(
    space: SpaceFile,
    out: Annotated[Path, typer.Option(help="Folder of the run, made if it is not there.")],
    jobs: Jobs = -1,
    engine: Engine = "loky",
    scheduler: Scheduler = "",
    shard: Part = "",
    seed: Seed = None,
) -> None:
    """Evaluates the points of a space into a folder. The same command goes on where it was broken
    off: by Ctrl-C, a killed worker, a full disk, kill -9.

    Example: moesaic sweep run examples/gpu-pim-fpga.toml --jobs 2 --out runs/a

    Example: moesaic sweep run space.toml --out runs/a --shard 3/64    (then: sweep resume runs/a)

    Example: moesaic sweep run space.toml --out runs/a --engine dask --scheduler tcp://head:8786
    """
    from ..sweeps.design.conflicts import check_not_empty
    from ..sweeps.design.folder import begin, claimed
    from ..sweeps.design.forecast import check_room, forecast
    from .sweep_shown import say_plan

    where = _where(jobs, engine, scheduler)
    part = _shard(shard)
    folder = claimed(out, space, seed)
    if not folder.files("bound"):
        check_not_empty(folder.space)
        expected = forecast(folder.space, where.jobs)
        say_plan(folder.space, expected, part)
        check_room(out, expected.bytes / part.of)
    begin(folder, space)
    _run(folder, where, part)


@app.command()
def resume(
    folder: Folder,
    jobs: Jobs = -1,
    engine: Engine = "loky",
    scheduler: Scheduler = "",
    shard: Part = "",
) -> None:
    """Goes on with a run: computes what has no finished file. After shards: what follows them.

    Example: moesaic sweep resume runs/a --jobs 2
    """
    from ..sweeps.design.folder import opened

    part = _shard(shard)
    _run(opened(folder), _where(jobs, engine, scheduler), part)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT.")],
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="A run, or shards of one in folders.")
    ],
    as_json: show.Json = False,
    csv: Annotated[Path | None, typer.Option(help="Write the answer to this .csv.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the answer to this .parquet, .csv or .json.")
    ] = None,
) -> None:
    """Asks the rows of a run in SQL (DuckDB's): `points` holds all at the bound, `finer` and
    `served` those looked at more closely, `best` each point's most detailed row and its `stage`.

    Example: moesaic sweep query "SELECT point, tpot_s FROM best ORDER BY tpot_s LIMIT 5" runs/a

    Example: moesaic sweep query 'SELECT "on", min(tpot_s) FROM points GROUP BY 1' runs/a --json

    Example: moesaic sweep query "FROM points WHERE status = 'ok'" runs/a runs/b --out ok.parquet
    """
    from ..base.files import check_writable
    from ..sweeps.design.folder import check_outside
    from ..sweeps.design.query import export
    from ..sweeps.design.query import query as asked
    from .sweep_shown import answer_facts, show_answer

    if csv is not None and csv.suffix != ".csv":
        raise BadInput("must end in .csv", key="--csv", value=str(csv))
    for path in filter(None, (csv, out)):
        check_outside(path, report=True)
        check_writable(path)
        if path.suffix != ".json":
            rows = export(folders, sql, path)
            show.say(f"wrote {path}: {rows} rows")
    if out is not None and out.suffix == ".json":
        show.save_json(out, answer_facts(asked(folders, sql)))
    if as_json:
        show.json(answer_facts(asked(folders, sql)))
    elif csv is None and out is None:
        show_answer(asked(folders, sql))


def _where(jobs: int, engine: Literal["loky", "dask"], scheduler: str) -> Where:
    from ..sweeps.design.engine import Where

    return Where(jobs, engine, scheduler).checked()


def _shard(text: str) -> Shard:
    from ..sweeps.design.locks import WHOLE, shard_of

    return shard_of(text) if text else WHOLE


def _run(folder: RunFolder, where: Where, shard: Shard) -> None:
    from ..sweeps.design.run import run as computed
    from .sweep_progress import watched

    again = f"`moesaic sweep resume {folder.path}`"
    try:
        with watched() as progress:
            ended = computed(folder, where, shard=shard, progress=progress)
    except KeyboardInterrupt:
        show.say(f"stopped; what is finished is kept: {again} goes on")
        raise
    if ended:
        show.say(
            f"finished; ask it: moesaic sweep front {folder.path}, moesaic report {folder.path}"
        )
    else:
        show.say(f"shard {shard} is finished; when all of them are: {again}")
