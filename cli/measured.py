"""moesaic measured: published tables, and the import of a table of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import show

app = typer.Typer(
    no_args_is_help=True,
    help="Measured tables: what ships, and tables of your own.\n\n"
    "Example: moesaic measured list\n\n"
    "Example: moesaic measured import mine.csv --kind moe --on h100-sxm --out mine.parquet",
)


@app.command("list")
def list_(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="A folder of imported tables of your own.")
    ] = None,
    json: show.Json = False,
) -> None:
    """List the tables with their rows and sources.

    Example: moesaic measured list --json
    """
    from ..measured.tables import labels

    rows = labels(folder)
    if json:
        show.json(rows)
        return
    columns = ("kind", "system", "rows", "evidence", "version", "source")
    show.table("measured", columns, [[row.get(column, "") for column in columns] for row in rows])


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A table: .csv, .csv.gz or .parquet.")],
    kind: Annotated[
        str, typer.Option("--kind", help="moe, gemm, attention, power, comm or serving.")
    ],
    on: Annotated[str, typer.Option("--on", help="The device that was timed.")],
    out: Annotated[Path, typer.Option("--out", help="The Parquet file to write.")],
    source: Annotated[str, typer.Option("--source", help="Where the table comes from.")] = "",
    licence: Annotated[str, typer.Option("--licence", help="The licence of the table.")] = "",
) -> None:
    """Check a table of your own against the schema of its kind and write it as Parquet.

    Example: moesaic measured import mine.csv --kind gemm --on l40s --out mine.parquet
    """
    from ..base import BadInput
    from ..hardware.load import device
    from ..measured import import_table, store

    if out.suffix != ".parquet":
        raise BadInput("must end in .parquet", key="--out", value=str(out))
    system = "local" if on.lower() == "local" else device(on).name
    table = import_table(file, kind, system, source=source, licence=licence)
    store.write(table, out)
    show.say(f"wrote {out}: {len(table)} rows of {kind} on {table.system}")
