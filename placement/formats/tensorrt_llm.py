"""TensorRT-LLM's load balancer file, given as `moe_config.load_balancer: FILE.yaml`.

`num_slots`, `initial_global_assignments: {layer: [expert of slot 0, ...]}` by absolute layer, and
`layer_updates_per_iter` (0: the map stays). Slot s lies on rank s // (num_slots / ep_size). Every
MoE layer must be there, the prediction layer too. `ep_size` is read where a tool wrote it.
Only the forms that such a file takes are read, not all of YAML: names with a number, layers with a
list in brackets or one item a line.
Source: NVIDIA/TensorRT-LLM, examples/wide_ep/ep_load_balancer/{README.md,generate_eplb_config.py}.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...base import BadInput
from ...workload import ExpertMap
from .file import Format, Table, rows_of

ASSIGNMENTS = "initial_global_assignments"
NUMBERS = ("num_slots", "layer_updates_per_iter", "ep_size")
_END = r"[ \t]*(?:\n|\Z)"
_TOP = re.compile(rf"([a-z_]{{1,64}}):[ \t]*(\d{{1,9}})?{_END}")
_LAYER = re.compile(rf"[ \t]+(\d{{1,9}}):[ \t]*(?:(\[[\d,\s]*\]){_END}|\n)")
_ITEM = re.compile(rf"[ \t]*-[ \t]+(\d{{1,9}}){_END}")


def encode(placed: ExpertMap, model_layers: int | None) -> bytes:
    """As the engine's own tool writes it: a line a layer, names in order of the alphabet."""
    rows = sorted(zip(placed.layers, placed.slots.tolist(), strict=True))
    lines = [
        f"{ASSIGNMENTS}:",
        *(f"  {layer}: [{', '.join(map(str, row))}]" for layer, row in rows),
        "layer_updates_per_iter: 0",
        f"num_slots: {placed.slots.shape[1]}",
    ]
    return ("\n".join(lines) + "\n").encode()


def decode(data: bytes, path: Path) -> Table:
    """The rows of the layers that the file names."""
    numbers, layers = _parsed(data, path)
    if "num_slots" not in numbers or not layers:
        raise BadInput(f"needs num_slots and {ASSIGNMENTS}", file=path)
    for layer, row in layers.items():
        if len(row) != numbers["num_slots"]:
            raise BadInput(
                f"holds {len(row)} slots; num_slots is {numbers['num_slots']}",
                file=path,
                key=f"layer {layer}",
            )
    order = sorted(layers)
    return Table(
        rows_of([layers[layer] for layer in order], path),
        layers=tuple(order),
        ranks=numbers.get("ep_size"),
    )


def _parsed(data: bytes, path: Path) -> tuple[dict[str, int], dict[int, list[int]]]:
    """The numbers by name, and the slots by layer."""
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise BadInput("is no text", file=path) from None
    bare = (line.split("#", 1)[0].rstrip(" \t\r") for line in lines)
    text = "\n".join(line for line in bare if line).removeprefix("---\n")
    numbers: dict[str, int] = {}
    layers: dict[int, list[int]] = {}
    at = 0
    while at < len(text):
        top = _TOP.match(text, at)
        if top is None:
            raise _unread(text, at, path)
        name, at = top[1], top.end()
        known = name in NUMBERS if top[2] else name == ASSIGNMENTS
        if not known or name in numbers or (name == ASSIGNMENTS and layers):
            raise BadInput(
                f"is twice there, or none of {', '.join(NUMBERS)} with a number and {ASSIGNMENTS} "
                "with layers below it",
                file=path,
                key=name,
            )
        if top[2]:
            numbers[name] = int(top[2])
        else:
            at = _layers(text, at, layers, path)
    return numbers, layers


def _layers(text: str, at: int, layers: dict[int, list[int]], path: Path) -> int:
    """Reads the layers from `at` on; gives where they end."""
    while match := _LAYER.match(text, at):
        layer, at = int(match[1]), match.end()
        if layer in layers:
            raise BadInput("is twice there", file=path, key=f"layer {layer}")
        if match[2] is not None:
            parts = [part.strip() for part in match[2][1:-1].split(",")]
            if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
                raise BadInput("must be a list of experts", file=path, key=f"layer {layer}")
            layers[layer] = [int(part) for part in parts]
            continue
        layers[layer] = []
        while item := _ITEM.match(text, at):
            layers[layer].append(int(item[1]))
            at = item.end()
    return at


def _unread(text: str, at: int, path: Path) -> BadInput:
    line = text[at : at + 40].splitlines()[0] if text[at : at + 40].splitlines() else ""
    return BadInput(
        f"holds what a load balancer file does not: {line!r}; read are names with a number, and "
        "layers with lists of experts",
        file=path,
    )


TENSORRT_LLM = Format(
    name="tensorrt-llm",
    use="moe_config.load_balancer: FILE",
    suffixes=(".yaml", ".yml"),
    rows="numbered layers",
    tells=lambda start: any(name.encode() in start for name in (ASSIGNMENTS, *NUMBERS)),
    encode=encode,
    decode=decode,
)
