"""The Parquet files of a run folder: written whole or not at all, checked, read together."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...base import BadInput
from ...base.files import writing
from ...base.parquet import Columns, unmasked

LEVEL = 3
"""Of zstd: 15 packs a million rows a tenth smaller, in thirty times the time."""


class Store:
    """Writes and reads the files of one folder through one connection.

    A fault of the disk says that what is finished stays, and how to go on. One thread: the rows of
    a file keep their order, and its bytes do not depend on the machine.
    """

    def __init__(self, folder: Path) -> None:
        import duckdb

        self.folder = folder
        self._connection = duckdb.connect(config={"threads": 1})
        self._own: set[Path] = set()

    def write(self, path: Path, columns: Columns, metadata: Mapping[str, str]) -> None:
        """One file, on the disk before it bears its name. Raises BadInput: disk full, no
        permission."""
        pairs = ", ".join(f"{quoted(k)}: {quoted(v)}" for k, v in metadata.items())
        # A column of texts without a row says nothing of its type.
        shown = ", ".join(
            f"CAST({named(n)} AS VARCHAR) AS {named(n)}" if column.dtype.kind == "O" else named(n)
            for n, column in columns.items()
        )
        with uninterrupted(), disk_faults(self.folder), writing(path) as beside:
            self._connection.register("columns", columns)
            try:
                self._connection.execute(
                    f"COPY (SELECT {shown} FROM columns) TO {quoted(str(beside))} "
                    "(FORMAT parquet, USE_TMP_FILE false, COMPRESSION zstd, "
                    f"COMPRESSION_LEVEL {LEVEL}, "
                    f"KV_METADATA {{{pairs}}})"
                )
            finally:
                self._connection.unregister("columns")
            with beside.open("rb") as stream:
                os.fsync(stream.fileno())

    def finished(self, path: Path, expected: Mapping[str, str]) -> bool:
        """Whether the file is there, whole, and states what is expected of it. Every page is
        unpacked: one that is cut off, or filled with zeros, is not finished."""
        if not path.is_file():
            return False
        file = quoted(str(path))
        with uninterrupted():
            return self._whole(file, expected)

    def _whole(self, file: str, expected: Mapping[str, str]) -> bool:
        import duckdb

        try:
            stated = dict(
                self._connection.execute(
                    f"SELECT decode(key), decode(value) FROM parquet_kv_metadata({file})"
                ).fetchall()
            )
            if any(stated.get(key) != value for key, value in expected.items()):
                return False
            rows = self._connection.execute(
                f"SELECT count(*), bit_xor(hash(COLUMNS(*))) FROM "
                f"read_parquet({file}, hive_partitioning = false)"
            ).fetchall()
        except (duckdb.Error, UnicodeDecodeError):
            return False
        return str(rows[0][0]) == stated.get("rows")

    def check_own(self, paths: Sequence[Path], stage: str, content: str) -> None:
        """Raises BadInput for a file that is not of this run; each is asked once."""
        new = [path for path in paths if path not in self._own]
        check_own(self._connection, new, stage, content)
        self._own.update(new)

    def read(
        self,
        paths: Sequence[Path],
        names: Sequence[str],
        points: np.ndarray[Any, Any] | None = None,
    ) -> Columns:
        """The named columns of the files, by ascending point; of `points` alone, if given. Raises
        BadInput for a damaged file."""
        import duckdb

        if not paths:
            return {name: np.zeros(0) for name in names}
        shown = ", ".join(map(named, dict.fromkeys(names)))
        rows = f'SELECT {shown}, point AS "order of rows" FROM {table_of(paths)}'
        if points is not None:
            self._connection.register("wanted", {"wanted": np.asarray(points, np.int64)})
            rows += " WHERE point IN (SELECT wanted FROM wanted)"
        try:
            with uninterrupted():
                found = self._connection.execute(rows).fetchnumpy()
        except (duckdb.Error, UnicodeDecodeError) as fault:
            raise BadInput(f"cannot be read: {sentence(fault)}", file=self.folder) from None
        columns = {name: unmasked(column) for name, column in found.items()}
        order = columns.pop("order of rows")
        if (order[1:] > order[:-1]).all():  # as it is where one file follows the other
            return columns
        places = np.argsort(order, kind="stable")
        return {name: column[places] for name, column in columns.items()}


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C is answered at the end of the block: duckdb would tell it as one fault or another of
    its own, in the middle of a file. For short work."""
    heard: list[Any] = []
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, lambda *words: heard.append(words))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if heard:
            before(*heard[0])


def table_of(paths: Sequence[Path]) -> str:
    """The files as one table of SQL; columns that some of them lack are empty there. A folder's
    name such as batch=64 is no column."""
    return f"read_parquet({_listed(paths)}, union_by_name = true, hive_partitioning = false)"


def check_own(connection: Any, paths: Sequence[Path], stage: str, content: str) -> None:
    """Raises BadInput for a file of another run, stage or task: one that was copied or renamed. A
    damaged one states nothing, and is left to whoever reads it."""
    stated: dict[str, dict[str, str]] = {}
    for path, key, value in _stated(connection, paths):
        stated.setdefault(path, {})[key] = value
    for path, said in stated.items():
        whose = "another run" if said.get("content") != content else "another part of this run"
        own = {"content": content, "stage": stage, "task": Path(path).stem}
        if own.items() - said.items():
            raise BadInput(
                f"is a file of {whose}, or of none; move it out of the folder, then `moesaic sweep "
                f"resume {Path(path).parent.parent}`",
                file=path,
            )


def _stated(connection: Any, paths: Sequence[Path]) -> list[tuple[str, str, str]]:
    """File, key and value of what the files say of themselves; '' to '' where one says nothing."""
    import duckdb

    if not paths:
        return []
    asked = (
        "SELECT file_name, decode(key), decode(value) FROM parquet_kv_metadata({0}) UNION ALL "
        "SELECT file_name, '', '' FROM parquet_file_metadata({0})"
    )
    try:
        with uninterrupted():
            rows: list[tuple[str, str, str]] = connection.execute(
                asked.format(_listed(paths))
            ).fetchall()
        return rows
    except (duckdb.Error, UnicodeDecodeError):
        if len(paths) == 1:
            return []
        return [row for path in paths for row in _stated(connection, [path])]


def _listed(paths: Sequence[Path]) -> str:
    return f"[{', '.join(quoted(str(path)) for path in paths)}]"


def named(column: str) -> str:
    """The name as SQL takes it."""
    return '"' + column.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """The text as SQL takes it."""
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def disk_faults(folder: Path) -> Iterator[None]:
    """What the disk refuses as one sentence that says how to go on."""
    import duckdb

    try:
        yield
    except duckdb.Error as fault:
        raise _stopped(folder, sentence(fault)) from None
    except OSError as fault:
        raise _stopped(folder, (fault.strerror or str(fault)).lower()) from None
    except BadInput as fault:
        raise _stopped(folder, fault.what.removeprefix("cannot be written: ")) from None


def _stopped(folder: Path, why: str) -> BadInput:
    mend = "free some space" if "space" in why or "large" in why or "quota" in why else "mend it"
    return BadInput(
        f"cannot be written: {why}; what is finished stays: {mend}, then `moesaic sweep resume "
        f"{folder}`",
        file=folder,
    )


def sentence(fault: BaseException) -> str:
    """The words of duckdb without its kind of fault, its JSON, and the lines that point at SQL."""
    text = str(fault)
    if number := re.search(r'"errno":"(\d+)"', text):
        return os.strerror(int(number[1])).lower()
    for known in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EACCES, errno.EROFS):
        if os.strerror(known) in text:
            return os.strerror(known).lower()
    line = text.splitlines()[0] if text else type(fault).__name__
    return re.sub(r"^[A-Z]\w*(?: \w+)? Error: ", "", line)
