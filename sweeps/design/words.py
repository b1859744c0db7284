"""Words: what describes one point of a design space, and the specs that its words stand for."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ...base import BadInput, number_format, unknown
from ...base.units import parse
from ...hardware import System
from ...hardware.load import device as load_device
from ...hardware.load import link as load_link
from ...hardware.load import system as load_system
from ...hardware.system import Tier
from ...workload import MoEModel, Parallel
from ...workload.load import model as load_model
from .names import check_line
from .paths import TIMES, is_path, leaf_of, leaves, with_model, with_system


class Word(NamedTuple):
    """kind: 'text', 'whole' or 'number'; unit: SI or ''; default: of a word that is not set; among:
    the texts that it takes, beside ''; any where there are none."""

    kind: str
    unit: str
    default: Any
    says: str
    among: tuple[str, ...] = ()


PLACEMENTS = ("contiguous", "round-robin", "lpt", "lpt-swaps", "eplb", "replicas")
"""Methods of `placement.METHODS` that go by loads alone, and neither draw nor watch a clock."""

KERNELS = ("trtllm", "sglang", "vllm")
UNITS = ("xpu", "one-unit", "rule", "spaces", "exact")
SCHEDULERS = ("continuous", "chunked")
"""What the simulator knows, by its names (`BACKENDS`, `POLICIES`, `SCHEDULERS` there)."""

WORDS: dict[str, Word] = {
    "model": Word("text", "", "", "a bundled model, or the path of a config.json"),
    "on": Word("text", "", "", "a system or device of the catalogue, or a .toml"),
    "device": Word("text", "", "", "in place of `on`: what a system of equal devices is made of"),
    "count": Word("whole", "", 1, "how many of them"),
    "per_node": Word("whole", "", 8, "how many of them share a node"),
    "link": Word("text", "", "", "the link inside a node"),
    "network": Word("text", "", "", "the link between nodes"),
    "weights": Word("text", "", "", "number format of all weights; '' for the model's own"),
    "kv": Word("text", "", "", "number format of the cache; '' for the model's own"),
    "tp": Word("whole", "", 0, "tensor parallelism in a replica; 0 by rule"),
    "dp": Word("whole", "", 0, "replicas of the attention; 0 by rule"),
    "ep": Word("whole", "", 0, "groups that the experts are spread over; 0 by rule"),
    "pp": Word("whole", "", 0, "pipeline stages; 0 by rule"),
    "batch": Word("whole", "request", 1, "decoding requests, of all replicas together"),
    "context": Word("whole", "token", 0, "tokens that each of them has cached"),
    "prompt": Word("whole", "token", 0, "tokens of a prompt; 0 for no time to first token"),
    "output": Word("whole", "token", 256, "tokens that a served request makes"),
    "kernels": Word(
        "text", "", "", "whose kernels run at detail tile; '' for the first measured", KERNELS
    ),
    "units": Word(
        "text", "", "", "who works at detail cycle: xpu, rule, exact, ...; '' for both", UNITS
    ),
    "scheduler": Word(
        "text", "", "continuous", "of the served requests: continuous or chunked", SCHEDULERS
    ),
    "routing": Word("text", "", "", "a recording, FILE or FILE#PART; '' for uniform routing"),
    "placement": Word("text", "", "", "how experts lie on the groups of ep, learnt", PLACEMENTS),
    "slots": Word("whole", "", 0, "experts that a group holds of a layer; 0 for each expert once"),
}
"""Every word but the paths of figures (see `paths`)."""


def word(name: str) -> Word:
    """What a word, or a path, takes. Raises BadInput for one that is none, with the nearest."""
    if name in WORDS:
        return WORDS[name]
    if is_path(name):
        leaf = leaf_of(name)
        return Word(leaf.kind, leaf.unit, None, "a factor" if name.startswith(TIMES) else "")
    raise unknown("word", name, [*WORDS, *leaves()])


def value_of(name: str, given: Any) -> Any:
    """The value of a word as a plain number or text: '4.8 TB/s' is 4.8e12. Raises BadInput."""
    known = word(name)
    kind, unit = known.kind, known.unit
    if kind == "text":
        if not isinstance(given, str):
            raise BadInput("takes text", key=name, value=given)
        if given and known.among and given not in known.among:
            raise unknown(name, given, known.among, key=name)
        return check_line(given, name) or known.default or ""
    if isinstance(given, str) and unit not in ("", "request", "token"):
        try:
            given = parse(given, unit)
        except BadInput as fault:
            raise BadInput(fault.what, key=name, value=given) from None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise BadInput(f"takes a number{f' in {unit}' if unit else ''}", key=name, value=given)
    if not abs(given) < 2.0**63:
        raise BadInput("must be finite, and below 2^63", key=name, value=given)
    if kind == "number":
        return float(given)
    if given != int(given) or given < 0:
        raise BadInput("takes whole numbers that are not negative", key=name, value=given)
    return int(given)


def asked(words: Mapping[str, Any], name: str) -> Any:
    """The word's value, or its default."""
    value = words.get(name, WORDS[name].default)
    return value.item() if hasattr(value, "item") else value


def model_of(words: Mapping[str, Any], here: Path = Path()) -> MoEModel:
    """The model of one row, its shapes and formats as the words say. here: what the path of a
    file is relative to. Raises BadInput."""
    name = asked(words, "model")
    if not name:
        raise BadInput("is not named", key="model")
    found = load_model(here / name if name.endswith(".json") else name)
    formats = {"weights": ("weights", "experts"), "kv": ("kv",)}
    for key, parts in formats.items():
        if form := asked(words, key):
            number_format(form)
            new = msgspec.structs.replace(found.formats, **dict.fromkeys(parts, form))
            found = msgspec.structs.replace(found, formats=new)
    for path, value in _figures(words, "model."):
        found = with_model(found, path, value)
    return found


def system_of(words: Mapping[str, Any], here: Path = Path()) -> System:
    """The machine of one row: named by `on`, or put together of equal devices; then its figures
    as the words say. Raises BadInput."""
    made, named = asked(words, "device"), asked(words, "on")
    if bool(made) == bool(named):
        raise BadInput("name a machine by `on`, or by `device`", key="on", value=named or None)
    found = _machine(named, here) if named else _put_together(words, here)
    for path, value in _figures(words, "system."):
        found = with_system(found, path, value)
    return found


def split_of(words: Mapping[str, Any], system: System, model: MoEModel) -> Parallel:
    """The degrees of one row. Where none is given, the whole machine: tensor parallelism inside a
    node, experts split there too, a replica of the attention on each node. Experts on more devices
    than a replica has imply replicas. Raises BadInput where they do not divide or fit."""
    tp, dp, ep, pp = (asked(words, key) for key in ("tp", "dp", "ep", "pp"))
    if not (tp or dp or ep or pp):
        tp = system.tiers[0].size if system.tiers else 1
        dp = ep = len(system.devices) // tp
    tp, ep, pp = tp or 1, ep or 1, pp or 1
    try:
        split = Parallel(tp=tp, dp=dp or max(1, ep // tp), ep=ep, pp=pp)
    except ValueError as fault:
        raise BadInput(str(fault)) from None
    if split.devices > len(system.devices):
        raise BadInput(f"needs {split.devices} devices; {system.name} has {len(system.devices)}")
    split.check(model)
    return split


def _figures(words: Mapping[str, Any], first: str) -> list[tuple[str, Any]]:
    """The paths among the words, and their values: what is set before factors, and peaks of one
    table together, since a device checks each against the others."""
    found: dict[str, Any] = {}
    for name, value in words.items():
        if name.removeprefix(TIMES).startswith(first):
            plain = value.item() if hasattr(value, "item") else value
            table, _, last = name.rpartition(".")
            if table.endswith(".peak_flops_per_s") and not name.startswith(TIMES):
                found[table] = found.get(table, {}) | {last: plain}
            else:
                found[name] = plain
    return sorted(found.items(), key=lambda figure: figure[0].startswith(TIMES))


@functools.lru_cache(512)
def _machine(name: str, here: Path) -> System:
    """The system of that name, equal devices one object."""
    found = load_system(here / name if name.endswith(".toml") else name)
    distinct: list[Any] = []
    devices = []
    for device in found.devices:
        same = next((one for one in distinct if one == device), device)
        if same is device:
            distinct.append(device)
        devices.append(same)
    return msgspec.structs.replace(found, devices=tuple(devices))


MOST_DEVICES = 4096


def _put_together(words: Mapping[str, Any], here: Path) -> System:
    """`count` devices of one kind, in nodes of `per_node`."""
    name, count, node = (asked(words, key) for key in ("device", "count", "per_node"))
    if not 1 <= count <= MOST_DEVICES:
        raise BadInput(f"must lie in 1..{MOST_DEVICES}", key="count", value=count)
    if node < 1:
        raise BadInput("must be at least 1", key="per_node", value=node)
    if count > node and count % node:
        raise BadInput(f"{count} devices do not fill nodes of {node}", key="count")
    sizes = {"link": ("node", min(count, node)), "network": ("rack", count // node)}
    tiers = []
    for key, (tier, size) in sizes.items():
        if size > 1:
            if not (joined := asked(words, key)):
                raise BadInput(f"is not named, and joins {size} to a {tier}", key=key)
            tiers.append(Tier(name=tier, size=size, link=_link(joined, here)))
    one = _device(name, here)
    return System(name=f"{one.name} x {count}", devices=(one,) * count, tiers=tuple(tiers))


@functools.lru_cache(512)
def _device(name: str, here: Path) -> Any:
    return load_device(here / name if name.endswith(".toml") else name)


@functools.lru_cache(512)
def _link(name: str, here: Path) -> Any:
    return load_link(here / name if name.endswith(".toml") else name)
