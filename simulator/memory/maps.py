"""Address maps to choose from: how far apart neighbouring addresses go, plain or hashed."""

from __future__ import annotations

from ...hardware.dram import DramConfig
from .address_map import Sizes

LINE_BYTES = 128
ORDERS: dict[str, tuple[str, ...]] = {
    "access": ("pc", "ch", "bg", "co", "sid", "ba", "ro"),
    "line": ("line", "pc", "ch", "bg", "co", "sid", "ba", "ro"),
    "row": ("co", "pc", "ch", "bg", "sid", "ba", "ro"),
    "channel": ("bg", "co", "sid", "ba", "ro", "pc", "ch"),
}
"""Fields from the lowest bit up, behind the byte in an access. After an access, a cache line
(`LINE_BYTES`) or a row the next channel follows; or each channel is one block of addresses."""
BANKS = ("bg", "sid", "ba")
CHANNELS = ("pc", "ch")


def maps_of(config: DramConfig) -> dict[str, str]:
    """Maps of a memory by name: each of `ORDERS`, and `NAME-hashed`: bits of banks, and of channels
    where these stand low, XORed with bits of the row, so that far blocks seldom share a bank."""
    bits = Sizes.of(config).bits
    made = {name: _text(order, bits, {}) for name, order in ORDERS.items()}
    for name, order in ORDERS.items():
        hashes = _hashes(BANKS, bits)
        if order[-1] not in CHANNELS:
            hashes |= _hashes(CHANNELS, bits)
        made[f"{name}-hashed"] = _text(order, bits, hashes)
    return made


def _hashes(fields: tuple[str, ...], bits: dict[str, int]) -> dict[str, str]:
    """The row's bits folded onto the fields: dealt out from the lowest, again and again."""
    whole = sum(bits[name] for name in fields)
    found, at = {}, 0
    for name in fields:
        firsts = range(at, bits["ro"] - bits[name] + 1, whole or 1)
        found[name] = "".join(f"^ro+{first}" for first in firsts)
        at += bits[name]
    return found


def _text(order: tuple[str, ...], bits: dict[str, int], hashes: dict[str, str]) -> str:
    # Accesses of a line stay together where a row holds more than a line.
    line = min(bits["co"], max(0, LINE_BYTES.bit_length() - 1 - bits["off"]))
    wide = {**bits, "line": line, "co": bits["co"] - line if "line" in order else bits["co"]}
    words = [f"off:{bits['off']}"] + [
        f"{'co' if name == 'line' else name}:{wide[name]}{hashes.get(name, '')}"
        for name in order
        if wide[name]
    ]
    return " ".join(words)
