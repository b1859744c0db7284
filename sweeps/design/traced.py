"""What the columns of an answer in SQL rest on: each is traced to columns of the rows, or it is
said to be unknown; a name alone proves nothing, since AS can give any."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .columns import GIVEN

FROM = "computed from "
"""Before the evidence of what was computed out of columns."""

_KEEPS = (
    *("abs", "any_value", "arbitrary", "avg", "first", "last", "max", "mean", "median", "min"),
    *("mode", "quantile", "quantile_cont", "quantile_disc", "round"),
)
"""Functions whose answer is a figure of the kind that they are given: of its unit and evidence."""
_TABLES = frozenset(("BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY"))


class About(NamedTuple):
    """Of a column of an answer. evidence: what it rests on; what is of rows of two stages rests on
    either, such as 'bound or simulated'; 'computed from ...' where it is none of the rows' own
    figures; '' where that cannot be told."""

    unit: str
    evidence: str


Known = Callable[[str], About | None]
"""Of a column of the rows; None for a name that they do not hold."""


def traced(connection: Any, sql: str, names: Sequence[str], known: Known) -> dict[str, About]:
    """Of the columns `names` of the answer to one SELECT."""
    nothing = dict.fromkeys(names, About("", ""))
    try:
        (text,) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
        tree = json.loads(text)
        if tree["error"] or not all(map(_readable, nodes := list(_nodes(tree)))):
            return nothing
        top = tree["statements"][0]["node"]["select_list"]
        found = _Traced(nodes, known)
        if any(one["class"] == "STAR" for one in top):
            return {name: found.of_name(name) for name in names}
        # Two columns of one name are told apart by no reader.
        return {name: found.of(one) for name, one in zip(names, top, strict=True)}
    except (KeyError, TypeError, ValueError, RecursionError):
        return nothing


class _Traced:
    def __init__(self, nodes: Sequence[Mapping[str, Any]], known: Known) -> None:
        self._known, self._aliases = known, dict[str, list[Any]]()
        for node in nodes:
            if "class" in node and node.get("alias"):
                self._aliases.setdefault(str(node["alias"]).lower(), []).append(node)

    def of(self, one: Mapping[str, Any], within: frozenset[str] = frozenset()) -> About:
        """Of an expression. within: the names that are being traced already."""
        within |= {str(one.get("alias", "")).lower()}  # nothing is computed from itself
        if one["class"] == "COLUMN_REF":
            return self.of_name(one["column_names"][-1], within)
        parts = [part["expression"] for part in one.get("arguments", ())]
        kept = one["class"] == "FUNCTION" and one["function_name"] in _KEEPS
        if kept and parts and parts[0]["class"] == "COLUMN_REF":
            return self.of(parts[0], within)
        refs = [node for node in _nodes(one) if node.get("class") == "COLUMN_REF"]
        return About("", _together([self.of(ref, within).evidence for ref in refs]))

    def of_name(self, name: str, within: frozenset[str] = frozenset()) -> About:
        """Of a column by its name: of the rows, or one that the question gives."""
        name = name.lower()
        own = self._known(name)
        given = [] if name in within else self._aliases.get(name, [])
        found = {self.of(one, within | {name}) for one in given} | ({own} if own else set())
        return found.pop() if len(found) == 1 else About("", "")


def _together(evidence: Sequence[str]) -> str:
    """Of what is computed from several; a setting beside a result adds nothing to what it rests
    on."""
    if not evidence or "" in evidence:
        return ""
    words = {word for one in evidence for word in one.removeprefix(FROM).split(" or ")}
    return FROM + " or ".join(sorted(words - {GIVEN} or words))


def _readable(node: Mapping[str, Any]) -> bool:
    """Whether a part of the question leaves names and columns as they can be followed."""
    kind = node.get("type")
    if "from_table" in node and node["from_table"]["type"] not in _TABLES:
        return False
    if node.get("column_name_alias") or node.get("aliases") or kind == "SET_OPERATION_NODE":
        return False
    if kind in ("TABLE_FUNCTION", "PIVOT", "RECURSIVE_CTE_NODE", "POSITIONAL_REFERENCE"):
        return False
    return not (kind == "STAR" and (node["columns"] or node["replace_list"] or node["rename_list"]))


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in it, itself included."""
    left = [tree]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield one
            left += one.values()
        elif isinstance(one, list):
            left += one
