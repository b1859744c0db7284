"""Arrays of .npy and .npz files from outside: every size is checked before anything is allocated.

A header is matched against the one form that numpy writes, so nothing in it is ever evaluated;
objects (pickles) and records have no such form and are refused.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.files import read_bounded

Array = NDArray[Any]

MOST_BYTES = 2 * 2**30
MOST_MEMBERS = 4096
MOST_RATIO = 400
"""Routing compresses a few times; only bombs of more than this many bytes for one are refused."""
SMALL = 2**20
MAGIC = b"\x93NUMPY"

_HEADER = re.compile(
    rb"\{'descr': '([<>|=][a-zA-Z]\d{1,9})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18},?)?)\),? ?\}\s*"
)


def read_npy(path: str | Path) -> Array:
    """The array of a .npy file."""
    return _array(read_bounded(path, MOST_BYTES), path, None)


def read_npz(path: str | Path) -> dict[str, Array]:
    """The arrays of a .npz file by name, in the order of the file."""
    path = Path(path)
    if not path.is_file():
        raise BadInput("is missing; name a .npz file", file=path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check(members, path)
            return {
                member.filename.removesuffix(".npy"): _array(
                    _unpacked(archive, member, path), path, member.filename
                )
                for member in members
            }
    except BadInput:
        raise
    except (
        # What zipfile and zlib are known to raise for damaged archives.
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
        LookupError,
        OverflowError,
    ) as fault:
        raise BadInput(f"is no readable .npz archive: {fault}", file=path) from None


def _check(members: list[zipfile.ZipInfo], path: Path) -> None:
    if len(members) > MOST_MEMBERS:
        raise BadInput(f"holds {len(members)} members; at most {MOST_MEMBERS} are read", file=path)
    if len({member.filename for member in members}) < len(members):
        raise BadInput("holds two members of one name", file=path)
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise BadInput(f"claims {total} bytes unpacked; at most {MOST_BYTES} are read", file=path)
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadInput(
                "is packed in a way that numpy never uses", file=path, key=member.filename
            )
        if member.file_size > SMALL and member.file_size > MOST_RATIO * member.compress_size:
            raise BadInput(
                f"unpacks {member.compress_size} bytes to {member.file_size}: refused as a bomb",
                file=path,
                key=member.filename,
            )


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
    with archive.open(member) as stream:
        data = stream.read(member.file_size + 1)
        # Reading to the end makes zipfile compare the checksum.
        if len(data) != member.file_size or stream.read(1):
            raise BadInput("does not hold the bytes it claims", file=path, key=member.filename)
    return data


def _array(data: bytes, path: str | Path, member: str | None) -> Array:
    """The array of one .npy image, shape and type checked against the bytes that are there."""

    def fault(what: str) -> BadInput:
        return BadInput(what, file=path, key=member)

    if data[:6] != MAGIC or len(data) < 12 or data[6] not in (1, 2):
        raise fault("is no .npy array of version 1 or 2")
    start = 10 if data[6] == 1 else 12
    length = int.from_bytes(data[8:start], "little")
    match = _HEADER.fullmatch(data[start : start + min(length, 4096)])
    if match is None:
        raise fault("has a header that is no plain array (objects and records are not read)")
    try:
        dtype = np.dtype(match[1].decode())
    except TypeError:
        raise fault(f"holds the unknown type {match[1].decode()}") from None
    if dtype.kind not in "iufbU" or dtype.itemsize == 0:
        raise fault(f"holds {dtype}, where whole numbers, floats, booleans or text are read")
    shape = tuple(int(part) for part in match[3].split(b",") if part.strip())
    claimed = dtype.itemsize * _product(shape)
    there = len(data) - start - length
    if claimed != there:
        raise fault(f"claims {claimed} bytes in its header but holds {there}")
    order = "F" if match[2] == b"True" else "C"
    flat = np.frombuffer(data, dtype, offset=start + length)
    try:
        return flat.reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]
    except ValueError:  # too many axes, or axes that are vast beside an empty one
        raise fault(f"has the impossible shape {shape[:4]}...") from None


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
