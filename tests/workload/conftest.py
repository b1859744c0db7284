"""What the tests of this part share: the recorded data, and PyTorch files made without PyTorch."""

from __future__ import annotations

import collections
import io
import pickle
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moesaic.workload.readers.pickle_machine import STORAGES

KINDS = {np.dtype(code): name for name, code in STORAGES.items()}
Image = Callable[..., bytes]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The recorded routing that the examples read."""
    return Path(__file__).parents[2] / "examples" / "data"


@pytest.fixture(scope="session")
def torch_image() -> Image:
    """The bytes that torch.save(value) would write, arrays being tensors; see `image`."""
    return image


@pytest.fixture(scope="session")
def torch_zip() -> Image:
    """The container of torch.save around any pickle; see `packed`."""
    return packed


class Tensor:
    """What torch.save knows of a tensor: a storage, and how to look at it."""

    def __init__(self, numbers: np.ndarray, **changes: Any) -> None:
        whole = numbers.copy()
        self.numbers, self.values = whole.ravel(), numbers.size
        self.offset, self.size = 0, numbers.shape
        self.stride = tuple(step // numbers.itemsize for step in whole.strides)
        for name, value in changes.items():
            setattr(self, name, value)


class Storage:
    def __init__(self, numbers: np.ndarray, values: Any) -> None:
        self.numbers, self.values = numbers, values


def image(value: Any, name: str = "archive", **members: bytes) -> bytes:
    """Written by Python's own pickler in the zip layout of torch.save.

    An array in `value` is a tensor; a SimpleNamespace of `numbers` and changes (offset, size,
    stride, values) is one that contradicts itself. The names of torch have to be importable while
    they are pickled, so stand-ins take their place for as long as that.
    """
    stream, storages = io.BytesIO(), dict[str, bytes]()
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild() -> None:
        raise AssertionError("nothing of a file is run")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils.__dict__["_rebuild_tensor_v2"] = rebuild
    for kind in STORAGES:
        torch.__dict__[kind] = type(kind, (), {"__module__": "torch"})

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            if not isinstance(obj, Storage):
                return None
            key = str(len(storages))
            storages[key] = obj.numbers.tobytes()
            return ("storage", torch.__dict__[KINDS[obj.numbers.dtype]], key, "cuda:0", obj.values)

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, np.ndarray):
                obj = Tensor(obj)
            elif isinstance(obj, types.SimpleNamespace):
                obj = Tensor(**vars(obj))
            else:
                return NotImplemented
            storage = Storage(obj.numbers, obj.values)
            shape = (storage, obj.offset, obj.size, obj.stride)
            return rebuild, (*shape, False, collections.OrderedDict())

    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        Pickler(stream, protocol=2).dump(value)
    finally:
        for module, old in before.items():
            sys.modules.pop(module) if old is None else sys.modules.update({module: old})
    return packed(stream.getvalue(), storages, name, **members)


def packed(pickled: bytes, storages: dict[str, bytes], name: str = "a", **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{name}/data.pkl", pickled)
        archive.writestr(f"{name}/byteorder", members.get("byteorder", b"little"))
        for key, data in storages.items():
            archive.writestr(f"{name}/data/{key}", data)
        archive.writestr(f"{name}/version", b"3\n")
    return stream.getvalue()
