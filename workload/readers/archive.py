"""Zip containers from outside: members and sizes are checked before anything is unpacked."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, KeysView
from pathlib import Path

from ...base import BadInput

MOST_BYTES = 2 * 2**30
MOST_RATIO = 400
"""Routing compresses a few times; only bombs of more than this many bytes for one are refused."""
SMALL = 2**20
DAMAGED = (
    # What zipfile and zlib are known to raise for damaged archives.
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)


class Archive:
    """An open container whose members have passed the checks."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._path = archive, path
        self._members = {member.filename: member for member in archive.infolist()}

    @property
    def names(self) -> KeysView[str]:
        """The members, in the order of the file."""
        return self._members.keys()

    def size(self, name: str) -> int:
        """Bytes that a member claims to unpack to."""
        return self._members[name].file_size

    def read(self, name: str) -> bytes:
        member = self._members[name]
        with self._archive.open(member) as stream:
            data = stream.read(member.file_size + 1)
            # Reading to the end makes zipfile compare the checksum.
            if len(data) != member.file_size or stream.read(1):
                raise BadInput("does not hold the bytes it claims", file=self._path, key=name)
        return data


@contextlib.contextmanager
def opened(path: str | Path, kind: str, most_members: int) -> Iterator[Archive]:
    """The archive of a `kind` of file; BadInput for bombs and damage, also while it is read."""
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"is missing; name a {kind} file", file=path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive.infolist(), path, most_members)
            yield Archive(archive, path)
    except BadInput:
        raise
    except DAMAGED as fault:
        raise BadInput(f"is no readable {kind} archive: {fault}", file=path) from None


def _check(members: list[zipfile.ZipInfo], path: Path, most_members: int) -> None:
    if len(members) > most_members:
        raise BadInput(f"holds {len(members)} members; at most {most_members} are read", file=path)
    if len({member.filename for member in members}) < len(members):
        raise BadInput("holds two members of one name", file=path)
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise BadInput(f"claims {total} bytes unpacked; at most {MOST_BYTES} are read", file=path)
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadInput(
                "is packed in a way that numpy and PyTorch never use",
                file=path,
                key=member.filename,
            )
        if member.file_size > SMALL and member.file_size > MOST_RATIO * member.compress_size:
            raise BadInput(
                f"unpacks {member.compress_size} bytes to {member.file_size}: refused as a bomb",
                file=path,
                key=member.filename,
            )
