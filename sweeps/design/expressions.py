"""Arithmetic that a file may hold: parsed, checked and computed on columns, never run as Python."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, unknown
from .names import check_line, check_lines

MOST_LETTERS, MOST_NODES = 1000, 200
NUMBER, TEXT, TRUTH = "number", "text", "truth"

Column = NDArray[Any]
Compute = Callable[[Mapping[str, Column]], Any]

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": np.minimum,
    "max": np.maximum,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "log2": np.log2,
    "ceil": np.ceil,
    "floor": np.floor,
    "round": np.rint,
}
_MANY = ("min", "max")
ALLOWED = (
    "numbers, texts in quotes, names, + - * / // % **, comparisons, `in [...]`, and, or, not, "
    f"`a if b else c`, and {', '.join(_FUNCTIONS)}"
)
_NODES = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare),
    *(ast.IfExp, ast.Call, ast.List, ast.Tuple, ast.keyword, ast.Load),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)


class Expression(msgspec.Struct, frozen=True, kw_only=True):
    """A checked expression. names: what it reads, paths as a whole; kind: 'number', 'text' or
    'truth' (a comparison)."""

    text: str
    names: frozenset[str]
    kind: str
    compute: Compute

    def __call__(self, columns: Mapping[str, Column]) -> Column:
        """The value in every row. Numbers are float64; a division by zero gives inf or nan."""
        with np.errstate(all="ignore"):
            found = np.asarray(self.compute(columns))
        return found.astype(object) if self.kind == TEXT else found


def expression(text: str, kinds: Mapping[str, str], key: str) -> Expression:
    """The expression in `text`. kinds: 'number' or 'text' of every name that it may read; key: what
    faults name. Raises BadInput for everything that is not allowed, and for unknown names."""
    return _Reader(text, kinds, key).expression()


def reads(text: str, key: str) -> frozenset[str]:
    """The names in an expression, known or not."""
    return _names(_tree(text, key)) - frozenset(_FUNCTIONS)


def _names(node: ast.AST) -> frozenset[str]:
    if name := _name(node):
        return frozenset((name,))
    return frozenset[str]().union(*map(_names, ast.iter_child_nodes(node)))


def _tree(text: str, key: str) -> ast.expr:
    if len(text) > MOST_LETTERS:
        raise BadInput(f"holds more than {MOST_LETTERS} letters", key=key)
    check_lines(text, key)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadInput(f"is no expression; allowed are {ALLOWED}", key=key, value=text) from None
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise BadInput(f"holds more than {MOST_NODES} parts", key=key)
    if not all(isinstance(node, _NODES) for node in ast.walk(tree)):
        raise BadInput(f"holds what is not allowed; allowed are {ALLOWED}", key=key, value=text)
    return tree


def _name(node: ast.AST) -> str | None:
    """'a.b.c' of a name or a chain of attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _name(node.value)):
        return f"{before}.{node.attr}"
    return None


class _Reader:
    """Walks the tree once; each node becomes (kind, compute)."""

    def __init__(self, text: str, kinds: Mapping[str, str], key: str) -> None:
        self.text, self.kinds, self.key = text, kinds, key
        self.names: set[str] = set()

    def expression(self) -> Expression:
        kind, compute = self.read(_tree(self.text, self.key))
        return Expression(text=self.text, names=frozenset(self.names), kind=kind, compute=compute)

    def refuse(self, what: str) -> BadInput:
        return BadInput(what, key=self.key, value=self.text)

    def wanted(self, kind: str, *nodes: ast.expr) -> list[Compute]:
        """What computes the nodes, all of one kind."""
        found = [self.read(node) for node in nodes]
        for given, _ in found:
            if given != kind:
                raise self.refuse(f"needs a {kind} where it holds a {given}")
        return [compute for _, compute in found]

    def read(self, node: ast.expr) -> tuple[str, Compute]:
        if isinstance(node, ast.Constant):
            return self.constant(node.value)
        if name := _name(node):
            return self.column(name)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return self.binary(node)
        if isinstance(node, ast.UnaryOp):
            return self.unary(node)
        if isinstance(node, ast.BoolOp):
            return self.joined(node)
        if isinstance(node, ast.Compare):
            return self.compared(node)
        if isinstance(node, ast.IfExp):
            return self.chosen(node)
        if isinstance(node, ast.Call):
            return self.called(node)
        raise self.refuse(f"holds what is not allowed; allowed are {ALLOWED}")

    def constant(self, value: Any) -> tuple[str, Compute]:
        if isinstance(value, str):
            check_line(value, self.key)
            return TEXT, lambda _: value
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
            raise self.refuse("holds a constant that is neither a number nor a text")
        number = np.float64(value)
        return NUMBER, lambda _: number

    def column(self, name: str) -> tuple[str, Compute]:
        if name not in self.kinds:
            raise unknown("value", name, self.kinds, key=self.key)
        self.names.add(name)
        kind = self.kinds[name]
        if kind == NUMBER:
            return NUMBER, lambda columns: np.asarray(columns[name], np.float64)
        return kind, lambda columns: columns[name]

    def binary(self, node: ast.BinOp) -> tuple[str, Compute]:
        left, right = self.wanted(NUMBER, node.left, node.right)
        apply = _BINARY[type(node.op)]
        return NUMBER, lambda columns: apply(left(columns), right(columns))

    def unary(self, node: ast.UnaryOp) -> tuple[str, Compute]:
        if isinstance(node.op, ast.Not):
            (truth,) = self.wanted(TRUTH, node.operand)
            return TRUTH, lambda columns: np.logical_not(truth(columns))
        if not isinstance(node.op, ast.USub | ast.UAdd):
            raise self.refuse(f"holds what is not allowed; allowed are {ALLOWED}")
        (number,) = self.wanted(NUMBER, node.operand)
        sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
        return NUMBER, lambda columns: sign * number(columns)

    def joined(self, node: ast.BoolOp) -> tuple[str, Compute]:
        parts = self.wanted(TRUTH, *node.values)
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or

        def compute(columns: Mapping[str, Column]) -> Any:
            found = parts[0](columns)
            for part in parts[1:]:
                found = join(found, part(columns))
            return found

        return TRUTH, compute

    def compared(self, node: ast.Compare) -> tuple[str, Compute]:
        """`a < b <= c`, `name == 'text'`, `name in ['a', 'b']`."""
        pairs: list[Compute] = []
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                pairs.append(self.among(left, right, isinstance(op, ast.NotIn)))
            elif type(op) in _COMPARE:
                pairs.append(self.pair(left, _COMPARE[type(op)], right))
            else:
                raise self.refuse(f"holds what is not allowed; allowed are {ALLOWED}")
            left = right
        return TRUTH, lambda columns: np.logical_and.reduce([pair(columns) for pair in pairs])

    def pair(self, left: ast.expr, apply: Callable[[Any, Any], Any], right: ast.expr) -> Compute:
        kind, one = self.read(left)
        (other,) = self.wanted(kind, right)
        if kind == TRUTH or (kind == TEXT and apply not in (operator.eq, operator.ne)):
            raise self.refuse(f"compares {kind}s, which only == and != can" * (kind == TEXT))
        return lambda columns: np.asarray(apply(one(columns), other(columns)), np.bool_)

    def among(self, left: ast.expr, right: ast.expr, outside: bool) -> Compute:
        if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
            raise self.refuse("needs a list such as [1, 2] after `in`")
        same = [self.pair(left, operator.eq, item) for item in right.elts]

        def compute(columns: Mapping[str, Column]) -> Any:
            found = np.logical_or.reduce([one(columns) for one in same])
            return np.logical_not(found) if outside else found

        return compute

    def chosen(self, node: ast.IfExp) -> tuple[str, Compute]:
        (test,) = self.wanted(TRUTH, node.test)
        kind, yes = self.read(node.body)
        (no,) = self.wanted(kind, node.orelse)

        def compute(columns: Mapping[str, Column]) -> Any:
            which: Column = test(columns)
            found = np.where(which, np.asarray(yes(columns)), np.asarray(no(columns)))
            return found.astype(object) if kind == TEXT else found

        return kind, compute

    def called(self, node: ast.Call) -> tuple[str, Compute]:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS or node.keywords or not node.args:
            raise self.refuse(f"calls what is not allowed; allowed are {', '.join(_FUNCTIONS)}")
        parts, apply = self.wanted(NUMBER, *node.args), _FUNCTIONS[name]
        if name not in _MANY and len(parts) != 1:
            raise self.refuse(f"gives {name} {len(parts)} values; it takes one")

        def compute(columns: Mapping[str, Column]) -> Any:
            found = parts[0](columns)
            for part in parts[1:]:
                found = apply(found, part(columns))
            return found if name in _MANY else apply(found)

        return NUMBER, compute
