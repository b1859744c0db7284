"""Space: a TOML file that says which points a sweep asks about, and what is wanted of them."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, unknown
from ...base.parquet import Columns
from ...base.spec import build, load_toml
from .axes import Axis, axis, column, flat, free_value
from .expressions import NUMBER, TEXT, TRUTH, Expression, expression, reads
from .named import check_named
from .names import check_apart, check_line, check_lines, check_name
from .results import RESULTS
from .sampling import SAMPLERS
from .space_file import MOST_ENUMERATED, MOST_SEARCHED, SpaceFile, Wanted
from .words import WORDS, value_of, word

Ints = NDArray[np.int64]

NAMES_OF_MACHINES = ("on", "device")


class Objective(NamedTuple):
    """sense: 1 for what is made small, -1 for what is made large."""

    name: str
    sense: int


class Space:
    """A checked space. `size` points have numbers from 0 on: every combination of the axes in C
    order (the last axis runs fastest), or the drawn ones. Pickled as its file. path: where it was
    read, for faults to name."""

    def __init__(self, file: SpaceFile, here: Path = Path(), path: Path | None = None) -> None:
        self.file, self.here, self.path = file, here, path
        _check_texts(file)
        self.title, self.seed, self.by = file.title, file.seed, file.by
        self.axes = _axes(file)
        self.fixed = _fixed(file, self.axes)
        kinds = self._kinds()
        self.before, self.after = _ordered(file, kinds)
        self.constraints = {
            name: _truth(text, _known_before(kinds, self.before), f"constraints.{name}")
            for name, text in file.constraints.items()
        }
        every = kinds | _results() | {name: one.kind for name, one in self._derived().items()}
        self.goals = tuple(_truth(text, every, f"goals[{i}]") for i, text in enumerate(file.goals))
        self.objectives = _objectives(file.objectives, every)
        for name in file.by:
            if every.get(name) is None or name in _results():
                raise unknown("word of this space", name, self._told(), key="by")
            if file.by.count(name) > 1:
                raise BadInput("is named twice", key="by", value=name)
        check_apart((*self.words, *self.after))
        _check_used(file, self)

    def __reduce__(self) -> Any:
        return Space, (self.file, self.here, self.path)

    @property
    def size(self) -> int:
        """How many points, before constraints."""
        if self.file.sample is not None:
            return self.file.sample.points
        return math.prod(axis.size for axis in self.axes)

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """The columns of words of every row: fixed, by axis, derived."""
        return tuple(self._told())

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.axes)

    def columns(self, first: int, last: int) -> Columns:
        """The rows of the points numbered first..last-1 that meet every constraint: `point`, and
        each of `words`."""
        return self.select(np.arange(first, min(last, self.size), dtype=np.int64))

    def select(self, points: Ints) -> Columns:
        """The rows of these points that meet every constraint, in their order."""
        rows = self.rows(points)
        keep = np.ones(points.size, np.bool_)
        for held in self.constraints.values():
            keep &= np.broadcast_to(held(rows), keep.shape)
        return rows if keep.all() else {name: values[keep] for name, values in rows.items()}

    def rows(self, points: Ints) -> Columns:
        """The rows of these points, whatever the constraints say. Raises BadInput for a derived
        word that has no value that it may take."""
        rows: Columns = {"point": points}
        for name, value in self.fixed.items():
            rows[name] = np.repeat(column(name, [value]), points.size)
        rows |= self._varied(points)
        with _naming(self.path):
            for name, one in self.before.items():
                rows[name] = _checked(name, np.broadcast_to(one(rows), points.shape), points)
        return rows

    @functools.cached_property
    def needed(self) -> tuple[str, ...]:
        """The words and results that judging rows needs, `point` and `status` among them."""
        read = {name for name, _ in self.objectives} | set(self.by)
        read = read.union(*(goal.names for goal in self.goals))
        for name, one in reversed(self.after.items()):
            if name in read:
                read |= one.names
        read |= {"point", "status", *(NAMES_OF_MACHINES if self.file.finer else ())}
        return tuple(name for name in ("point", *self.words, *RESULTS) if name in read)

    def derive(self, rows: Columns) -> Columns:
        """What is derived from results too: more columns of rows that hold words and results."""
        found = dict(rows)
        for name, one in self.after.items():
            found[name] = np.array(np.broadcast_to(one(found), found["point"].shape))
        return {name: found[name] for name in self.after}

    def _varied(self, points: Ints) -> Columns:
        found: Columns = {}
        if (sample := self.file.sample) is not None:
            draw = SAMPLERS[sample.method]
            unit = draw(sample.points, len(self.axes), self.seed, points.astype(np.uint64))
            for one, share in zip(self.axes, unit.T, strict=True):
                found |= one.drawn(share)
            return found
        for one, place in zip(self.axes, np.unravel_index(points, self.shape), strict=True):
            found |= one.at(np.asarray(place))
        return found

    def _kinds(self) -> dict[str, str]:
        """'number' or 'text' of every fixed word and of those of axes."""
        kinds = {name: TEXT if isinstance(v, str) else NUMBER for name, v in self.fixed.items()}
        for one in self.axes:
            kinds |= {
                name: TEXT if v.dtype == object else NUMBER for name, v in one.columns.items()
            }
            kinds |= {} if one.columns else {one.name: NUMBER}
        return kinds

    def _derived(self) -> dict[str, Expression]:
        return self.before | self.after

    def _told(self) -> dict[str, str]:
        return self._kinds() | {name: one.kind for name, one in self.before.items()}


def load(path: str | Path, here: Path | None = None) -> Space:
    """The space in a TOML file. here: what the files that it names are relative to; its folder
    unless given. Raises BadInput that names the file, also for specs that cannot be read."""
    path = Path(path)
    found = space(load_toml(path), path.parent if here is None else here, path)
    with _naming(path):
        check_named(found.fixed, found.axes, found.here)
    return found


def space(tables: Mapping[str, Any], here: Path = Path(), file: Path | None = None) -> Space:
    """The space that plain tables describe. Raises BadInput."""
    with _naming(file):
        return Space(build(SpaceFile, dict(tables), figures=False), here, file)


@contextlib.contextmanager
def _naming(file: Path | None) -> Iterator[None]:
    """Faults of the block name the file."""
    try:
        yield
    except BadInput as fault:
        raise BadInput(fault.what, file=file, key=fault.key, value=fault.value) from None


def _check_texts(file: SpaceFile) -> None:
    """Raises BadInput for names that no column may have, and texts that cannot be shown."""
    check_line(file.title, "title")
    check_lines(file.words, "words")
    for table in ("axes", "fixed", "derived"):
        for name in flat(getattr(file, table)):
            check_name(name, table)
    for name in file.constraints:
        check_line(name, "constraints")
    if file.served is not None:
        told = {**flat(file.derived), **flat(file.fixed), **_listed(file)}
        if not told.get("prompt"):
            raise BadInput("needs `prompt`: the tokens that served requests bring", key="served")


def _listed(file: SpaceFile) -> dict[str, Any]:
    """Axes, and of each list of tables the words of its first."""
    found = flat(file.axes)
    for given in list(found.values()):
        if isinstance(given, list) and given and isinstance(given[0], dict):
            found |= flat(given[0])
    return found


def _axes(file: SpaceFile) -> tuple[Axis, ...]:
    """The axes in the order of the file."""
    read = _read_names(file)
    made = []
    for name, given in flat(file.axes).items():
        tables = isinstance(given, list) and any(isinstance(value, dict) for value in given)
        made.append(axis(name, given, free=not tables and name in read and not _is_word(name)))
    if not made:
        raise BadInput("names nothing that varies", key="axes")
    taken: dict[str, str] = {}
    for one in made:
        for name in one.columns or (one.name,):
            if name in taken:
                raise BadInput(f"is set by the axis {taken[name]!r} too", key=f"axes.{name}")
            taken[name] = one.name
        if not one.size and file.sample is None:
            raise BadInput(
                "names no step, factor or points; only a [sample] draws from a whole range",
                key=f"axes.{one.name}",
            )
    _check_count(file, math.prod(one.size for one in made))
    return tuple(made)


def _check_count(file: SpaceFile, count: int) -> None:
    """Raises BadInput for combinations that nobody waits for, or can number."""
    if file.sample is not None and file.search is not None:
        raise BadInput("does not go with a [sample]: one of them decides", key="search")
    most = MOST_ENUMERATED if file.search is None else MOST_SEARCHED
    if file.sample is None and count > most:
        raise BadInput(
            f"hold {count:,} combinations, at most {most:,} are asked about: draw a [sample]"
            + (", or use a [search]" if file.search is None else ""),
            key="axes",
        )


def _is_word(name: str) -> bool:
    try:
        word(name)
    except BadInput:
        return False
    return True


def _read_names(file: SpaceFile) -> frozenset[str]:
    """Every name that an expression of the file reads."""
    texts = {f"derived.{name}": text for name, text in flat(file.derived).items()}
    texts |= {f"constraints.{name}": text for name, text in file.constraints.items()}
    texts |= {f"goals[{i}]": text for i, text in enumerate(file.goals)}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise BadInput("must be an expression in quotes", key=key, value=text)
    return frozenset[str]().union(*(reads(text, key) for key, text in texts.items()))


def _fixed(file: SpaceFile, axes: tuple[Axis, ...]) -> dict[str, Any]:
    varied = {name for one in axes for name in one.columns or (one.name,)}
    read = _read_names(file)
    found = {}
    for name, value in flat(file.fixed).items():
        if name in varied:
            raise BadInput("is an axis too", key=f"fixed.{name}")
        free = name in read and not _is_word(name)
        found[name] = free_value(name, value) if free else value_of(name, value)
    return found


def _results() -> dict[str, str]:
    return {name: one.kind for name, one in RESULTS.items()}


def _known_before(kinds: dict[str, str], before: Mapping[str, Expression]) -> dict[str, str]:
    return kinds | {name: one.kind for name, one in before.items()}


def _ordered(
    file: SpaceFile, kinds: dict[str, str]
) -> tuple[dict[str, Expression], dict[str, Expression]]:
    """Derived values in an order in which each reads only earlier ones: those of words, and those
    that read results."""
    waiting = dict(flat(file.derived))
    before: dict[str, Expression] = {}
    after: dict[str, Expression] = {}
    for name in waiting:
        if name in kinds or name in RESULTS:
            raise BadInput("has a value already", key=f"derived.{name}")
    while waiting:
        ready = {k: t for k, t in waiting.items() if not reads(t, f"derived.{k}") & waiting.keys()}
        if not ready:
            raise BadInput(f"read one another in a circle: {', '.join(waiting)}", key="derived")
        for name, text in ready.items():
            key = f"derived.{name}"
            late = reads(text, key) & (RESULTS.keys() | after.keys())
            known = _known_before(kinds, before)
            known |= _results() | {k: one.kind for k, one in after.items()} if late else {}
            one = expression(text, known, key)
            if one.kind == TRUTH:
                raise BadInput("is a comparison; it belongs to constraints or goals", key=key)
            if late and _is_word(name):
                raise BadInput(f"is a word, and cannot be derived from {min(late)}", key=key)
            if _is_word(name) and (one.kind == TEXT) != (word(name).kind == "text"):
                wanted = "text" if one.kind == NUMBER else "numbers"
                raise BadInput(f"gives a {one.kind}; {name} takes {wanted}", key=key, value=text)
            (after if late else before)[name] = one
            del waiting[name]
    return before, after


def _truth(text: str, kinds: Mapping[str, str], key: str) -> Expression:
    late = reads(text, key) & RESULTS.keys()
    if key.startswith("constraints") and late - kinds.keys():
        raise BadInput(f"reads the result {min(late)}: write it under goals", key=key, value=text)
    one = expression(text, kinds, key)
    if one.kind != TRUTH:
        raise BadInput("must be a comparison such as 'tpot_s < 0.03'", key=key, value=text)
    return one


def _objectives(wanted: Wanted, kinds: Mapping[str, str]) -> tuple[Objective, ...]:
    named = [Objective(name, 1) for name in wanted.minimise]
    named += [Objective(name, -1) for name in wanted.maximise]
    if not named:
        raise BadInput("name at least one under minimise or maximise", key="objectives")
    numbers = [name for name, kind in kinds.items() if kind == NUMBER]
    for name, _ in named:
        if name not in numbers:
            raise unknown("number", name, numbers, key="objectives")
        if sum(other.name == name for other in named) > 1:
            raise BadInput("is named twice", key="objectives", value=name)
    return tuple(named)


def _check_used(file: SpaceFile, made: Space) -> None:
    """Raises BadInput for a derived name that is neither a word nor read by anything: a typo."""
    told = _read_names(file) | {name for name, _ in made.objectives} | set(file.by)
    for name in made._derived():
        if name not in told and not _is_word(name):
            raise unknown("word", name, [*WORDS, *RESULTS], key=f"derived.{name}")


def _checked(name: str, values: NDArray[Any], points: Ints) -> NDArray[Any]:
    """Derived values of a word, of its kind."""
    if not _is_word(name):
        return np.array(values)
    kind = word(name).kind
    if kind == "text":
        known = {text: _told(name, text) for text in sorted(set(values.tolist()))}
        return np.array([known[text] for text in values.tolist()], object)
    wrong = ~np.isfinite(values)
    if kind == "whole":
        wrong |= (values != np.floor(values)) | (values < 0) | (values >= 2.0**63)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise BadInput(
            f"gives {values[i]:g} at point {points[i]}, where {name} takes "
            f"{'whole numbers below 2^63' if kind == 'whole' else 'finite numbers'}",
            key=f"derived.{name}",
        )
    return values.astype(np.int64) if kind == "whole" else np.array(values)


def _told(name: str, text: str) -> Any:
    """A derived text as the word takes it."""
    try:
        return value_of(name, text)
    except BadInput as fault:
        raise BadInput(fault.what, key=f"derived.{name}", value=fault.value) from None
