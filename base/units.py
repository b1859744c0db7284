"""Quantities as people write them ('4.8 TB/s') and as the program holds them (SI, no prefix)."""

from __future__ import annotations

import re

from .errors import BadInput

_PREFIX = {
    "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "": 1.0,
    "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip

_UNIT_OF_SUFFIX = {
    "_bytes_per_s": "B/s",
    "_bytes_per_unit": "B",
    "_flops_per_s": "FLOP/s",
    "_j_per_byte": "J/B",
    "_j_per_flop": "J/FLOP",
    "_usd_per_hour": "USD/h",
    "_usd_per_token": "USD/token",
    "_usd_per_million_tokens": "USD/Mtoken",
    "_j_per_token": "J/token",
    "_tokens_per_s": "token/s",
    "_per_s": "1/s",
    "_bytes": "B",
    "_hz": "Hz",
    "_s": "s",
    "_w": "W",
    "_j": "J",
    "_m2": "m2",
}
"""The SI unit that a field's name ends in. The longest suffix that fits decides."""

_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s].*?)?\s*$")


def unit_of(name: str) -> str | None:
    """The unit of the field called `name`, or None where it is a plain number."""
    for suffix in sorted(_UNIT_OF_SUFFIX, key=len, reverse=True):
        if name.endswith(suffix):
            return _UNIT_OF_SUFFIX[suffix]
    return None


def parse(text: str, unit: str) -> float:
    """Reads '4.8 TB/s' as 4.8e12 when `unit` is 'B/s'. A bit per second ('Gb/s') becomes a byte.

    Raises BadInput for a text that is no quantity, or one of another unit.
    """
    match = _QUANTITY.match(text)
    if match is None:
        raise BadInput(f"is not a number with a unit such as '1 {unit}'", value=text)
    number, written = float(match[1]), match[2]
    if written is None:
        return number
    scale = _scale(written, unit)
    if scale is None:
        raise BadInput(f"has the unknown unit {written!r}; write it in {unit} (k, M, G, T allowed)")
    return number * scale


def _scale(written: str, unit: str) -> float | None:
    squared = {"mm2": 1e-6, "um2": 1e-12, "cm2": 1e-4, "m2": 1.0}
    if unit == "m2":
        return squared.get(written)
    # Eight bits are a byte; per bit is eight times per byte.
    bits = 8.0 if unit.endswith("/B") else 0.125
    spellings = {unit.replace("B", "b"): bits, unit.replace("FLOP", "OP"): 1.0, unit: 1.0}
    for base, factor in spellings.items():
        if written.endswith(base) and written[: -len(base)] in _PREFIX:
            return _PREFIX[written[: -len(base)]] * factor
    return None


def show(value: float, unit: str, digits: int = 3) -> str:
    """Prints 4.8e12 'B/s' as '4.8 TB/s': `digits` significant digits and a prefix for people."""
    if value == 0 or value != value or value in (float("inf"), float("-inf")):
        return f"{value:g} {unit}"
    for prefix in ("E", "P", "T", "G", "M", "k", "", "m", "u", "n", "p", "f"):
        scaled = value / _PREFIX[prefix]
        if abs(scaled) >= 0.9995 or prefix == "f":
            break
    places = max(0, digits - len(str(int(abs(scaled)))))
    number = f"{scaled:.{places}f}"
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {prefix}{unit}"
