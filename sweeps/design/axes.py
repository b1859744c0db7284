"""Axes of a design space: the values that a word takes, listed, stepped, or drawn from a range."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Count, Spec
from ...base.parquet import Columns
from .names import check_line
from .paths import is_path
from .words import WORDS, value_of, word

MOST_VALUES = 1_000_000
MOST_WHOLE = 2**53
LABEL = "name"
"""In a table of words that are set together: what the table is called."""


class Range(Spec, frozen=True, kw_only=True, rename={"low": "from", "high": "to"}):
    """Numbers from `low` to `high`, both among them: by a step, by a factor, or so many points.
    Without any of these every number between, which only a sample can draw from."""

    low: Any
    high: Any
    step: Any = None
    factor: float | None = None
    points: Count | None = None
    scale: Literal["linear", "log"] | None = None


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """What varies as one. columns: the values `[size]` of every word that it sets; or low, high and
    log of a range without steps, of which `whole` draws whole numbers."""

    name: str
    columns: Columns = {}
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def size(self) -> int:
        """How many values; 0 for a range without steps."""
        return next((len(column) for column in self.columns.values()), 0)

    def at(self, places: NDArray[np.int64]) -> Columns:
        """The words at places of the axis."""
        return {name: column[places] for name, column in self.columns.items()}

    def drawn(self, unit: NDArray[np.float64]) -> Columns:
        """The words at shares of the way along the axis, each in [0, 1)."""
        if self.size:
            return self.at(np.minimum((unit * self.size).astype(np.int64), self.size - 1))
        top = self.high + 1 if self.whole else self.high
        if self.log:
            found = self.low * np.exp(unit * math.log(top / self.low))
        else:
            found = self.low + unit * (top - self.low)
        found = np.clip(found, self.low, self.high + self.whole)
        if self.whole:
            return {self.name: np.minimum(found.astype(np.int64), int(self.high))}
        return {self.name: found}


def axis(name: str, given: Any, free: bool) -> Axis:
    """The axis of one entry: a list of values, a list of tables that set several words together, or
    a range. free: the name is no word, but an expression reads it. Raises BadInput."""
    if isinstance(given, dict):
        return _ranged(name, given, free)
    if not isinstance(given, list) or not given:
        raise BadInput(
            "needs a list of values, or a range { from, to, step | factor | points }",
            key=name,
            value=given,
        )
    if len(given) > MOST_VALUES:
        raise BadInput(f"lists more than {MOST_VALUES} values", key=name)
    if any(isinstance(value, dict) for value in given):
        return Axis(name=name, columns=_together(name, given))
    if not free:
        word(name)
    values = [_value(name, value, free) for value in given]
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise BadInput("lists a value twice", key=name, value=twice[0])
    return Axis(name=name, columns={name: column(name, values)})


def column(name: str, values: list[Any]) -> NDArray[Any]:
    """Values of one word as an array of its kind; those of a free name by what they are."""
    texts = {isinstance(value, str) for value in values}
    if len(texts) > 1:
        raise BadInput("mixes texts and numbers", key=name)
    if texts == {True}:
        return np.array(values, object)
    whole = WORDS[name].kind == "whole" if name in WORDS else all(type(v) is int for v in values)
    return np.array(values, np.int64 if whole else np.float64)


def _value(name: str, value: Any, free: bool) -> Any:
    return free_value(name, value) if free else value_of(name, value)


def free_value(name: str, value: Any) -> Any:
    """The value of a name that only expressions read."""
    if isinstance(value, str):
        return check_line(value, name)
    if type(value) in (int, float) and abs(value) < 2.0**63:
        return value
    raise BadInput("takes finite numbers or texts", key=name, value=value)


def _together(name: str, tables: list[Any]) -> Columns:
    """Words set together by each table, and under the axis' own name what each table is called."""
    rows: list[dict[str, Any]] = []
    for i, table in enumerate(tables):
        if not isinstance(table, dict) or not table:
            raise BadInput("must all be tables of words", key=f"{name}[{i}]", value=table)
        row = {key: value for key, value in flat(table).items() if key != LABEL}
        label = table.get(LABEL) or next((v for v in row.values() if isinstance(v, str)), str(i))
        if not isinstance(label, str):
            raise BadInput("must be text", key=f"{name}[{i}].{LABEL}", value=label)
        check_line(label, f"{name}[{i}].{LABEL}")
        if row.get(name, label) != label or ((name in WORDS or is_path(name)) and name not in row):
            raise BadInput(
                "is a word, and would hold what its tables are called: call the axis otherwise, "
                f"or list values, {name} = [...]",
                key=name,
            )
        if rows and (odd := sorted((row.keys() ^ rows[0].keys()) - {name})):
            raise BadInput(
                f"must set the same words as the first: {', '.join(odd)}", key=f"{name}[{i}]"
            )
        rows.append({key: value_of(key, value) for key, value in row.items()} | {name: label})
    for label, times in Counter(row[name] for row in rows).items():
        if times > 1:
            raise BadInput(f"calls two of its tables {label!r}; give each a `name`", key=name)
    return {key: column(key, [row[key] for row in rows]) for key in rows[0]}


def flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested tables as dotted names: TOML reads `system.device.power_w = 1` as tables. A table with
    `from` is a range."""
    found: dict[str, Any] = {}
    for key, item in table.items():
        name = f"{before}{key}"
        if isinstance(item, dict) and "from" not in item:
            found |= flat(item, f"{name}.")
        else:
            found[name] = item
    return found


def _ranged(name: str, given: dict[str, Any], free: bool) -> Axis:
    if not free and word(name).kind == "text":
        raise BadInput("takes texts: list them", key=name)
    try:
        asked = msgspec.convert(given, Range)
    except msgspec.ValidationError as fault:
        raise BadInput(
            f"is no range: {fault}; allowed are from, to, and step, factor, points or scale",
            key=name,
        ) from None
    low, high = (_value(name, end, free) for end in (asked.low, asked.high))
    if isinstance(low, str) or isinstance(high, str) or not low <= high:
        raise BadInput("must go from a number to one that is no smaller", key=name, value=given)
    ways = [key for key in ("step", "factor", "points") if getattr(asked, key) is not None]
    if len(ways) > 1:
        raise BadInput(f"names {' and '.join(ways)}; one of them decides", key=name)
    if asked.scale is not None and (asked.step is not None or asked.factor is not None):
        raise BadInput(
            f"names scale beside {ways[0]}, which decides how far apart values lie: leave it out",
            key=name,
        )
    log = asked.scale == "log" or asked.factor is not None
    if log and low <= 0:
        raise BadInput("must begin above 0 to go by factors", key=name, value=low)
    whole = type(low) is int and type(high) is int
    if whole and max(abs(low), abs(high)) > MOST_WHOLE:
        raise BadInput("must stay within 2^53, to which whole numbers are exact", key=name)
    if not ways:
        return Axis(name=name, low=low, high=high, log=log, whole=whole)
    values = _stepped(name, asked, low, high, free)
    # A name of the space's own takes fractions, so only values that are whole are taken as such.
    if whole and (not free or np.allclose(values, np.rint(values), rtol=1e-12, atol=1e-9)):
        values = np.unique(np.rint(values).astype(np.int64))
    return Axis(name=name, columns={name: values})


def _stepped(name: str, asked: Range, low: Any, high: Any, free: bool) -> NDArray[Any]:
    """The values of a range with steps."""
    if asked.points is not None:
        if asked.points > MOST_VALUES:
            raise BadInput(f"asks for more than {MOST_VALUES} points", key=name)
        spread = np.geomspace if asked.scale == "log" else np.linspace
        return np.asarray(spread(low, high, asked.points))
    if asked.factor is not None:
        if not 1 < asked.factor < math.inf:
            raise BadInput("needs a factor above 1", key=name, value=asked.factor)
        count = math.log(high / low) / math.log(asked.factor) + 1
        return np.asarray(low * asked.factor ** _steps(name, count))
    step = _value(name, asked.step, free)
    if isinstance(step, str) or step <= 0:
        raise BadInput("needs a step above 0", key=name, value=asked.step)
    return np.asarray(low + step * _steps(name, (high - low) / step + 1))


def _steps(name: str, count: float) -> NDArray[np.int64]:
    if count > MOST_VALUES:
        raise BadInput(f"holds more than {MOST_VALUES} values", key=name)
    return np.arange(math.floor(count + 1e-9))
