"""Files: read with a limit, written beside and renamed, hashed by content, cached per user."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import BadInput

MEBIBYTE = 2**20


def read_bounded(path: str | Path, most_bytes: int = 64 * MEBIBYTE) -> bytes:
    """The whole file, refused with one sentence when it is missing, no plain file, or too large."""
    path = Path(path)
    try:
        require_plain(path)
        size = path.stat().st_size
        if size > most_bytes:
            raise BadInput(
                f"holds {size} bytes; at most {most_bytes} are read from such a file", file=path
            )
        with path.open("rb") as stream:
            data = stream.read(most_bytes + 1)
    except OSError as fault:
        raise BadInput(f"cannot be read: {_reason(fault)}", file=path) from None
    if len(data) > most_bytes:
        raise BadInput(f"gives more than {most_bytes} bytes", file=path)
    return data


def require_plain(path: Path) -> None:
    """Refuses folders, and pipes and devices, which may never end. OSError where it is missing."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise BadInput("is a folder; name a file", file=path)
    if not stat.S_ISREG(mode):
        raise BadInput("is a pipe or a device; name a plain file", file=path)


def read_text(path: str | Path, most_bytes: int = 64 * MEBIBYTE) -> str:
    """The file as UTF-8 text; refuses what is not."""
    try:
        return read_bounded(path, most_bytes).decode("utf-8")
    except UnicodeDecodeError as fault:
        raise BadInput(f"is not UTF-8 text (byte {fault.start})", file=path) from None


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed onto it when the block ends without a fault.

    Readers see the old file or the whole new one, never a part. Raises BadInput when the folder
    cannot be written, and for what a rename would destroy: folders, pipes, devices (`/dev/null`).
    """
    path = Path(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            require_plain(path)
        target = path.resolve()  # through a link, which stays
        target.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays: writers such as matplotlib choose the format by it.
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=path.suffix, dir=target.parent
        )
        os.close(handle)
    except OSError as fault:
        raise BadInput(f"cannot be written: {_reason(fault)}", file=path) from None
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o644)
        beside.replace(target)
    except OSError as fault:
        raise BadInput(f"cannot be written: {_reason(fault)}", file=path) from None
    finally:
        beside.unlink(missing_ok=True)


def check_writable(path: str | Path, key: str | None = None) -> None:
    """Raises BadInput, before long work, for a file that `writing` could not write at its end. key:
    the word that named it."""
    path = Path(path)
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            require_plain(path)
        folder = next(parent for parent in path.resolve().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as fault:
        raise BadInput(f"cannot be written: {_reason(fault)}", file=path, key=key) from None


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text whole or not at all."""
    with writing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def content_hash(*parts: bytes | str) -> str:
    """A hash of the parts in order; 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:32]


def cache_folder(name: str) -> Path:
    """The user's folder for results that can be computed again; MOESAIC_CACHE moves it."""
    root = os.environ.get("MOESAIC_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "moesaic"
    )
    folder = Path(root) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise BadInput(
            f"the cache folder cannot be made ({_reason(fault)}); set MOESAIC_CACHE", file=folder
        ) from None
    return folder


def _reason(fault: OSError) -> str:
    return (fault.strerror or str(fault)).lower()
