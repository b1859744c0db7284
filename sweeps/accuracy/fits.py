"""Fits that were made before: by the content of their rows and the code that made them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...base import BadInput
from ...base.files import cache_folder, read_bounded, writing
from ...simulator import gpu
from ...simulator.gpu import AnyConstants
from .rows import Rows

MOST_BYTES = 2**16


def remembered(rows: Rows, seed: int, make: Callable[[], AnyConstants]) -> AnyConstants:
    """What `make` gives for these rows; taken from the user's cache where it was made before.

    So a calibration or cross-validation that was interrupted goes on where it stopped. Rows,
    starts, seed and the source of the models decide: after any change the fit is made anew.
    """
    file = cache_folder("fits") / f"{_key(rows, seed)}.json"
    try:
        known: AnyConstants = msgspec.json.decode(read_bounded(file, MOST_BYTES), type=AnyConstants)
        return known
    except (BadInput, msgspec.DecodeError, ValueError):
        pass  # missing or damaged: made anew
    made = make()
    with writing(file) as beside:
        beside.write_bytes(msgspec.json.encode(made))
    return made


def _key(rows: Rows, seed: int) -> str:
    digest = hashlib.blake2b(digest_size=20)
    digest.update(
        f"{_source(rows.kernel)} {rows.kernel} {rows.model.starts(rows.family)} {seed}".encode()
    )
    _feed(digest, (rows.measured_s, rows.asked, rows.machine))
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.astuple(value)
    if isinstance(value, tuple):
        for part in value:
            _feed(digest, part)
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.shape}{value.dtype}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    else:
        digest.update(repr(value).encode())


@functools.cache
def _source(kernel: str) -> str:
    """A hash of the code whose change may change a fit of this kind of kernel."""
    folder = Path(gpu.__file__).parent
    files = [folder / f"{name}.py" for name in ("constants", "machine", "tiles")]
    files += [*sorted(folder.glob(f"{kernel}*.py")), Path(__file__).with_name("fit.py")]
    digest = hashlib.blake2b(digest_size=20)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
