"""Surveys: the measured spaces of our CUDA kernels, as tables; those of this project ship."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, parquet, unknown
from ...workload import MoEModel
from ...workload.load import model, names
from ..compiled.profile import Profile
from ..library.grouped_gemm import GROUPED_GEMM
from ..library.part import Part, Product, part_of
from ..search.runner import Trial
from ..search.space import Space
from ..search.strategy import Teacher
from .counts import FREE, MACROS, Counts, of_profiles

FOLDER = Path(__file__).parent / "surveys"
MOST_ROWS, MOST_PARTS, MOST_COUNTED = 1_000_000, 1_000, 1e12
"""Of a file that is read: rows, different parts, and any number of resources and counts."""
_RESOURCES = ("threads", "registers", "spilled_bytes", "local_bytes", "shared_bytes", "blocks")
_KINDS = ("mma", "instructions", "wavefronts", "load_sectors")
_COUNTED = (*_RESOURCES, *(f"step_{kind}" for kind in _KINDS), "tile_instructions")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration on a part. config: all macros. cubin_hash: of what ran."""

    part: Part
    config: dict[str, int]
    cubin_hash: str
    profile: Profile
    trial: Trial


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on one GPU: times measured, counts simulated. seconds `[rows]`, inf where
    one failed; part `[rows]`: the place in `parts`; counts `[rows]`."""

    gpu: str
    about: dict[str, str]
    parts: tuple[Part, ...]
    part: NDArray[np.int64]
    counts: Counts
    configs: tuple[dict[str, int], ...]
    cubins: tuple[str, ...]
    seconds: NDArray[np.float64]
    spread: NDArray[np.float64]

    def rows_of(self, part: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.part == part)

    def teacher(self, part: int) -> Teacher:
        """What was measured on one part, as a searched space."""
        rows = self.rows_of(part)
        free = [{name: self.configs[row][name] for name in FREE} for row in rows]
        return Teacher(
            name=f"{self.parts[part].name} on {self.gpu}",
            space=Space.of(GROUPED_GEMM.name, free),
            seconds=self.seconds[rows],
        )


def known_model(name: str) -> MoEModel:
    """A bundled model: a survey holds no more of one than its name."""
    if name not in names():
        raise unknown("bundled model", name, names())
    return model(name)


def write(path: str | Path, rows: Iterable[Measured], about: dict[str, str]) -> None:
    """One Parquet file. about: the GPU's catalogue name as `gpu`, driver, compiler, date, source,
    licence, whatever else tells where it comes from."""
    kept = list(rows)
    if not kept:
        raise BadInput("nothing was measured", file=path)
    kinds = sorted({name for one in kept for name in one.profile.step})
    columns = {
        "model": [one.part.model for one in kept],
        "product": [one.part.product for one in kept],
        "tokens": [one.part.tokens for one in kept],
        "ep": [one.part.ep for one in kept],
        **{name: [one.config[name] for one in kept] for name in MACROS},
        "seconds": [one.trial.seconds for one in kept],
        "spread": [one.trial.spread for one in kept],
        "repeats": [one.trial.repeats for one in kept],
        "status": [one.trial.status for one in kept],
        "cubin_hash": [one.cubin_hash for one in kept],
        **{name: [getattr(one.profile, name) for one in kept] for name in _RESOURCES},
        "limiter": [one.profile.limiter for one in kept],
        **{f"step_{kind}": [one.profile.step.get(kind, 0.0) for one in kept] for kind in kinds},
        **{f"tile_{kind}": [one.profile.tile.get(kind, 0.0) for one in kept] for kind in kinds},
    }
    parquet.write(path, columns, {f"moesaic.{key}": value for key, value in about.items()})


def read(path: str | Path) -> Survey:
    """A file that `write` made. Raises BadInput for any other."""
    about = {
        key.removeprefix("moesaic."): value
        for key, value in parquet.metadata(path).items()
        if key.startswith("moesaic.")
    }
    if about.get("kind") != "survey":
        raise BadInput("is no survey; make one with `moesaic tune survey`", file=path)
    found = parquet.read(
        path,
        {
            **dict.fromkeys(("model", "product", "status", "cubin_hash", "limiter"), "text"),
            **dict.fromkeys(("tokens", "ep", *MACROS), "int"),
            **dict.fromkeys(("seconds", "spread", *_COUNTED), "float"),
        },
        most_rows=MOST_ROWS,
    )
    ran = found["status"] == "ok"
    _check(path, found, ran)
    keys = list(zip(*(found[name] for name in ("model", "product", "tokens", "ep")), strict=True))
    distinct = list(dict.fromkeys(keys))
    place = {key: at for at, key in enumerate(distinct)}
    macros = np.stack([found[name] for name in MACROS], axis=1).tolist()
    configs = tuple(dict(zip(MACROS, row, strict=True)) for row in macros)
    return Survey(
        gpu=about.get("gpu", "a GPU"),
        about=about,
        parts=_parts(path, distinct),
        part=np.array([place[key] for key in keys]),
        counts=of_profiles(configs, _profiles(found)),
        configs=configs,
        cubins=tuple(found["cubin_hash"]),
        seconds=np.where(ran, found["seconds"], np.inf),
        spread=found["spread"],
    )


def _check(path: str | Path, found: parquet.Columns, ran: NDArray[np.bool_]) -> None:
    """Raises BadInput where a column holds what no survey can."""
    if not len(ran):
        raise BadInput("holds no measurement", file=path)
    fine = {
        "product": np.isin(found["product"], get_args(Product)),
        "seconds": ~ran | (np.isfinite(found["seconds"]) & (found["seconds"] > 0)),
        **{name: found[name] >= 1 for name in ("tokens", "ep")},
        **{name: np.isin(found[name], GROUPED_GEMM.parameters[name]) for name in MACROS},
        **{name: (found[name] >= 0) & (found[name] < MOST_COUNTED) for name in _COUNTED},
    }
    for name, right in fine.items():
        if not right.all():
            row = int(np.argmin(right))
            raise BadInput(
                f"row {row + 1} cannot be of a survey", file=path, key=name, value=found[name][row]
            )


def _parts(path: str | Path, keys: list[tuple[Any, ...]]) -> tuple[Part, ...]:
    if len(keys) > MOST_PARTS:
        raise BadInput(f"names {len(keys)} parts; at most {MOST_PARTS} are read", file=path)
    try:
        return tuple(
            part_of(known_model(m), p, int(tokens), ep=int(ep)) for m, p, tokens, ep in keys
        )
    except BadInput as fault:
        raise BadInput(fault.what, file=path, key=fault.key, value=fault.value) from None


def _profiles(found: parquet.Columns) -> list[Profile]:
    return [
        Profile(
            **{name: int(found[name][row]) for name in _RESOURCES},
            limiter=found["limiter"][row],
            step={kind: float(found[f"step_{kind}"][row]) for kind in _KINDS},
            tile={"instructions": float(found["tile_instructions"][row])},
        )
        for row in range(len(found["limiter"]))
    ]


def shipped_gpus() -> list[str]:
    """The GPUs whose surveys ship."""
    return sorted(file.stem for file in FOLDER.glob("*.parquet"))


@functools.cache
def shipped(gpu: str) -> Survey:
    """The survey of a GPU of the catalogue; raises BadInput where none ships."""
    if gpu not in shipped_gpus():
        raise unknown("survey of a GPU", gpu, shipped_gpus())
    return read(FOLDER / f"{gpu}.parquet")
