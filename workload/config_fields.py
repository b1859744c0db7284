"""Values of one config.json, looked up by our names and checked; every fault names file and key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..base import BadInput
from ..base.files import read_bounded
from .config_keys import KEYS, LARGEST, LIMITS, MOST_BYTES


def read_json(path: str | Path, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The object in a JSON file of at most `most_bytes`; raises BadInput for anything else."""
    try:
        data = msgspec.json.decode(read_bounded(path, most_bytes))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        raise BadInput(f"is not JSON: {fault}", file=path) from None
    if not isinstance(data, dict):
        raise BadInput("holds no object of keys and values; name a config.json", file=path)
    return data


class Fields:
    """Look-ups in the tables of a config.json; null counts as missing."""

    def __init__(self, data: Mapping[str, Any], file: str | Path | None = None) -> None:
        inner = data.get("text_config")
        self.data = {**data, **inner} if isinstance(inner, dict) else dict(data)
        self.file = file

    def raw(self, key: str) -> Any:
        """The value under one of their keys, None where it is missing."""
        node: Any = self.data
        for step in key.split("."):
            node = node.get(step) if isinstance(node, dict) else None
        return node

    def find(self, name: str) -> tuple[str, Any] | None:
        """Their key and its value for one of our names: the first key that holds something."""
        for key in KEYS[name]:
            if (value := self.raw(key)) is not None:
                return key, value
        return None

    def has(self, name: str) -> bool:
        return self.find(name) is not None

    def count(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number; raises BadInput where it is missing without default, wrong or absurd."""
        found = self.find(name)
        if found is None:
            if default is None:
                raise BadInput(
                    f"lacks `{'` or `'.join(KEYS[name])}`; a config.json states it", file=self.file
                )
            return default
        return self.whole(*found, least=least, most=LIMITS.get(name, LARGEST))

    def optional(self, name: str) -> int | None:
        """A positive whole number, or None where it is missing."""
        return self.count(name) if self.has(name) else None

    def per_layer(self, name: str, layers: int, default: int | None = None) -> list[int]:
        """One whole number a layer, from a number or a list of at least `layers` of them."""
        found = self.find(name)
        if found is None or not isinstance(found[1], list):
            return [self.count(name, default, least=0 if default == 0 else 1)] * layers
        key, values = found
        if len(values) < layers:
            raise self.fault(f"lists {len(values)} values for {layers} layers", key)
        most = LIMITS.get(name, LARGEST)
        return [self.whole(key, value, least=0, most=most) for value in values[:layers]]

    def flag(self, name: str, default: bool) -> bool:
        found = self.find(name)
        if found is None:
            return default
        key, value = found
        if not isinstance(value, bool):
            raise self.fault("must be true or false", key, value)
        return value

    def whole(self, key: str, value: Any, *, least: int = 0, most: int = LARGEST) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.fault(f"must be a whole number from {least} to {most}", key, value)
        return value

    def fault(self, what: str, key: str, value: object = None) -> BadInput:
        return BadInput(what, file=self.file, key=key, value=value)
