"""Faults that are the user's to mend: one sentence of what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class BadInput(ValueError):
    """Input that cannot be used. The command prints it as one sentence and exits with 2.

    `what` says what is wrong and what to do; `file`, `key` and `value` say where.
    """

    def __init__(
        self,
        what: str,
        *,
        file: str | Path | None = None,
        key: str | None = None,
        value: object = None,
    ) -> None:
        self.what, self.file, self.key, self.value = what, file, key, value
        where = "".join(f"{part}: " for part in (file, key) if part)
        got = "" if value is None else f" (got {_short(value)})"
        super().__init__(f"{where}{what}{got}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def unknown(kind: str, name: str, known: Iterable[str], *, key: str | None = None) -> BadInput:
    """The fault of a name that no catalogue holds, with the nearest names that one does."""
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    if near:
        advice = f"did you mean {' or '.join(near)}?"
    elif len(names) <= 24:
        advice = f"known: {', '.join(names)}"
    else:
        advice = f"there are {len(names)}; list them with the `list` command"
    return BadInput(f"no {kind} is called {_short(name)}; {advice}", key=key)
