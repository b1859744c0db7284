"""The safetensors format: a length of 8 bytes, a JSON header, and the numbers.

The header names for each tensor its type, shape and the bytes it occupies after the header; all of
it is held against the bytes that are there. Source: huggingface/safetensors, README.md, "Format".
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.files import read_bounded
from .archive import MOST_BYTES

MOST_HEADER = 64 * 2**20
MOST_AXES = 8
TYPES = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_safetensors(path: str | Path) -> dict[str, NDArray[Any]]:
    """The tensors of the file by name, as views of its bytes."""
    data = read_bounded(path, MOST_BYTES)
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MOST_HEADER, len(data) - 8):
        raise BadInput("is no safetensors file: its header is cut off", file=path)
    try:
        header = msgspec.json.decode(data[8 : 8 + length], type=dict[str, msgspec.Raw])
        header.pop("__metadata__", None)
        tensors = {name: msgspec.json.decode(raw, type=_Tensor) for name, raw in header.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadInput(f"has a damaged safetensors header: {fault}", file=path) from None
    body = memoryview(data)[8 + length :]
    return {name: _array(body, tensor, name, path) for name, tensor in tensors.items()}


def _array(body: memoryview, tensor: _Tensor, name: str, path: str | Path) -> NDArray[Any]:
    def fault(what: str) -> BadInput:
        return BadInput(what, file=path, key=name[:80])

    if tensor.dtype not in TYPES:
        raise fault(f"holds {tensor.dtype[:20]}; read are {', '.join(TYPES)}")
    dtype = np.dtype(TYPES[tensor.dtype])
    start, end = tensor.data_offsets
    if len(tensor.shape) > MOST_AXES or any(not 0 <= size < 2**48 for size in tensor.shape):
        raise fault("has an impossible shape")
    if not 0 <= start <= end <= len(body):
        raise fault("reaches beyond the end of the file")
    if math.prod(tensor.shape) * dtype.itemsize != end - start:
        raise fault(f"claims the shape {tensor.shape}, which {end - start} bytes do not hold")
    try:
        return np.frombuffer(body[start:end], dtype).reshape(tensor.shape)
    except ValueError:
        raise fault("has an impossible shape") from None
