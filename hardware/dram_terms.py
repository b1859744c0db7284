"""Sums of timing names and whole numbers, such as 'tCWL + burst_cycles + tWR', read by hand."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

MOST_LETTERS = 200
MOST_DEPTH = 2
"""How often a default may lead to another."""
_TERM = re.compile(r"\s*([+-])?\s*([A-Za-z_]\w{0,31}|[0-9]{1,6})(?![\w.])\s*", re.ASCII)


@functools.lru_cache(maxsize=1024)
def terms(expression: str) -> tuple[tuple[int, str | int], ...]:
    """The signed names and numbers of a sum; raises ValueError for anything else.

    'tCL + 2 - tCWL' is ((1, 'tCL'), (1, 2), (-1, 'tCWL')).
    """
    found: list[tuple[int, str | int]] = []
    at = 0
    while at < len(expression) <= MOST_LETTERS:
        match = _TERM.match(expression, at)
        if match is None or (found and match[1] is None):
            break
        term = match[2]
        found.append((-1 if match[1] == "-" else 1, int(term) if term.isdigit() else term))
        at = match.end()
    if not found or at < len(expression):
        raise ValueError(
            f"`cycles` must be timing names and numbers joined by + and -, got {expression[:80]!r}"
        )
    return tuple(found)


def value(
    expression: str, cycles: Mapping[str, int], defaults: Mapping[str, str], depth: int = 0
) -> int:
    """The sum in cycles; a name outside `cycles` stands for its expression in `defaults`.

    Raises ValueError for a name that neither gives, and for defaults that go in a circle.
    """
    total = 0
    for sign, term in terms(expression):
        if isinstance(term, int):
            total += sign * term
        elif term in cycles:
            total += sign * cycles[term]
        elif term in defaults and depth < MOST_DEPTH:
            total += sign * value(defaults[term], cycles, defaults, depth + 1)
        else:
            raise ValueError(f"`cycles` has no timing {term!r}, and a rule asks for it")
    return total
