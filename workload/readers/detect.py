"""A file or folder -> RoutingTrace or RoutingCounts, by its content.

A new format is one line in `FORMATS`: its name, what tells it, what reads it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...base import BadInput, unknown
from ...base.files import require_plain
from . import sglang_recorder, tensorrt_llm, vllm_files
from .asked import Asked, Routing, settled
from .count_files import read_fiddler_counts, read_olmoe_counts
from .huggingface import read_router_logits
from .load_tables import eplb_weight, read_counts, read_load_history, read_moetuner
from .numpy_file import MAGIC, npy_header, read_npy, read_npz
from .research_traces import exflow_trace, read_olmoe_results
from .sglang_request import read_sglang_answers
from .token_files import read_npz_trace, read_parquet_trace
from .torch_file import PICKLE, read_torch
from .vllm_files import read_vllm_answers

JSON_HEAD = 16 * 2**20
"""How far into a JSON file its telling keys are looked for."""
MOST_FILES = 4096
MOST_FOLDER = 8 * 2**30
MOST_LAYERS = 4096
"""No model has more; a table of whole numbers with more rows holds tokens."""


class Head(NamedTuple):
    """What a probe sees: the first bytes, the names in an archive or a folder, the shape and kind
    of number of a .npy, and what the user said."""

    start: bytes
    members: tuple[str, ...] = ()
    folder: bool = False
    shape: tuple[int, ...] = ()
    kind: str = ""
    asked: Asked = Asked()

    def says(self, key: str) -> bool:
        """Whether a JSON text has the key near its beginning."""
        return self.start[:64].lstrip()[:1] in (b"{", b"[") and f'"{key}"'.encode() in self.start

    def table(self, kinds: str) -> bool:
        """Whether it is a .npy with two axes, of such numbers."""
        return len(self.shape) == 2 and self.kind in kinds


class Format(NamedTuple):
    """reads: path and what was asked -> routings by the name of their part. numbered: whether the
    format tells the absolute numbers of its layers, or their order only."""

    name: str
    numbered: bool
    tells: Callable[[Head], bool]
    reads: Callable[[Path, Asked], Mapping[str, Routing]]


def _one(reads: Callable[[Path, Asked], Routing]) -> Callable[[Path, Asked], Mapping[str, Routing]]:
    return lambda path, asked: {"": reads(path, asked)}


def _logits(path: Path, asked: Asked) -> Routing:
    if asked.top_k is None:
        raise BadInput("holds router logits: state how many experts a token takes", key="top_k")
    return read_router_logits(path, asked.top_k)


def _torch(path: Path, asked: Asked) -> Routing:
    """A recording of SGLang (also a folder of its ranks), a window of vLLM, weights of EPLB."""
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix == ".pt")
        size = sum(file.stat().st_size for file in files)
        if len(files) > MOST_FILES or size > MOST_FOLDER:
            raise BadInput(
                f"holds {len(files)} files of {size} bytes; at most {MOST_FILES} of "
                f"{MOST_FOLDER} bytes together are read",
                file=path,
            )
    values = {file: read_torch(file) for file in files}
    first: Any = values[files[0]]
    if len(files) == 1 and vllm_files.is_window(first):
        return settled(vllm_files.load_window(path, first), asked, False, path)
    if len(files) == 1 and isinstance(first, np.ndarray):
        return settled(eplb_weight(path, first), asked, False, path)
    if not sglang_recorder.is_recording(first):
        raise BadInput(
            "is none of the PyTorch files that are read: an SGLang recording (logical_count or "
            "records), a vLLM load window, a tensor of EPLB weights",
            file=path,
        )
    return sglang_recorder.recording(path, values)


def _pt(head: Head) -> bool:
    if head.folder:
        return any(name.endswith(".pt") for name in head.members)
    # A pickle on its own begins with its protocol; the reader says why it is not read.
    return head.start[:1] == b"\x80" or any(n.endswith("/" + PICKLE) for n in head.members)


FORMATS: tuple[Format, ...] = (
    Format(
        "npz-trace",
        True,
        lambda head: "expert_ids.npy" in head.members,
        _one(lambda path, _: read_npz_trace(path)),
    ),
    Format(
        "olmoe-counts",
        True,
        lambda head: any(name.endswith("/counts_topk.npy") for name in head.members),
        lambda path, _: read_olmoe_counts(path),
    ),
    Format(
        "counts",
        True,
        lambda head: {"loads.npy", "layers.npy"} <= set(head.members),
        _one(lambda path, _: read_counts(path)),
    ),
    Format(
        "moetuner",
        False,
        lambda head: {"P.npy", "R.npy"} <= set(head.members),
        _one(lambda path, _: read_moetuner(path)),
    ),
    Format(
        "vllm-load-window",
        False,
        lambda head: vllm_files.WINDOW + ".npy" in head.members,
        _one(lambda path, _: vllm_files.load_window(path, read_npz(path))),
    ),
    Format(
        "tensorrt-llm",
        True,
        lambda head: head.folder and tensorrt_llm.META in head.members,
        _one(lambda path, _: tensorrt_llm.read_tensorrt_llm(path)),
    ),
    Format("pytorch", True, _pt, _one(_torch)),
    Format(
        "parquet-trace",
        True,
        lambda head: head.start.startswith(b"PAR1"),
        _one(lambda path, _: read_parquet_trace(path)),
    ),
    Format(
        "exflow",
        False,
        lambda head: head.table("iu") and head.shape[0] > MOST_LAYERS,
        _one(lambda path, asked: exflow_trace(path, read_npy(path), asked)),
    ),
    Format(
        "eplb-weight",
        False,
        lambda head: head.table("f") and head.asked.top_k is None,
        _one(lambda path, _: eplb_weight(path, read_npy(path))),
    ),
    Format(
        "router-logits",
        False,
        lambda head: (
            (head.start.startswith(MAGIC) and not head.table("iu"))
            or (bool(head.members) and not head.folder)
        ),
        _one(_logits),
    ),
    Format(
        "fiddler",
        True,
        lambda head: head.says("expert_popularity"),
        lambda path, _: read_fiddler_counts(path),
    ),
    Format(
        "load-history",
        False,
        lambda head: head.says("load_history"),
        _one(lambda path, _: read_load_history(path)),
    ),
    Format("olmoe-results", False, lambda head: head.says("exp_ids"), _one(read_olmoe_results)),
    Format(
        "vllm",
        False,
        lambda head: (
            head.says("routed_experts") and head.says("choices") and not head.says("sglext")
        ),
        _one(read_vllm_answers),
    ),
    Format("sglang", True, lambda head: head.says("routed_experts"), _one(read_sglang_answers)),
)


def load_parts(
    path: str | Path,
    *,
    top_k: int | None = None,
    experts: int | None = None,
    layers: tuple[int, ...] | None = None,
    hidden_layers: int | None = None,
    form: str | None = None,
) -> dict[str, Routing]:
    """Everything that a file or folder holds, by the name of its part; one part is called ''.

    top_k: experts per token, which router logits and SGLang's answers do not tell. experts:
    logical experts, for traces that do not tell them. layers: absolute numbers of the MoE layers:
    given to them where the file has an order only, picked where it has numbers. hidden_layers: of
    the whole model, for SGLang's answers. form: a name in FORMATS, where content does not decide.
    """
    path = Path(path)
    asked = Asked(top_k, experts, layers, hidden_layers)
    asked.refuse()
    chosen = _named(form) if form is not None else _detected(path, asked)
    parts = chosen.reads(path, asked)
    return {name: settled(one, asked, chosen.numbered, path) for name, one in parts.items()}


def load(
    path: str | Path,
    *,
    part: str | None = None,
    top_k: int | None = None,
    experts: int | None = None,
    layers: tuple[int, ...] | None = None,
    hidden_layers: int | None = None,
    form: str | None = None,
) -> Routing:
    """The routing in a file. part: which model, where a file holds several; the rest as above."""
    parts = load_parts(
        path, top_k=top_k, experts=experts, layers=layers, hidden_layers=hidden_layers, form=form
    )
    if part is not None:
        if part not in parts:
            raise unknown("part", part, [name for name in parts if name], key=str(path))
        return parts[part]
    if len(parts) > 1:
        raise BadInput(f"holds several routings; choose a part: {', '.join(parts)}", file=path)
    return next(iter(parts.values()))


def _named(name: str) -> Format:
    for form in FORMATS:
        if form.name == name:
            return form
    raise unknown("format", name, [form.name for form in FORMATS])


def _detected(path: Path, asked: Asked) -> Format:
    head = _head(path, asked)
    for form in FORMATS:
        if form.tells(head):
            return form
    if head.folder:
        raise BadInput(
            "is a folder without a recording: neither .pt files of SGLang nor the meta_info.json "
            "of TensorRT-LLM",
            file=path,
        )
    if head.table("iu"):
        raise BadInput(
            "is a table of whole numbers, which may mean two things: say --format exflow for the "
            "top-1 experts of [tokens, layers], --format eplb-weight for loads [layers, experts]",
            file=path,
        )
    known = ", ".join(form.name for form in FORMATS)
    raise BadInput(f"is in no format that is read here: {known}", file=path)


def _head(path: Path, asked: Asked) -> Head:
    try:
        if path.is_dir():
            return Head(b"", tuple(file.name for file in path.iterdir()), folder=True)
        require_plain(path)
        with path.open("rb") as stream:
            start = stream.read(4096)
            if start.lstrip()[:1] in (b"{", b"["):
                start += stream.read(JSON_HEAD)
        if start.startswith(MAGIC):
            header = npy_header(start, path)
            return Head(start, shape=header.shape, kind=header.dtype.kind, asked=asked)
        if not start.startswith(b"PK"):
            return Head(start)
        with zipfile.ZipFile(path) as archive:
            return Head(start, tuple(archive.namelist()))
    except OSError as fault:
        what = (fault.strerror or str(fault)).lower()
        raise BadInput(f"cannot be read: {what}", file=path) from None
    except (zipfile.BadZipFile, ValueError, LookupError, RuntimeError) as fault:
        if isinstance(fault, BadInput):
            raise
        raise BadInput(f"is no readable archive: {fault}", file=path) from None
