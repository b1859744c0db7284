"""Specs: frozen structs that come from TOML, say what is wrong with it, and go back to TOML.

A figure in a file is a number in SI units, a string with a unit ('3.35 TB/s'), or either of them
with its origin: `{ value = "3.35 TB/s", source = "NVIDIA H100 datasheet" }`. The origins are kept
in the field `sources` of the struct, by dotted path.
"""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from .errors import BadInput
from .files import read_text
from .units import parse, unit_of

Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]

S = TypeVar("S")
MOST_BYTES = 4 * 2**20


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen description whose numbers are checked whenever it is built, from a file or not."""

    def __post_init__(self) -> None:
        for name, kind in _numeric_fields(type(self)):
            _check(name, getattr(self, name), kind)


@functools.cache
def _numeric_fields(cls: type) -> list[tuple[str, msgspec.inspect.Type]]:
    info = msgspec.inspect.type_info(cls)
    assert isinstance(info, msgspec.inspect.StructType)
    return [(field.name, field.type) for field in info.fields]


def _check(name: str, value: Any, kind: msgspec.inspect.Type) -> None:
    if isinstance(kind, msgspec.inspect.UnionType):
        for member in kind.types:
            if isinstance(member, msgspec.inspect.FloatType | msgspec.inspect.IntType):
                _check(name, value, member)
    elif isinstance(kind, msgspec.inspect.DictType) and isinstance(value, dict):
        for key, item in value.items():
            _check(f"{name}.{key}", item, kind.value_type)
    elif isinstance(kind, msgspec.inspect.FloatType | msgspec.inspect.IntType):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        if not value < float("inf"):
            raise ValueError(f"`{name}` must be finite, got {value!r}")
        for sign, limit, holds in (
            (">", kind.gt, kind.gt is None or value > kind.gt),
            (">=", kind.ge, kind.ge is None or value >= kind.ge),
            ("<=", kind.le, kind.le is None or value <= kind.le),
            ("<", kind.lt, kind.lt is None or value < kind.lt),
        ):
            if not holds:
                raise ValueError(f"`{name}` must be {sign} {limit}, got {value!r}")


def load_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file; raises BadInput with the line for a text that is none."""
    text = read_text(path, MOST_BYTES).removeprefix("\ufeff")  # some editors' mark of UTF-8
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as fault:  # ValueError: also a number of 5,000 digits
        raise BadInput(f"is not TOML: {fault}", file=path) from None


def build(
    kind: type[S], data: dict[str, Any], file: str | Path | None = None, *, figures: bool = True
) -> S:
    """A struct of type `kind` from plain tables; every fault names file, key and value. figures:
    texts under a key with a unit are read as figures, with their origins."""
    sources: dict[str, str] = {}
    plain = data
    try:
        if figures:
            plain = {k: _plain(node, k, unit_of(k), sources, file) for k, node in data.items()}
        if sources and "sources" in getattr(kind, "__struct_fields__", ()):
            given = plain.get("sources", {})
            plain["sources"] = {**given, **sources} if isinstance(given, dict) else given
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as fault:
        raise _explain(str(fault), plain, file) from None
    except RecursionError:
        raise BadInput("is nested too deeply", file=file) from None


def load(kind: type[S], path: str | Path) -> S:
    """A struct of type `kind` from a TOML file."""
    return build(kind, load_toml(path), path)


def dump(spec: msgspec.Struct) -> str:
    """The struct as TOML text; `load` of it gives an equal struct."""
    import tomli_w

    data = msgspec.to_builtins(spec)
    return tomli_w.dumps(_without_none(data))


def _without_none(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_none(item) for key, item in node.items() if item is not None}
    if isinstance(node, list | tuple):
        return [_without_none(item) for item in node]
    return node


def _plain(
    node: Any, path: str, unit: str | None, sources: dict[str, str], file: str | Path | None
) -> Any:
    """The node with its figures in SI units; origins are moved to `sources`."""
    if isinstance(node, dict):
        if node.keys() == {"value", "source"}:
            sources[path] = str(node["source"])
            return _plain(node["value"], path, unit, sources, file)
        if path.rpartition(".")[2] == "sources":
            return node
        return {
            key: _plain(item, f"{path}.{key}" if path else key, unit_of(key) or unit, sources, file)
            for key, item in node.items()
        }
    if isinstance(node, list):
        return [_plain(item, f"{path}[{i}]", unit, sources, file) for i, item in enumerate(node)]
    if isinstance(node, str) and unit is not None:
        try:
            return parse(node, unit)
        except BadInput as fault:
            raise BadInput(fault.what, file=file, key=path, value=node) from None
    return node


def _explain(fault: str, data: dict[str, Any], file: str | Path | None) -> BadInput:
    """msgspec's 'Expected `float` > 0 - at `$.memory.x`' as our sentence, with the value."""
    what, _, where = fault.partition(" - at `$")
    key = where.rstrip("`").lstrip(".") or None
    value: Any = data
    for step in re.findall(r"[^.\[\]]+", key or ""):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError, ValueError):
            value = None
    what = what[0].lower() + what[1:]
    return BadInput(what, file=file, key=key, value=value if key else None)
