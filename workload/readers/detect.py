"""A file -> RoutingTrace or RoutingCounts, by its content.

A new format is one line in `FORMATS`: its name, what tells it, what reads it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ...base import BadInput, unknown
from ...base.files import require_plain
from ..counts import RoutingCounts
from ..trace import RoutingTrace
from .count_files import read_fiddler_counts, read_olmoe_counts
from .huggingface import read_router_logits
from .token_files import read_npz_trace, read_parquet_trace

Routing = RoutingTrace | RoutingCounts


class Head(NamedTuple):
    """What a probe sees: the first bytes, and the names of an archive's members."""

    start: bytes
    members: tuple[str, ...]


class Format(NamedTuple):
    """reads: path and top_k (None where not told) -> routings by the name of their part."""

    name: str
    tells: Callable[[Head], bool]
    reads: Callable[[Path, int | None], Mapping[str, Routing]]


def _logits(path: Path, top_k: int | None) -> Mapping[str, Routing]:
    if top_k is None:
        raise BadInput("holds router logits: state how many experts a token takes", key="top_k")
    return {"": read_router_logits(path, top_k)}


FORMATS: tuple[Format, ...] = (
    Format(
        "npz trace",
        lambda head: "expert_ids.npy" in head.members,
        lambda path, _: {"": read_npz_trace(path)},
    ),
    Format(
        "OLMoE counts",
        lambda head: any(name.endswith("/counts_topk.npy") for name in head.members),
        lambda path, _: read_olmoe_counts(path),
    ),
    Format(
        "Parquet trace",
        lambda head: head.start.startswith(b"PAR1"),
        lambda path, _: {"": read_parquet_trace(path)},
    ),
    Format(
        "router logits",
        lambda head: head.start.startswith(b"\x93NUMPY") or bool(head.members),
        _logits,
    ),
    Format(
        "Fiddler popularity",
        lambda head: head.start.lstrip().startswith(b"{") and b"expert_popularity" in head.start,
        lambda path, _: read_fiddler_counts(path),
    ),
)


def load_parts(path: str | Path, *, top_k: int | None = None) -> dict[str, Routing]:
    """Everything that a file holds, by the name of its part; one part is called ''.

    top_k: experts per token, which router logits do not tell.
    """
    path = Path(path)
    head = _head(path)
    for form in FORMATS:
        if form.tells(head):
            return dict(form.reads(path, top_k))
    known = ", ".join(form.name for form in FORMATS)
    raise BadInput(f"is in no format that is read here: {known}", file=path)


def load(path: str | Path, *, part: str | None = None, top_k: int | None = None) -> Routing:
    """The routing in a file. part: which model, where a file holds several."""
    parts = load_parts(path, top_k=top_k)
    if part is not None:
        if part not in parts:
            raise unknown("part", part, [name for name in parts if name], key=str(path))
        return parts[part]
    if len(parts) > 1:
        raise BadInput(f"holds several routings; choose a part: {', '.join(parts)}", file=path)
    return next(iter(parts.values()))


def _head(path: Path) -> Head:
    try:
        require_plain(path)
        with path.open("rb") as stream:
            start = stream.read(4096)
        if not start.startswith(b"PK"):
            return Head(start, ())
        with zipfile.ZipFile(path) as archive:
            return Head(start, tuple(archive.namelist()))
    except OSError as fault:
        what = (fault.strerror or str(fault)).lower()
        raise BadInput(f"cannot be read: {what}", file=path) from None
    except (zipfile.BadZipFile, ValueError, LookupError, RuntimeError) as fault:
        if isinstance(fault, BadInput):
            raise
        raise BadInput(f"is no readable archive: {fault}", file=path) from None
