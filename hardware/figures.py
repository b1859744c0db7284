"""Every number of a device, link or system with its unit and its source, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from ..base import Spec
from ..base.units import show, unit_of


class Figure(NamedTuple):
    """One number. path: dotted, as in the file; unit: SI, '' for a plain number or a count."""

    path: str
    value: float
    unit: str
    source: str

    @property
    def text(self) -> str:
        if self.unit == "m2":
            return f"{self.value * 1e6:g} mm2"
        return show(self.value, self.unit, 4) if self.unit else f"{self.value:g}"


def figures(spec: Spec) -> list[Figure]:
    """The figures of the spec in the order of its fields; those left at their default are out.

    The devices of a system are left out too: each has figures of its own.
    """
    return list(_walk(spec, "", "", "", {}))


def _walk(
    node: Any, path: str, key: str, unit: str, sources: Mapping[str, str]
) -> Iterator[Figure]:
    """`path` counts from the spec shown, `key` from the part whose `sources` are looked up."""
    if isinstance(node, Spec):
        if (own := getattr(node, "sources", None)) is not None:
            key, sources = "", own
        for field in msgspec.structs.fields(node):
            item, step = getattr(node, field.name), f".{field.name}"
            if field.name not in ("sources", "devices") and item != field.default:
                where = (path + step).lstrip("."), (key + step).lstrip(".")
                yield from _walk(item, *where, unit_of(field.name) or "", sources)
    elif isinstance(node, dict):
        for name, item in node.items():
            yield from _walk(item, f"{path}.{name}", f"{key}.{name}", unit, sources)
    elif isinstance(node, tuple):
        for i, item in enumerate(node):
            yield from _walk(item, f"{path}[{i}]", f"{key}[{i}]", unit, sources)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield Figure(path, node, unit, sources.get(key, ""))
