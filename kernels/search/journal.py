"""A journal of a search: a line for each trial as it ends, so that nothing measured is lost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ...base import BadInput
from ...base.files import read_bounded
from .runner import Trial
from .space import Space

KIND = "moesaic tuning journal 1"


class Journal:
    """A JSONL file: what it belongs to, then the trials.

    header: what must be the same for the trials to be of use, by name. Raises BadInput where the
    file is no journal, or one of something else. A last line that is only half there is dropped.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path, self.header = path, {"kind": KIND, **header}
        self.trials: list[Trial] = []
        lines = read_bounded(path).split(b"\n") if path.exists() else [b""]
        whole, rest = lines[:-1], lines[-1]
        if whole:
            self._check(whole[0])
            self.trials = [self._trial(line, i) for i, line in enumerate(whole[1:], 2)]
        elif rest and KIND.encode() not in rest:
            raise BadInput("is not a tuning journal", file=path)
        with _faults_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                stream.truncate(sum(len(line) + 1 for line in whole))
        if not whole:
            self._append(self.header)

    def known(self, space: Space) -> dict[int, Trial]:
        """The trials by their rows. Raises BadInput where the space lacks one's configuration."""
        for number, trial in enumerate(self.trials, 2):
            if trial.config not in space:
                raise BadInput(f"line {number}: no configuration of {space.name}", file=self.path)
        return {space.row(trial.config): trial for trial in self.trials}

    def add(self, trial: Trial) -> None:
        """Writes the trial and lets it go to the file at once."""
        self._append(plain(trial))

    def _append(self, data: Mapping[str, Any]) -> None:
        with _faults_named(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(data, ensure_ascii=False) + "\n")

    def _check(self, line: bytes) -> None:
        found = _object(line)
        if found.get("kind") != KIND:
            raise BadInput("is not a tuning journal", file=self.path)
        for name, wanted in self.header.items():
            if found.get(name) != wanted:
                raise BadInput(
                    f"is the journal of another search: {name} {_short(found.get(name))}, "
                    f"not {_short(wanted)}; name another file",
                    file=self.path,
                )

    def _trial(self, line: bytes, number: int) -> Trial:
        try:
            return msgspec.json.decode(line, type=Trial)
        except (msgspec.MsgspecError, ValueError) as fault:
            raise BadInput(f"line {number} is not a trial: {fault}", file=self.path) from None


@contextlib.contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise BadInput(f"cannot be written: {fault.strerror or fault}", file=path) from None


def plain(trial: Trial) -> dict[str, Any]:
    """The trial as JSON can hold it: no seconds where there are none."""
    data = msgspec.to_builtins(trial)
    if trial.status != "ok":
        del data["seconds"]
    return dict(data)


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
