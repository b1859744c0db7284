"""The folder of a run: whose it is, and which of its files are finished. Never overwritten."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ... import __version__
from ...base import BadInput
from ...base.files import check_writable, content_hash, read_bounded, writing
from ...hardware.load import device, link, system
from ...workload.load import model
from .columns import about
from .locks import FOLDER as LOCKS
from .routed import fingerprint
from .space import Space
from .space import load as load_space
from .space_file import Seed
from .store import disk_faults

FORMAT = 1
SPACE, MANIFEST, ORIGIN, REPORT = "space.toml", "sweep.json", ".origin", "report"
STAGES = {"bound": "bound", "finer": "finer", "served": "served"}
"""Folders of files, and the detail whose evidence their columns carry."""

MOST_MANIFEST_BYTES = 16 * 2**20


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose folder it is; the same bytes whenever and wherever the same run begins.

    content: the hash of all that the rows follow from: version, space, specs, seed. specs: the
    hash of every machine and model that the space names, as it is read. columns: unit, meaning and
    evidence by stage.
    """

    format: int
    moesaic: str
    content: str
    title: str
    space: str
    specs: dict[str, str]
    seed: Seed
    points: int
    stages: tuple[str, ...]
    columns: dict[str, dict[str, Any]]


class RunFolder(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An opened run folder, and its space."""

    path: Path
    manifest: Manifest
    space: Space

    def files(self, stage: str) -> list[Path]:
        """The finished files of a stage, in the order of their names."""
        return files_of(self.path, stage)

    @functools.cached_property
    def provenance(self) -> dict[str, str]:
        """What every file says about where it comes from."""
        one = self.manifest
        return {"moesaic": one.moesaic, "content": one.content, "seed": str(one.seed)}


def files_of(folder: Path, stage: str) -> list[Path]:
    """The Parquet files of a stage; half-written ones have names that begin with a dot."""
    return sorted(p for p in (folder / stage).glob("*.parquet") if not p.name.startswith("."))


def claimed(path: Path, space_file: Path, seed: int | None = None) -> RunFolder:
    """The folder for a run of this space: one that may be begun, or that holds this run already.

    Writes nothing. Raises BadInput for a folder with other files, for one of another space, version
    or seed, and for one that cannot be written.
    """
    check_name(path)
    check_outside(path)
    given = read_bounded(space_file)
    space = seeded(load_space(space_file), seed)
    manifest = manifest_of(space, given)
    if path.exists() and not path.is_dir():
        raise BadInput("is a file; name a folder", file=path)
    if (path / MANIFEST).exists():
        _compare(path, read_manifest(path), manifest)
    elif foreign := sorted(_foreign(path)):
        raise BadInput(
            f"holds files that are no run's ({', '.join(foreign[:3])}); name an empty folder, or "
            "one that does not exist yet",
            file=path,
        )
    check_writable(path / MANIFEST)
    return RunFolder(path=path, manifest=manifest, space=space)


def begin(folder: RunFolder, space_file: Path) -> None:
    """Makes a claimed folder that of its run; leaves one that is so already as it is."""
    path, given = folder.path, read_bounded(space_file)
    if (path / MANIFEST).exists():
        return
    if content_hash(given) != folder.manifest.space:
        raise BadInput("has changed while it was read; begin again", file=space_file)
    plain = msgspec.to_builtins(folder.manifest)
    text = json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    with disk_faults(path):
        _write(path / SPACE, given)
        _write(path / ORIGIN, f"{space_file.parent.resolve()}\n".encode())
        _write(path / MANIFEST, text.encode())  # last: with it the folder is a run


def create(path: Path, space_file: Path, seed: int | None = None) -> RunFolder:
    """The folder of a run of this space, made unless it is there; faults as of `claimed`."""
    folder = claimed(path, space_file, seed)
    begin(folder, space_file)
    return folder


def opened(path: Path) -> RunFolder:
    """The run of the folder, as it was begun. Raises BadInput where it is none, or of another
    version, or where its space or a spec that this names has changed since."""
    held = read_manifest(path)
    given = read_bounded(path / SPACE)
    if content_hash(given) != held.space:
        raise BadInput(
            "was changed after the run began; put it back, or run it into another folder",
            file=path / SPACE,
        )
    _check_version(path, held)
    space = seeded(load_space(path / SPACE, here_of(path)), held.seed)
    _compare(path, held, manifest_of(space, given))
    return RunFolder(path=path, manifest=held, space=space)


def here_of(path: Path) -> Path:
    """What the files that the space names are relative to: where it lay, else the run's folder."""
    try:
        origin = Path(read_bounded(path / ORIGIN, 2**16).decode().rstrip("\n"))
    except (BadInput, UnicodeDecodeError):
        return path
    return origin if origin.is_dir() else path


def check_name(path: Path) -> None:
    """Raises BadInput for the name of a folder that no disk holds, or that questions in SQL would
    read as that of several."""
    if held := [letter for letter in "*?[]{}" if letter in str(path.absolute())]:
        raise BadInput(
            f"holds {' '.join(held)} in its path, which stands for other names in questions; name "
            "a folder without",
            file=path,
        )
    try:
        for stage in STAGES:
            (path / stage / f".{MANIFEST}").exists()
    except OSError as fault:
        raise BadInput(f"cannot be used: {(fault.strerror or '').lower()}", file=path) from None


def check_outside(path: Path, report: bool = False) -> None:
    """Raises BadInput for what would be written among the files of a run. report: it may lie in
    the run's folder of reports, which holds nothing of the run's own."""
    try:
        whole = path.resolve()
        places = [whole, *whole.parents] if report else list(whole.parents)
        run = next((one for one in places if (one / MANIFEST).is_file()), None)
    except OSError as fault:
        raise BadInput(f"cannot be used: {(fault.strerror or '').lower()}", file=path) from None
    if run is not None and not (report and (run / REPORT) in (whole, *whole.parents)):
        raise BadInput(
            f"lies in the folder of a run, {run}, which holds its own files only; name a path "
            "outside",
            file=path,
        )


def read_manifest(path: Path) -> Manifest:
    """Raises BadInput for a folder that is no run's, and for a format that this version cannot
    read."""
    check_name(path)
    if not path.is_dir():
        raise BadInput("is no folder; name the folder of a run (`--out` of `sweep run`)", file=path)
    if not (path / MANIFEST).exists():
        raise BadInput(
            f"is no run: it holds no {MANIFEST}; begin one with `moesaic sweep run`", file=path
        )
    data = read_bounded(path / MANIFEST, MOST_MANIFEST_BYTES)
    try:
        stated = msgspec.json.decode(data, type=dict[str, Any])
        if stated.get("format") != FORMAT:
            raise BadInput(
                f"has format {stated.get('format')!r}, of moesaic {stated.get('moesaic')!r}; this "
                f"is moesaic {__version__}, which reads format {FORMAT}",
                file=path / MANIFEST,
            )
        return msgspec.convert(stated, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise BadInput(f"is damaged: {fault}", file=path / MANIFEST) from None


def seeded(space: Space, seed: int | None) -> Space:
    """The space with another seed, if one is given."""
    if seed is None or seed == space.seed:
        return space
    return Space(msgspec.structs.replace(space.file, seed=seed), space.here, space.path)


def manifest_of(space: Space, given: bytes) -> Manifest:
    """The manifest of a run of this space. Raises BadInput for a spec that cannot be read."""
    specs: dict[str, str] = {}
    for name, spec in sorted((name, _hash(spec)) for name, spec in _specs(space)):
        # Files of one name in two folders are told together.
        specs[name] = content_hash(specs[name], spec) if name in specs else spec
    stages = ["bound"]
    stages += ["finer"] if space.file.finer is not None else []
    stages += ["served"] if space.file.served is not None else []
    parts = [f"{name}={spec}" for name, spec in specs.items()]
    columns: dict[str, dict[str, Any]] = {}
    for stage in stages:
        for name, one in about(space, STAGES[stage]).items():
            known = columns.setdefault(
                name, {"unit": one.unit, "meaning": one.says, "evidence": {}}
            )
            known["evidence"][stage] = one.evidence
    return Manifest(
        format=FORMAT,
        moesaic=__version__,
        content=content_hash(str(FORMAT), __version__, given, str(space.seed), *parts),
        title=space.title,
        space=content_hash(given),
        specs=specs,
        seed=space.seed,
        points=space.size,
        stages=tuple(stages),
        columns=columns,
    )


_READ: Mapping[str, tuple[str, Any]] = {
    "model": ("model", model),
    "on": ("machine", system),
    "device": ("device", device),
    "link": ("link", link),
    "network": ("link", link),
    "routing": ("routing", fingerprint),
}


def _specs(space: Space) -> Iterator[tuple[str, Any]]:
    """'kind name' of each spec that the space names, and the spec."""
    named: set[tuple[str, str]] = set()
    for key in _READ:
        values = {space.fixed[key]} if key in space.fixed else set()
        for axis in space.axes:
            values |= set(axis.columns[key].tolist()) if key in axis.columns else set()
        named |= {(key, value) for value in values if value}
    for key, name in named:
        kind, read = _READ[key]
        file = key == "routing" or name.endswith((".toml", ".json"))
        # Only the name: where the files lie is nobody's content.
        yield f"{kind} {Path(name).name}", read(str(space.here / name) if file else name)


def _hash(spec: Any) -> str:
    return content_hash(msgspec.json.encode(spec, order="deterministic"))


def _foreign(path: Path) -> Iterator[str]:
    """Names in the folder that no beginning of a run leaves there."""
    if path.is_dir():
        for entry in path.iterdir():
            if entry.name not in (SPACE, ORIGIN, LOCKS) and not entry.name.startswith(
                (".space.", ".sweep.", "..origin.")
            ):
                yield entry.name


def _write(path: Path, data: bytes) -> None:
    with writing(path) as beside:
        beside.write_bytes(data)


def _check_version(path: Path, held: Manifest) -> None:
    if held.moesaic != __version__:
        raise BadInput(
            f"holds a run of moesaic {held.moesaic}; this is {__version__}, whose rows may differ: "
            "go on with that version, or name another folder",
            file=path,
        )


def _compare(path: Path, held: Manifest, wanted: Manifest) -> None:
    """Raises BadInput that says what differs."""
    _check_version(path, held)
    if held.space != wanted.space:
        raise BadInput(
            f"holds a run of another space ({held.title!r}), or of this one before it was changed; "
            "it is left as it is: name another folder",
            file=path,
        )
    if held.seed != wanted.seed:
        raise BadInput(
            f"holds a run with seed {held.seed}, not {wanted.seed}; name another folder", file=path
        )
    names = held.specs.keys() | wanted.specs.keys()
    if changed := sorted(n for n in names if held.specs.get(n) != wanted.specs.get(n)):
        raise BadInput(
            f"was begun with another {', another '.join(changed)} than there is now; put it back, "
            "or name another folder",
            file=path,
        )
    if held.content != wanted.content:
        raise BadInput("its content hash is not that of its parts: damaged", file=path / MANIFEST)
