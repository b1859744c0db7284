"""JSON from outside: one object, a list of objects, or one object a line, typed as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from ...base import BadInput
from ...base.files import read_bounded, require_plain

MOST_BYTES = 128 * 2**20
T = TypeVar("T")


def records(path: str | Path, kind: type[T]) -> Iterator[T]:
    """The objects of a file in order; of lines, one is held at a time."""
    path = Path(path)
    try:
        require_plain(path)
        with path.open("rb") as stream:
            first = stream.readline(MOST_BYTES + 1)
            if not _complete(first):
                yield from _decoded(read_bounded(path, MOST_BYTES), kind, path)
                return
            stream.seek(0)
            number = 0
            while line := stream.readline(MOST_BYTES + 1):
                number += 1
                if len(line) > MOST_BYTES:
                    raise BadInput(f"has a line of more than {MOST_BYTES} bytes", file=path)
                if line.strip():
                    yield from _decoded(line, kind, path, f"line {number}")
    except OSError as fault:
        what = (fault.strerror or str(fault)).lower()
        raise BadInput(f"cannot be read: {what}", file=path) from None


def _complete(line: bytes) -> bool:
    """Whether the first line is a value of its own, not the opening of a longer text."""
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _decoded(data: bytes, kind: type[T], path: Path, where: str | None = None) -> list[T]:
    try:
        if data.lstrip()[:1] == b"[":
            return msgspec.json.decode(data, type=list[kind])  # type: ignore[valid-type]
        return [msgspec.json.decode(data, type=kind)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadInput(f"is not what was expected: {fault}", file=path, key=where) from None
