"""Simulated rates kept in the cache folder, under the content of all that they depend on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import msgspec

from ...base import BadInput
from ...base.files import cache_folder, content_hash, read_bounded, write_text

T = TypeVar("T")


def kept(folder: str, kind: type[T], make: Callable[[], T], *parts: bytes | str) -> T:
    """What `make` makes, or what it made before from equal `parts` on the same compiled core."""
    file = cache_folder(folder) / f"{content_hash(*parts, _core_hash())}.json"
    if file.exists():
        try:
            return msgspec.json.decode(read_bounded(file), type=kind)
        except (msgspec.DecodeError, BadInput):
            file.unlink(missing_ok=True)  # a broken entry is computed again
    made = make()
    write_text(file, msgspec.json.encode(made).decode())
    return made


@functools.cache
def _core_hash() -> str:
    """Of the compiled core that this process runs."""
    from ... import _core

    return content_hash(read_bounded(_core.__file__))
