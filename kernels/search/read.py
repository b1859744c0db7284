"""Recorded spaces in: the hub's CSV, Kernel Tuner's caches, T4 results; each may be gzipped."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import statistics
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args

from ...base import BadInput
from ...base.evidence import Evidence
from ...base.files import read_bounded
from .recording import Recording
from .runner import Status, Trial

MOST_BYTES = 512 * 2**20
"""Of a file once it is unpacked: a cache with the 32 runs of 100,000 configurations has 200 MB."""
MOST_CONFIGS = 1_000_000
"""A packed file of a megabyte can claim a hundred times as many."""
MOST_VALUE = 1e18
"""Of a parameter: beyond it floats, by which values are compared, do not tell integers apart."""

ERRORS: dict[str, Status] = {
    "CompilationFailedConfig": "compile",
    "RuntimeFailedConfig": "runtime",
    "InvalidConfig": "refused",
}
"""Kernel Tuner's words for what fails."""

INVALIDITY: dict[str, Status] = {
    "correct": "ok",
    "compile": "compile",
    "runtime": "runtime",
    "timeout": "timeout",
    "correctness": "wrong",
    "constraints": "refused",
}
"""T4's words for the same."""

IQR_OF_NORMAL = 1.349
"""Interquartile range of a normal distribution over its standard deviation; derived: 2 x 0.6745."""


def read_recording(path: str | Path) -> Recording:
    """A recorded space by what its file holds. Raises BadInput for what cannot be used."""
    path = Path(path)
    text = _text(path)
    name = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    with _faults_named(path):
        if not text.lstrip().startswith("{"):
            about, evidence, trials = {"source": path.name}, "measured-published", _csv(text, path)
        else:
            data = _json(text, path)
            kind = _t4 if "results" in data else _cache if "cache" in data else None
            if kind is None:
                raise BadInput("holds neither a `cache` nor T4 `results`", file=path)
            about, evidence, trials = kind(data, path)
    if not trials:
        raise BadInput("holds no configuration", file=path)
    if len(trials) > MOST_CONFIGS:
        raise BadInput(f"holds more than {MOST_CONFIGS} configurations", file=path)
    return Recording(name, about, cast(Evidence, evidence), trials)


def _text(path: Path) -> str:
    data = read_bounded(path, MOST_BYTES)
    if data[:2] == b"\x1f\x8b":
        unpack = zlib.decompressobj(wbits=31)
        try:
            data = unpack.decompress(data, MOST_BYTES)
        except zlib.error as fault:
            raise BadInput(f"is a damaged gzip file: {fault}", file=path) from None
        if not unpack.eof:
            raise BadInput(f"is cut short, or holds more than {MOST_BYTES} bytes", file=path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise BadInput(f"is not UTF-8 text (byte {fault.start})", file=path) from None


def _csv(text: str, path: Path) -> list[Trial]:
    """Parameters, then time_ms, and std_ms, error and compile_ms where they are there."""
    rows = csv.reader(io.StringIO(text))
    names = next(rows, [])
    if "time_ms" not in names or len(set(names)) < len(names):
        raise BadInput(
            "needs a line of different names: the parameters, then time_ms", file=path, value=names
        )
    first = names.index("time_ms")
    trials = (_csv_trial(names, first, row, f"{path}, line {rows.line_num}") for row in rows if row)
    return list(itertools.islice(trials, MOST_CONFIGS + 1))


def _csv_trial(names: list[str], first: int, row: list[str], where: str) -> Trial:
    if len(row) != len(names):
        raise BadInput(f"needs {len(names)} fields", file=where, value=row)
    config = {name: _value(word) for name, word in zip(names[:first], row, strict=False)}
    found = dict(zip(names[first:], row[first:], strict=True))
    try:
        numbers = {key: float(found.get(key) or 0) for key in ("time_ms", "std_ms", "compile_ms")}
    except ValueError as fault:
        raise BadInput(str(fault), file=where) from None
    if found.get("error"):
        return _failed(config, found["error"], numbers["compile_ms"], where)
    spread = IQR_OF_NORMAL * numbers["std_ms"] / (numbers["time_ms"] or 1)
    return _ran(config, numbers["time_ms"], spread, 32, numbers["compile_ms"], where)


def _cache(data: dict[str, Any], path: Path) -> tuple[dict[str, str], str, list[Trial]]:
    """Kernel Tuner's cache file: schema 1.0 and 1.1, and what it wrote before them."""
    names = data["tune_params_keys"]
    about = {
        "kernel": str(data["kernel_name"]),
        "device": str(data["device_name"]),
        "problem": _words(data.get("problem_size", "")),
        "source": path.name,
    }
    trials = []
    for key, entry in data["cache"].items():
        where = f"{path}, {key}"
        config = {name: entry[name] for name in names}
        compile_ms = float(entry.get("compile_time") or 0)
        error = entry.get("__error__") or entry[data.get("objective", "time")]
        if isinstance(error, str):
            trials.append(_failed(config, error, compile_ms, where))
        else:
            times = [float(time) for time in entry.get("times", ())]
            trials.append(
                _ran(config, entry["time"], _spread(times), len(times), compile_ms, where)
            )
    return about, "measured-published", trials


def _t4(data: dict[str, Any], path: Path) -> tuple[dict[str, str], str, list[Trial]]:
    """T4 results; what was run where, and the evidence, are there if this package wrote them."""
    metadata = data.get("metadata", {})
    unit = {"milliseconds": 1.0, "seconds": 1e3}.get(metadata.get("timeunit", "milliseconds"))
    if unit is None:
        raise BadInput("timeunit must be milliseconds or seconds", file=path)
    trials = []
    for number, result in enumerate(data["results"]):
        where = f"{path}, result {number}"
        config, times = result["configuration"], result["times"]
        compile_ms = unit * float(times.get("compilation_time", times.get("compilation", 0)))
        status = INVALIDITY.get(result["invalidity"])
        measured = {one["name"]: one["value"] for one in result.get("measurements", ())}
        if status is None:
            raise BadInput(
                f"invalidity must be one of {', '.join(INVALIDITY)}",
                file=where,
                value=result["invalidity"],
            )
        if status == "ok":
            runs = [unit * float(time) for time in times.get("runtimes", ())]
            time_ms = unit * measured["time"] if "time" in measured else statistics.median(runs)
            spread = measured.get("spread", _spread(runs))
            repeats = int(measured.get("repeats", len(runs)))
            trials.append(_ran(config, time_ms, spread, repeats, compile_ms, where))
        else:
            trials.append(_trial_failed(config, status, result["invalidity"], compile_ms, where))
    about = {str(key): str(value) for key, value in metadata.get("about", {}).items()}
    evidence = metadata.get("evidence", "measured-published")
    if evidence not in get_args(Evidence):
        raise BadInput(f"evidence must be one of {', '.join(get_args(Evidence))}", file=path)
    return {**about, "source": path.name}, evidence, trials


def _json(text: str, path: Path) -> dict[str, Any]:
    """Kernel Tuner leaves the last two brackets of a cache away while it is still writing."""
    for whole in (text, text.rstrip().rstrip(",") + "}}"):
        try:
            data = json.loads(whole)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            return data
    raise BadInput("is neither a CSV with a time_ms column nor JSON", file=path)


@contextlib.contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    """One sentence for a file whose fields are not what they should be."""
    try:
        yield
    except BadInput:
        raise
    except KeyError as fault:
        raise BadInput("is missing", file=path, key=str(fault.args[0])) from None
    except (TypeError, AttributeError, ValueError, ArithmeticError, csv.Error) as fault:
        raise BadInput(f"a field has another form than it should: {fault}", file=path) from None


def _config(found: dict[str, Any], where: str) -> dict[str, Any]:
    """The configuration, of words and of numbers that have an order."""
    for name, value in found.items():
        number = isinstance(value, int | float) and abs(value) <= MOST_VALUE
        if not number and not isinstance(value, str):
            raise BadInput(
                f"{name} must be a word or a number of at most {MOST_VALUE:g}", file=where
            )
    return found


def _ran(
    config: dict[str, Any],
    time_ms: float,
    spread: float,
    repeats: int,
    compile_ms: float,
    where: str,
) -> Trial:
    if not 0 < time_ms < float("inf"):
        raise BadInput("a time must be above 0", file=where, value=time_ms)
    if not 0 <= spread < float("inf"):
        raise BadInput("a spread must be at least 0", file=where, value=spread)
    return Trial(
        config=_config(config, where),
        status="ok",
        seconds=time_ms / 1e3,
        spread=float(spread),
        repeats=repeats,
        facts={"compile_seconds": compile_ms / 1e3},
    )


def _failed(config: dict[str, Any], error: str, compile_ms: float, where: str) -> Trial:
    if error not in ERRORS:
        raise BadInput(f"an error must be one of {', '.join(ERRORS)}", file=where, value=error)
    return _trial_failed(config, ERRORS[error], error, compile_ms, where)


def _trial_failed(
    config: dict[str, Any], status: Status, word: str, compile_ms: float, where: str
) -> Trial:
    return Trial(
        config=_config(config, where),
        status=status,
        reason=f"recorded as {word}",
        facts={"compile_seconds": compile_ms / 1e3},
    )


def _spread(times: list[float]) -> float:
    """Interquartile range over the median; 0 of fewer than two."""
    if len(times) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(times, n=4)
    return (high - low) / middle


def _words(problem: object) -> str:
    return "x".join(map(str, problem)) if isinstance(problem, list) else str(problem)


def _value(word: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
