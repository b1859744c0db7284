"""Builds kept between runs: a file under the hash of what it was made from, before it the hash of
what it holds."""

from __future__ import annotations

import hashlib
import warnings

from ...base import BadInput
from ...base.files import cache_folder, writing

MOST_BYTES = 2**26
DIGEST_BYTES = 32


class NotKept(UserWarning):
    """A result could not be kept for the next run; it is as good as any other in this one."""


def read(key: str) -> bytes | None:
    """What is kept under the key; nothing where there is none, or it is not whole."""
    try:
        file = cache_folder("kernels") / key
        if file.stat().st_size > MOST_BYTES:
            return None
        data = file.read_bytes()
    except (OSError, BadInput):
        return None
    digest, kept = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    return kept if digest == hashlib.sha256(kept).digest() else None


def keep(key: str, data: bytes) -> None:
    """Keeps the data; warns once where it cannot."""
    try:
        with writing(cache_folder("kernels") / key) as beside:
            beside.write_bytes(hashlib.sha256(data).digest() + data)
    except BadInput as fault:
        warnings.warn(f"builds are not kept: {fault}", NotKept, stacklevel=2)
