"""What the formats share: a table of slots, what tells and codes it, and the sidecar beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.files import read_bounded, writing
from ...workload import ExpertMap, MoEModel
from ..placement import Placement
from . import sidecar, validate

Rows = Literal["hidden layers", "numbered layers", "MoE layers"]
MOST_LAYERS = 4096


class Table(NamedTuple):
    """What a file holds. slots: `[rows, physical]`. layers: the number of each row, where told.
    alike: the one row holds for all layers. experts, ranks: where told."""

    slots: NDArray[np.int64]
    layers: tuple[int, ...] | None = None
    alike: bool = False
    experts: int | None = None
    ranks: int | None = None


class Format(NamedTuple):
    """One engine's file. use: how the engine is given it. rows: which layers its rows stand for.

    tells: from the first bytes. encode: a map without faults, and the model's hidden layers where
    known -> the file. decode: the file and its path (for messages) -> its table.
    """

    name: str
    use: str
    suffixes: tuple[str, ...]
    rows: Rows
    tells: Callable[[bytes], bool]
    encode: Callable[[ExpertMap, int | None], bytes]
    decode: Callable[[bytes, Path], Table]


def save(
    form: Format,
    path: str | Path,
    placement: Placement | ExpertMap,
    model_layers: int | None = None,
) -> None:
    """Writes the engine's file, and for a Placement its sidecar FILE.meta.json.

    model_layers: hidden layers of the model. Raises BadInput for a map that engines would refuse.
    A bare map has nothing to say beside: a sidecar of what stood there before is removed.
    """
    path = Path(path)
    placed = placement if isinstance(placement, ExpertMap) else placement.expert_map
    demand_room(form, path, placed.layers, model_layers)
    validate.refuse(validate.map_faults(placed), path)
    try:
        data = form.encode(placed, model_layers)
    except BadInput as fault:
        raise BadInput(fault.what, file=path, key=fault.key, value=fault.value) from None
    if isinstance(placement, ExpertMap):
        sidecar.remove(path)
    else:
        sidecar.write(path, placement)
    with writing(path) as beside:
        beside.write_bytes(data)


def demand_room(
    form: Format, path: Path, layers: tuple[int, ...], model_layers: int | None
) -> None:
    """Raises BadInput where no map of these layers can be written there, whatever it holds."""
    if path.suffix not in form.suffixes:
        raise BadInput(
            f"{form.name} knows its files by the ending {' or '.join(form.suffixes)}", file=path
        )
    if path.is_dir():
        raise BadInput("is a folder; name a file", file=path)
    most = MOST_LAYERS if model_layers is None else model_layers
    if most <= max(layers) or most > MOST_LAYERS:
        raise BadInput(
            f"the placement speaks of layer {max(layers)}; a model of {most} has none, and "
            f"none has more than {MOST_LAYERS}",
            key="model_layers",
        )


def fetch(
    form: Format,
    path: str | Path,
    layers: tuple[int, ...] | None = None,
    experts: int | None = None,
    ranks: int | None = None,
) -> tuple[ExpertMap, Placement | None]:
    """The map in the file, and the placement where a sidecar tells of it.

    layers: absolute numbers; picked from a file that numbers its rows, given in order to those of
    one that does not; without them the sidecar's, else all rows, counted from 0. experts, ranks:
    where neither the file nor its sidecar tells them; the largest expert + 1 counts as told.
    Raises BadInput for what engines would refuse.
    """
    path = Path(path)
    table = form.decode(read_bounded(path), path)
    known = sidecar.read(path)
    experts, ranks = _sizes(table, known, experts, ranks, path)
    if ranks is None:
        raise BadInput("has no sidecar that tells the ranks; give their number", file=path)
    if layers is None and known is not None:
        layers = tuple(known.layers)
    numbers, slots = _rows(form, table, layers, path)
    validate.refuse(validate.table_faults(slots, numbers, experts, ranks), path)
    placed = ExpertMap(
        slots=slots.astype(np.int32),
        ranks=(np.arange(slots.shape[1]) // (slots.shape[1] // ranks)).astype(np.int32),
        layers=numbers,
        experts=experts,
    )
    same = known is not None and tuple(known.layers) == numbers
    return placed, sidecar.recalled(path, known, placed) if known is not None and same else None


def file_faults(
    form: Format,
    path: str | Path,
    *,
    model: MoEModel | None = None,
    experts: int | None = None,
    ranks: int | None = None,
) -> list[str]:
    """Every fault of a file as a sentence, in order; none where the engine can load it.

    model: holds the file's layers and experts against it. A file that cannot be taken for this
    format at all raises BadInput instead.
    """
    path = Path(path)
    table = form.decode(read_bounded(path), path)
    known = sidecar.read(path)
    experts = model.experts.count if model is not None and experts is None else experts
    experts, ranks = _sizes(table, known, experts, ranks, path)
    rows = len(table.slots)
    numbers = table.layers or (tuple(known.layers) if known is not None else tuple(range(rows)))
    numbers = numbers if len(numbers) == rows else tuple(range(rows))
    # Without ranks every slot counts as its own: what depends on them is not judged.
    spread = table.slots.shape[1] if ranks is None else ranks
    found = validate.table_faults(table.slots, numbers, experts, spread)
    if model is None or table.alike:
        return found
    if form.rows == "numbered layers":
        return found + validate.layer_faults(table.layers or (), model, prediction=True)
    wanted = len(model.layers) if form.rows == "hidden layers" else len(model.moe_layers)
    return found + validate.row_faults(rows, wanted, form.rows, model)


def _sizes(
    table: Table, known: sidecar.Sidecar | None, experts: int | None, ranks: int | None, path: Path
) -> tuple[int, int | None]:
    """Experts, by the largest one where nothing tells them, and ranks where something does."""
    known_experts = None if known is None else known.experts
    known_ranks = None if known is None else max(known.ranks) + 1
    number = _agreed("experts", experts, known_experts, table.experts, path)
    return (
        int(table.slots.max()) + 1 if number is None else number,
        _agreed("ranks", ranks, known_ranks, table.ranks, path),
    )


def _agreed(
    what: str, asked: int | None, known: int | None, told: int | None, path: Path
) -> int | None:
    """The number that user, sidecar and file agree on; None where none of them tells it."""
    for number in (known, told):
        if number is not None and asked is not None and asked != number:
            raise BadInput(f"was made for {number} {what}", file=path, value=asked)
    if known is not None and told is not None and known != told:
        raise BadInput(f"holds {told} {what}, its sidecar says {known}", file=path)
    return next((number for number in (asked, known, told) if number is not None), None)


def _rows(
    form: Format,
    table: Table,
    layers: tuple[int, ...] | None,
    path: Path,
) -> tuple[tuple[int, ...], NDArray[np.int64]]:
    """The absolute numbers and the slots of the layers that are read."""
    count = len(table.slots)
    if layers is not None and (
        not 1 <= len(set(layers)) == len(layers) <= MOST_LAYERS or min(layers) < 0
    ):
        raise BadInput("must name layers, each once", file=path, key="layers", value=layers)
    if table.alike:
        numbers = (0,) if layers is None else layers
        return numbers, np.tile(table.slots, (len(numbers), 1))
    told = tuple(range(count)) if table.layers is None else table.layers
    if layers is None:
        return told, table.slots
    if form.rows in ("hidden layers", "numbered layers"):
        for layer in layers:
            if layer not in told:
                raise BadInput(f"holds {count} layers; layer {layer} is asked for", file=path)
        return layers, table.slots[[told.index(layer) for layer in layers]]
    if len(layers) != count:
        raise BadInput(f"holds {count} layers; {len(layers)} are named", file=path, key="layers")
    return layers, table.slots


def rows_of(lists: list[list[int]], path: Path) -> NDArray[np.int64]:
    """Lists of whole numbers as a table; refuses unequal rows and numbers that no expert has."""
    if not lists or not lists[0] or any(len(row) != len(lists[0]) for row in lists):
        raise BadInput("needs equally long rows, one a layer", file=path)
    if any(not 0 <= expert < 2**31 for row in lists for expert in row):
        raise BadInput("holds an expert below 0 or beyond all bounds", file=path)
    return np.array(lists, np.int64)
