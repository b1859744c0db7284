"""How values of a point can move between its bound and a closer look: on this a proof rests.

Every time can only grow and every rate fall; figures of the machine and words stay. What is made of
them grows, falls, stays, or may do either; the rules below are those of sums, products of values
that are not negative, and compositions with rising functions.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

from .results import RESULTS
from .space import Space
from .words import WORDS

Way = str
"""'stays', 'grows', 'falls', or 'either'."""
FLIP: dict[Way, Way] = {"grows": "falls", "falls": "grows", "stays": "stays", "either": "either"}

_OF_RESULTS: dict[str, Way] = {
    "tpot_s": "grows",
    "ttft_s": "grows",
    "cost_usd_per_token": "grows",
    "throughput_tokens_per_s": "falls",
    "device_tokens_per_s": "falls",
    "energy_j_per_token": "either",
    "limiter": "either",
    "detail": "either",
    "status": "either",
}
_RISING = ("sqrt", "exp", "log", "log2", "ceil", "floor", "round")


class Move(NamedTuple):
    """way: of a number; of a truth 'falls': once false, it stays so. positive: never below zero."""

    way: Way
    positive: bool


def ways(space: Space) -> dict[str, Move]:
    """How each number of a row moves from the bound to the space's closer look."""
    of = dict(_OF_RESULTS)
    if space.file.finer is not None and space.file.finer.detail == "tile":
        of["energy_j_per_token"] = "stays"  # tiles say nothing of joules
    found = {name: Move("stays", name in WORDS or "." in name) for name in space.words}
    found |= {name: Move(of.get(name, "stays"), name != "spare_bytes") for name in RESULTS}
    for name, one in space.after.items():
        found[name] = _move(_tree(one.text), found)
    return found


def falling_goals(space: Space) -> list[int]:
    """The goals that a point which misses them at the bound misses under any closer look."""
    known = ways(space)
    return [
        i
        for i, goal in enumerate(space.goals)
        if _move(_tree(goal.text), known).way in ("stays", "falls")
    ]


def loose(space: Space) -> list[str]:
    """The objectives that a closer look may find better than the bound has them."""
    known = ways(space)
    return [
        name
        for name, sense in space.objectives
        if known[name].way not in ("stays", "grows" if sense > 0 else "falls")
    ]


def _tree(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def _joined(*moves: Way) -> Way:
    """The way of a sum."""
    moving = {way for way in moves if way != "stays"}
    if len(moving) > 1:
        return "either"
    return moving.pop() if moving else "stays"


def _move(node: ast.expr, known: dict[str, Move]) -> Move:
    if isinstance(node, ast.Constant):
        return Move("stays", isinstance(node.value, int | float) and node.value >= 0)
    if isinstance(node, ast.Name | ast.Attribute):
        return known.get(ast.unparse(node), Move("either", positive=False))
    if isinstance(node, ast.BinOp):
        return _of_binary(node, _move(node.left, known), _move(node.right, known))
    if isinstance(node, ast.UnaryOp):
        inner = _move(node.operand, known)
        keeps = isinstance(node.op, ast.UAdd)
        return inner if keeps else Move(FLIP[inner.way], positive=False)
    if isinstance(node, ast.BoolOp):
        return Move(_joined(*(_move(part, known).way for part in node.values)), positive=False)
    if isinstance(node, ast.Compare):
        return _of_comparison(node, known)
    if isinstance(node, ast.IfExp):
        parts = [_move(part, known) for part in (node.body, node.orelse)]
        way = _joined(*(part.way for part in parts))
        fixed = _move(node.test, known).way == "stays"
        return Move(way if fixed else "either", all(part.positive for part in parts))
    if isinstance(node, ast.Call):
        return _of_call(node, known)
    return Move("either", positive=False)


def _of_binary(node: ast.BinOp, left: Move, right: Move) -> Move:
    positive = left.positive and right.positive
    if left.way == right.way == "stays":
        return Move("stays", positive and not isinstance(node.op, ast.Sub))
    if isinstance(node.op, ast.Add):
        return Move(_joined(left.way, right.way), positive)
    if isinstance(node.op, ast.Sub):
        return Move(_joined(left.way, FLIP[right.way]), positive=False)
    if isinstance(node.op, ast.Mult) and positive:
        return Move(_joined(left.way, right.way), positive)
    if isinstance(node.op, ast.Div | ast.FloorDiv) and positive:
        return Move(_joined(left.way, FLIP[right.way]), positive)
    if isinstance(node.op, ast.Pow) and positive and right.way == "stays":
        return Move(left.way, positive)
    return Move("either", positive=False)


def _of_comparison(node: ast.Compare, known: dict[str, Move]) -> Move:
    """A chain is true while every link of it is."""
    found: list[Way] = []
    left = _move(node.left, known).way
    for op, side in zip(node.ops, node.comparators, strict=True):
        if isinstance(side, ast.List | ast.Tuple):
            right = _joined(*(_move(item, known).way for item in side.elts))
        else:
            right = _move(side, known).way
        apart = _joined(left, FLIP[right])
        if isinstance(op, ast.Lt | ast.LtE):
            found.append(FLIP[apart])
        elif isinstance(op, ast.Gt | ast.GtE):
            found.append(apart)
        else:
            found.append("stays" if left == right == "stays" else "either")
        left = right
    return Move(_joined(*found), positive=False)


def _of_call(node: ast.Call, known: dict[str, Move]) -> Move:
    parts = [_move(part, known) for part in node.args]
    way = _joined(*(part.way for part in parts))
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in ("min", "max"):
        return Move(way, all(part.positive for part in parts))
    if name in _RISING:
        return Move(way, parts[0].positive and not name.startswith("log"))
    positive = parts[0].positive  # abs
    return Move(way if positive else "either", positive=True)
