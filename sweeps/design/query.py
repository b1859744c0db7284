"""One question in SQL to the rows of one run, of several, or of the shards of one."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...base import BadInput, unknown
from ...base.files import writing
from ...base.parquet import Columns, unmasked
from .columns import GIVEN
from .folder import Manifest, files_of, read_manifest
from .store import check_own, quoted, sentence, table_of
from .traced import About, traced

VIEWS = {"points": "bound", "finer": "finer", "served": "served"}
BEST, STAGE = "best", "stage"
MOST_LETTERS = 100_000
FORMATS = {
    ".parquet": "FORMAT parquet, USE_TMP_FILE false, COMPRESSION zstd",
    ".csv": "FORMAT csv, USE_TMP_FILE false, HEADER",
}


class Answer(NamedTuple):
    columns: Columns
    about: dict[str, About]


def query(folders: Sequence[Path], sql: str) -> Answer:
    """The answer to one SELECT over the views `points` (all at the bound), `finer`, `served`, and
    `best`: each point's row of the most detailed stage, which the column `stage` names.

    Folders must hold runs of one space: their files are read as one run's. The question can read
    these files and nothing else. Raises BadInput for a fault in it, as one sentence.
    """
    with _opened(folders, sql) as asked:
        found = asked.run(sql).fetchnumpy()
        columns = {name: unmasked(column) for name, column in found.items()}
        return Answer(columns, asked.about(list(columns)))


def export(folders: Sequence[Path], sql: str, out: Path) -> int:
    """Writes the answer as .parquet (units and evidence in its metadata) or .csv (in a file beside
    it), whole or not at all; how many rows. Memory does not grow with them."""
    if out.suffix not in FORMATS:
        raise BadInput(f"must end in {' or '.join(FORMATS)}", file=out)
    with writing(out) as beside, _opened(folders, sql, beside) as asked:
        shown = asked.run(f"DESCRIBE {sql}").fetchall()
        about = asked.about([str(name) for name, *_ in shown])
        form = FORMATS[out.suffix]
        if out.suffix == ".parquet":
            pairs = {f"unit.{name}": one.unit for name, one in about.items() if one.unit}
            pairs |= {f"evidence.{name}": one.evidence for name, one in about.items()}
            texts = ", ".join(f"{quoted(k)}: {quoted(v)}" for k, v in pairs.items())
            form += f", KV_METADATA {{{texts}}}"
        # The end of a line ends a comment that the question may end with.
        rows = asked.run(f"COPY (FROM ({sql}\n)) TO {quoted(str(beside))} ({form})").fetchall()
        if out.suffix == ".csv":
            told = {name: one._asdict() for name, one in about.items()}
            with writing(out.with_name(f"{out.name}.columns.json")) as sidecar:
                sidecar.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        return int(rows[0][0])


class _Asked:
    """A connection that sees the files of the runs, and nothing else."""

    def __init__(self, connection: Any, manifest: Manifest, stages: set[str], sql: str) -> None:
        self._connection, self._manifest, self._sql = connection, manifest, sql
        self._columns = {name.lower(): known for name, known in manifest.columns.items()}
        words = set(re.findall(r"\w+", sql.lower()))
        self._stages = {VIEWS[name] for name in VIEWS if name in words} & stages
        self._stages = stages if BEST in words or not self._stages else self._stages

    def run(self, sql: str) -> Any:
        """Raises BadInput that speaks of the question."""
        import duckdb

        try:
            return self._connection.execute(sql)
        except RuntimeError:  # duckdb's word for Ctrl-C, like its next
            raise KeyboardInterrupt from None
        except (duckdb.Error, UnicodeDecodeError) as fault:
            raise _explained(fault, list(self._manifest.columns)) from None

    def about(self, names: Sequence[str]) -> dict[str, About]:
        """Of the columns of an answer, as far as the question lets them be traced."""
        return traced(self._connection, self._sql, names, self._known)

    def _known(self, name: str) -> About | None:
        if name == STAGE:
            return About("", GIVEN)
        # SQL does not tell letters by case.
        known = self._columns.get(name.lower())
        if known is None:
            return None
        found = [known["evidence"][stage] for stage in self._stages if stage in known["evidence"]]
        rests = {word for one in found for word in one.split(" or ")}
        return About(known["unit"], " or ".join(sorted(rests)))


@contextlib.contextmanager
def _opened(folders: Sequence[Path], sql: str, out: Path | None = None) -> Iterator[_Asked]:
    """The views over the folders' files. out: the one file that may be written."""
    import duckdb

    manifest = _one_run(folders)
    files = {stage: _files(folders, stage) for stage in VIEWS.values()}
    if not any(files.values()):
        raise BadInput(
            "holds no finished rows yet; `moesaic sweep resume` computes them", file=folders[0]
        )
    # One thread: sums and the order of groups are the same at every asking.
    with duckdb.connect(config={"threads": 1}) as connection:
        _check_question(connection, sql)
        for stage, paths in files.items():
            check_own(connection, paths, stage, manifest.content)
        some = next(paths for paths in files.values() if paths)
        try:
            for view, stage in VIEWS.items():
                rows = table_of(files[stage]) if files[stage] else f"{table_of(some)} WHERE false"
                connection.execute(f"CREATE VIEW {view} AS SELECT * FROM {rows}")
            connection.execute(_best())
        except (duckdb.Error, UnicodeDecodeError) as fault:
            raise BadInput(
                f"holds a damaged file: {sentence(fault)}; `moesaic sweep resume` computes it anew",
                file=folders[0],
            ) from None
        allowed = [str(path) for paths in files.values() for path in paths]
        allowed += [str(out)] if out else []
        connection.execute(f"SET allowed_paths = [{', '.join(map(quoted, allowed))}]")
        connection.execute("SET temp_directory = ''")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield _Asked(connection, manifest, {s for s, paths in files.items() if paths}, sql)


def _best() -> str:
    return (
        f"CREATE VIEW {BEST} AS SELECT 'served' AS {STAGE}, * FROM served "
        f"UNION ALL BY NAME SELECT 'finer' AS {STAGE}, * FROM finer ANTI JOIN served USING (point) "
        f"UNION ALL BY NAME SELECT 'bound' AS {STAGE}, * FROM points "
        "ANTI JOIN finer USING (point) ANTI JOIN served USING (point)"
    )


def _one_run(folders: Sequence[Path]) -> Manifest:
    """The manifest of the folders. Raises BadInput where they hold different runs."""
    if not folders:
        raise BadInput("name the folder of a run")
    manifests = [read_manifest(path) for path in folders]
    for path, other in zip(folders, manifests, strict=True):
        if other.content != manifests[0].content:
            raise BadInput(
                f"holds another run than {folders[0]} (its space, seed, version or a spec "
                "differs); ask them one by one",
                file=path,
            )
    return manifests[0]


def _files(folders: Sequence[Path], stage: str) -> list[Path]:
    """The files of all folders by name; one that two folders hold is read once."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in files_of(folder, stage):
            found.setdefault(path.name, path.absolute())
    return [found[name] for name in sorted(found)]


def _check_question(connection: Any, sql: str) -> None:
    """Raises BadInput for what is not one SELECT."""
    import duckdb

    if len(sql) > MOST_LETTERS:
        raise BadInput(f"is longer than {MOST_LETTERS} letters", key="SQL")
    try:
        kinds = [one.type for one in connection.extract_statements(sql)]
    except (duckdb.Error, UnicodeError) as fault:
        raise _explained(fault, []) from None
    if kinds != [duckdb.StatementType.SELECT]:
        raise BadInput(
            "must be one SELECT, such as: SELECT * FROM points ORDER BY tpot_s LIMIT 5", key="SQL"
        )


def _explained(fault: BaseException, columns: Sequence[str]) -> BadInput:
    """The fault of a question as one sentence, with the nearest name for a wrong one."""
    text = str(fault)
    if "KeyboardInterrupt" in text or "Interrupted" in text:
        raise KeyboardInterrupt
    wrong = re.search(r'column "([^"]*)" not found', text) or re.search(
        r'does not have a column named "([^"]*)"', text
    )
    if wrong and columns:
        return unknown("column", wrong[1], [*columns, STAGE], key="SQL")
    if table := re.search(r"Table with name (\S+) does not exist", text):
        return unknown("table", table[1], [*VIEWS, BEST], key="SQL")
    if "Permission Error" in text:
        return BadInput("reads a file; a question sees its run and nothing else", key="SQL")
    said = sentence(fault)
    if re.search(r'(table|from expression) "(times:)?(system|model)[."]', text):
        return BadInput('put a path between double quotes: "system.power_w"', key="SQL")
    if 'near "on"' in text:
        return BadInput(f'{said}; SQL has a word ON: write the column as "on"', key="SQL")
    return BadInput(said, key="SQL")
