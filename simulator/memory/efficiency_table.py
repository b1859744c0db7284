"""The efficiency of expert streams over maps, queues, layouts and sizes, as a table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from ...base import BadInput, Count, Spec
from ...hardware.dram import DramConfig
from .controller import Controller, Entries
from .efficiency import Demand, Sampled, expert_bytes_stream, sampled
from .layouts import LAYOUTS, Expert
from .maps import maps_of

Readers = Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
TileBytes = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]


class Row(Spec, frozen=True, kw_only=True):
    """One stream on one memory; map: its name in `maps_of`; moved: see `Sampled`."""

    config: str
    stream: str
    expert_bytes: Count
    layout: str
    readers: Count
    tile_bytes: Count
    map: str
    queue: Count
    share_of_peak: float
    row_hit_rate: float
    energy_j_per_bit: float | None
    moved: float


class Cells(Spec, frozen=True, kw_only=True):
    """What a table goes over: every combination is one row. readers: at once; sizes in bytes."""

    queues: tuple[Entries, ...] = (16, 32, 64)
    layouts: tuple[str, ...] = tuple(LAYOUTS)
    readers: tuple[Readers, ...] = (16,)
    tile_bytes: tuple[TileBytes, ...] = (2048,)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.__struct_fields__:
            if not getattr(self, name):
                raise ValueError(f"`{name}` must name at least one")


def efficiency_table(
    config: DramConfig,
    controller: Controller,
    experts: Mapping[str, tuple[Expert, int]],
    cells: Cells | None = None,
    over: Mapping[str, str] | None = None,
) -> list[Row]:
    """Rows for experts (name -> an expert and how many stand in a layer), over maps (name -> map;
    those of `maps_of` by default). Each is computed once and kept; see `efficiency.sampled`."""
    cells = cells or Cells()
    rows = []
    for name, (expert, count) in experts.items():
        for demand in _demands(cells):
            runs = expert_bytes_stream(expert, count, config, demand)
            for (map_name, text), queue in itertools.product(
                (maps_of(config) if over is None else over).items(), cells.queues
            ):
                asked = msgspec.structs.replace(
                    controller, address_map=text, read_queue=queue, write_queue=queue
                )
                found = sampled(config, asked, runs)
                rows.append(_row(config, name, expert, queue, map_name, demand, found))
    return rows


def _demands(cells: Cells) -> Iterator[Demand]:
    for layout, readers, tile_bytes in itertools.product(
        cells.layouts, cells.readers, cells.tile_bytes
    ):
        yield Demand(layout=layout, readers=readers, tile_bytes=tile_bytes)


def _row(
    config: DramConfig,
    name: str,
    expert: Expert,
    queue: int,
    map_name: str,
    demand: Demand,
    found: Sampled,
) -> Row:
    return Row(
        config=config.name,
        stream=name,
        expert_bytes=expert.bytes,
        layout=demand.layout,
        readers=demand.readers,
        tile_bytes=demand.tile_bytes,
        map=map_name,
        queue=queue,
        share_of_peak=found.share_of_peak,
        row_hit_rate=found.row_hit_rate,
        energy_j_per_bit=found.energy_j_per_bit,
        moved=found.moved,
    )


def best_map(rows: Sequence[Row]) -> str:
    """The map whose worst row is the best: no layout, size or queue surprises it."""
    if not rows:
        raise BadInput("needs rows", key="table")
    names = dict.fromkeys(row.map for row in rows)
    return max(names, key=lambda name: min(r.share_of_peak for r in rows if r.map == name))


def write_table(path: str | Path, rows: Sequence[Row]) -> None:
    """The rows as Parquet, a column a field."""
    from ...base import parquet

    names = Row.__struct_fields__
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    about = {"evidence": "simulated", "units": "bytes; energy_j_per_bit: J/bit"}
    parquet.write(path, columns, about)
