"""Any figure of a machine or a model by its dotted path, such as
`system.device.memory.bandwidth_bytes_per_s`: which paths there are, and specs with some changed."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from ...base import BadInput, unknown
from ...base.units import unit_of
from ...hardware import System
from ...hardware.device import PEAKS, AnyDevice
from ...hardware.system import Tier
from ...workload import Experts, Layer, MoEModel
from ...workload.model import Formats, Mixer

S = TypeVar("S")
ANY_TIER = "*"
TIMES = "times:"
"""Before a path: its value is a factor on the figure, or on every peak of `peak_flops_per_s`."""

_LEFT_OUT = ("name", "vendor", "notes", "sources", "technology", "kind", "year")
"""What only describes."""
_PARTS = {"experts": Experts, "attention": Mixer, "formats": Formats}
_WHOLE, _SHAPES = ("power_w", "price_usd_per_hour"), ("hidden", "vocab")
"""What is of the whole machine, and of the whole model."""


class Leaf(NamedTuple):
    """What a path leads to. kind: 'number', 'whole' or 'text'; unit: SI, '' for a plain one."""

    kind: str
    unit: str


@functools.cache
def leaves() -> dict[str, Leaf]:
    """Every path, tiers by the name `*`."""
    found = _below("system.device", AnyDevice)
    found |= _below(f"system.tiers.{ANY_TIER}", Tier)
    found |= {f"system.{name}": Leaf("number", unit_of(name) or "") for name in _WHOLE}
    for name, kind in _PARTS.items():
        found |= _below(f"model.{name}", kind)
    return found | {f"model.{name}": Leaf("whole", "") for name in _SHAPES}


def _below(path: str, kind: Any, unit: str = "") -> dict[str, Leaf]:
    """The leaves of a type, by their paths."""
    if not isinstance(kind, msgspec.inspect.Type):
        kind = msgspec.inspect.type_info(kind)
    if isinstance(kind, msgspec.inspect.FloatType):
        return {path: Leaf("number", unit)}
    if isinstance(kind, msgspec.inspect.IntType):
        return {path: Leaf("whole", unit)}
    if isinstance(kind, msgspec.inspect.StrType):
        return {path: Leaf("text", "")}
    if isinstance(kind, msgspec.inspect.UnionType):
        return {k: leaf for member in kind.types for k, leaf in _below(path, member, unit).items()}
    if isinstance(kind, msgspec.inspect.DictType):
        return {f"{path}.{name}": Leaf("number", unit) for name in sorted(PEAKS)}
    if isinstance(kind, msgspec.inspect.StructType):
        fields = {field.name: field.type for field in kind.fields if field.name not in _LEFT_OUT}
        under = (_below(f"{path}.{n}", type_, unit_of(n) or "") for n, type_ in fields.items())
        return {k: leaf for part in under for k, leaf in part.items()}
    return {}


def is_path(word: str) -> bool:
    """Whether the word is written as a path, right or wrong."""
    return word.removeprefix(TIMES).partition(".")[0] in ("system", "model") and "." in word


def leaf_of(word: str) -> Leaf:
    """What a path leads to; a factor is a plain number. Raises BadInput with the nearest paths."""
    path = word.removeprefix(TIMES)
    plain, tier = _any_tier(path)
    if not word.startswith(TIMES):
        if plain in leaves():
            return leaves()[plain]
    elif any(_scales(leaf, key, plain) for key, leaf in leaves().items()):
        return Leaf("number", "")
    before = TIMES if word.startswith(TIMES) else ""
    fit = (key for key, leaf in leaves().items() if not before or leaf.kind == "number")
    raise unknown("figure", word, {before + key.replace(ANY_TIER, tier) for key in fit})


def _scales(leaf: Leaf, key: str, path: str) -> bool:
    """Whether the path is a number's, or that of the table of peaks that it stands in."""
    table = path.endswith(".peak_flops_per_s") and key.startswith(f"{path}.")
    return leaf.kind == "number" and (key == path or table)


def _any_tier(path: str) -> tuple[str, str]:
    """The path with its tier's name replaced by `*`, and that name."""
    parts = path.split(".")
    if parts[:2] != ["system", "tiers"] or len(parts) < 3:
        return path, "node"
    return ".".join((*parts[:2], ANY_TIER, *parts[3:])), parts[2]


def with_system(system: System, word: str, value: Any) -> System:
    """The system with the figure at a path set, or multiplied. Equal devices stay one object."""
    path, factor = word.removeprefix(TIMES), word.startswith(TIMES)
    first, _, rest = path.removeprefix("system.").partition(".")
    if first == "device":
        changed = {
            id(device): _changed(device, rest, value, factor, path)
            for device in {id(device): device for device in system.devices}.values()
        }
        devices = tuple(changed[id(device)] for device in system.devices)
        return _rebuilt(system, path, devices=devices)
    if first == "tiers":
        name, _, inner = rest.partition(".")
        return _with_tier(system, name, inner, value, factor, path)
    return _changed(system, first, value, factor, path)


def _with_tier(
    system: System, name: str, inner: str, value: Any, factor: bool, path: str
) -> System:
    places = [i for i, tier in enumerate(system.tiers) if tier.name == name]
    if not places:
        known = ", ".join(tier.name for tier in system.tiers) or "none"
        raise BadInput(f"{system.name} has no tier {name!r}; it has {known}", key=path)
    tiers = list(system.tiers)
    tiers[places[0]] = _changed(tiers[places[0]], inner, value, factor, path)
    if inner != "size":
        return _rebuilt(system, path, tiers=tuple(tiers))
    if any(device != system.devices[0] for device in system.devices):
        raise BadInput(f"{system.name} has unlike devices, so its tiers keep their sizes", key=path)
    count = 1
    for tier in tiers:
        count *= tier.size
    return _rebuilt(system, path, tiers=tuple(tiers), devices=(system.devices[0],) * count)


def with_model(model: MoEModel, word: str, value: Any) -> MoEModel:
    """The model with one shape set, in every layer that has it."""
    path, factor = word.removeprefix(TIMES), word.startswith(TIMES)
    first, _, rest = path.removeprefix("model.").partition(".")

    def change(part: Any) -> Any:
        return _changed(part, rest, value, factor, path)

    if first == "formats":
        return _rebuilt(model, path, formats=change(model.formats))
    if first not in ("experts", "attention"):
        return _changed(model, first, value, factor, path)
    parts = [_parts(layer, first, rest) for layer, _ in model.groups]
    if not any(parts):
        raise BadInput(f"{model.name} has no {rest} in its {first}", key=path)
    changed = {
        layer: _with_parts(layer, first, [change(part) if part in own else part for part in every])
        for (layer, _), own in zip(model.groups, parts, strict=True)
        for every in [_parts(layer, first, "")]
    }
    return _rebuilt(model, path, layers=tuple(changed[layer] for layer in model.layers))


def _parts(layer: Layer, first: str, rest: str) -> list[Any]:
    """The expert block of a layer, or its mixers; those that have the field `rest`, if named."""
    every = list(layer.mixers) if first == "attention" else [layer.ffn]
    return [part for part in every if not rest or hasattr(part, rest)]


def _with_parts(layer: Layer, first: str, parts: list[Any]) -> Layer:
    new: dict[str, Any] = {"mixers": tuple(parts)} if first == "attention" else {"ffn": parts[0]}
    return msgspec.structs.replace(layer, **new)


def _changed(node: S, rest: str, value: Any, factor: bool, path: str) -> S:
    """The spec with the figure at `rest` set, or multiplied: a table of figures as a whole."""
    name, _, below = rest.partition(".")
    if isinstance(node, dict):
        if factor and name not in node:
            raise BadInput(f"has no {name} to multiply", key=path)
        table: Any = node | {name: node[name] * value if factor else value}
        return cast(S, table)
    if name not in getattr(node, "__struct_fields__", ()):
        raise BadInput(f"{_called(node)} has no {name}", key=path)
    item = getattr(node, name)
    if item is None and (below or factor):
        raise BadInput(f"{_called(node)} states no {name}", key=path)
    if below:
        new = _changed(item, below, value, factor, path)
    elif isinstance(item, dict):
        new = {key: figure * value for key, figure in item.items()} if factor else item | value
    else:
        new = item * value if factor else value
    return _rebuilt(node, path, **{name: new})


def _rebuilt(node: S, path: str, **changes: Any) -> S:
    """The spec with fields replaced and checked again."""
    try:
        spec: Any = node
        made: S = msgspec.structs.replace(spec, **changes)
        return made
    except BadInput as fault:
        raise BadInput(fault.what, key=path, value=fault.value) from None
    except ValueError as fault:
        raise BadInput(str(fault), key=path) from None


def _called(node: Any) -> str:
    return str(getattr(node, "name", type(node).__name__.lower()))
