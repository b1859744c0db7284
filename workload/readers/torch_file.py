"""What torch.save wrote, without PyTorch: numbers as arrays, lists and dicts as they are.

The file is a zip: `<name>/data.pkl` is a pickle of the value, `<name>/data/<key>` the numbers of
each storage. The pickle goes through our own machine (`pickle_machine`); offsets, sizes and strides
of every tensor are held against the bytes that are there before an array is made.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ...base import BadInput
from .archive import MOST_BYTES, Archive, opened
from .pickle_machine import Refused, Storage, load

MOST_MEMBERS = 2**18
MOST_PICKLE = 64 * 2**20
MOST_AXES = 8
PICKLE = "data.pkl"


def read_torch(path: str | Path) -> Any:
    """The value in the file; raises BadInput for anything that is not plain data and tensors."""
    path = Path(path)
    if path.is_file() and not zipfile.is_zipfile(path):
        raise BadInput(
            "is a pickle or a PyTorch file of the form before 1.6, which are not read; load it "
            "with PyTorch and save it again with torch.save",
            file=path,
        )
    with opened(path, "PyTorch", MOST_MEMBERS) as archive:
        roots = [name[: -len(PICKLE)] for name in archive.names if name.endswith("/" + PICKLE)]
        if len(roots) != 1:
            raise BadInput("is no PyTorch file: it holds no single data.pkl", file=path)
        order = roots[0] + "byteorder"
        if order in archive.names and archive.read(order).strip() != b"little":
            raise BadInput("holds numbers of a big-endian machine, which are not read", file=path)
        if archive.size(roots[0] + PICKLE) > MOST_PICKLE:
            raise BadInput(f"holds a pickle of more than {MOST_PICKLE} bytes", file=path)
        tensors = _Tensors(archive, roots[0])
        try:
            return load(archive.read(roots[0] + PICKLE), tensors.rebuild)
        except Refused as fault:
            raise BadInput(str(fault), file=path) from None


class _Tensors:
    """Makes arrays from the storages of an archive, each read once."""

    def __init__(self, archive: Archive, root: str) -> None:
        self.archive, self.root = archive, root
        self.held: dict[Storage, NDArray[Any]] = {}
        self.spent = 0

    def rebuild(self, storage: Storage, offset: Any, size: Any, stride: Any) -> NDArray[Any]:
        """A tensor as an array of its own; refuses one that reaches beyond its storage."""
        if (
            not _whole(offset, *_items(size), *_items(stride))
            or len(size) != len(stride)
            or len(size) > MOST_AXES
        ):
            raise Refused("holds a tensor of impossible shape")
        self.spent += math.prod(size) * storage.dtype.itemsize
        if self.spent > MOST_BYTES:
            raise Refused(f"holds tensors of more than {MOST_BYTES} bytes")
        numbers = self._numbers(storage)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if 0 in size:
            return np.empty(size, storage.dtype)
        if last >= len(numbers):
            raise Refused("holds a tensor that reaches beyond the numbers that are there")
        steps = tuple(step * storage.dtype.itemsize for step in stride)
        return np.array(as_strided(numbers[offset:], size, steps, writeable=False))

    def _numbers(self, storage: Storage) -> NDArray[Any]:
        if storage not in self.held:
            name = f"{self.root}data/{storage.key}"
            if name not in self.archive.names:
                raise Refused(f"lacks the numbers of a tensor, {name:.80}")
            if self.archive.size(name) != storage.values * storage.dtype.itemsize:
                raise Refused(f"claims another number of values than {name:.80} holds")
            self.held[storage] = np.frombuffer(self.archive.read(name), storage.dtype)
        return self.held[storage]


def _items(value: Any) -> tuple[Any, ...]:
    if type(value) is not tuple:
        raise Refused("holds a tensor of impossible shape")
    return value


def _whole(*values: Any) -> bool:
    return all(type(value) is int and 0 <= value < 2**48 for value in values)
