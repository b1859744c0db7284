"""Arrays of .npy and .npz files from outside: every size is checked before anything is allocated.

A header is matched against the one form that numpy writes, so nothing in it is ever evaluated;
objects (pickles) and records have no such form and are refused.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.files import read_bounded
from .archive import MOST_BYTES, opened

Array = NDArray[Any]

MOST_MEMBERS = 4096
MAGIC = b"\x93NUMPY"

_HEADER = re.compile(
    rb"\{'descr': '([<>|=][a-zA-Z]\d{1,9})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18},?)?)\),? ?\}\s*"
)


class Header(NamedTuple):
    """What a .npy image says of itself. start: where its numbers begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    start: int


def read_npy(path: str | Path) -> Array:
    """The array of a .npy file."""
    return npy_array(read_bounded(path, MOST_BYTES), path)


def read_npz(path: str | Path) -> dict[str, Array]:
    """The arrays of a .npz file by name, in the order of the file."""
    with opened(path, ".npz", MOST_MEMBERS) as archive:
        return {
            name.removesuffix(".npy"): npy_array(archive.read(name), path, name)
            for name in archive.names
        }


def npy_header(data: bytes, path: str | Path, member: str | None = None) -> Header:
    """The header of a .npy image, of which the first 4 KiB suffice."""

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
    return Header(dtype, shape, match[2] == b"True", start + length)


def npy_array(data: bytes, path: str | Path, member: str | None = None) -> Array:
    """The array of one .npy image, shape and type checked against the bytes that are there."""
    head = npy_header(data, path, member)
    claimed = head.dtype.itemsize * math.prod(head.shape)
    there = len(data) - head.start
    if claimed != there:
        raise BadInput(
            f"claims {claimed} bytes in its header but holds {there}", file=path, key=member
        )
    flat = np.frombuffer(data, head.dtype, offset=head.start)
    try:
        return flat.reshape(head.shape, order="F" if head.fortran else "C")
    except ValueError:  # too many axes, or axes that are vast beside an empty one
        raise BadInput(
            f"has the impossible shape {head.shape[:4]}...", file=path, key=member
        ) from None
