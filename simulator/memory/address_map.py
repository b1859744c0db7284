"""AddressMap: which bits of an address are channel, bank, row and column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import BadInput, Count, Spec
from ...hardware.dram import DramConfig

FIELDS = {
    "off": "byte in an access",
    "ch": "channel",
    "pc": "pseudo channel or rank",
    "sid": "stack id",
    "bg": "bank group",
    "ba": "bank of a group",
    "co": "access in a row",
    "ro": "row",
}
"""The words of an address map; `ra` is another word for `pc`."""
BLOCK = 1 << 15
"""Addresses worked on at a time: a few arrays of this length stay in a core's own cache."""
MOST_BITS = 62
_PIECE = re.compile(r"([a-z]+):(\d{1,2})((?:\^[a-z]+(?:\+\d{1,2})?)*)")
_HASH = re.compile(r"\^([a-z]+)(?:\+(\d+))?")


class Sizes(Spec, frozen=True, kw_only=True):
    """How many of each a memory holds, from the channels down; powers of two.

    ranks: ranks of a channel, or pseudo channels; columns: accesses in a row.
    """

    channels: Count = 1
    ranks: Count = 1
    stack_ids: Count = 1
    bank_groups: Count = 1
    banks: Count
    rows: Count
    columns: Count
    access_bytes: Count

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.__struct_fields__:
            if (value := getattr(self, name)).bit_count() != 1:
                raise ValueError(f"`{name}` must be a power of two, got {value}")

    @classmethod
    def of(cls, config: DramConfig) -> Sizes:
        ranks, stack_ids, bank_groups, banks = config.sizes
        return cls(
            channels=config.channels,
            ranks=ranks,
            stack_ids=stack_ids,
            bank_groups=bank_groups,
            banks=banks,
            rows=config.organisation.rows,
            columns=config.organisation.columns,
            access_bytes=config.organisation.access_bytes,
        )

    @property
    def bits(self) -> dict[str, int]:
        """Address bits of each field."""
        counts = (
            self.access_bytes, self.channels, self.ranks, self.stack_ids, self.bank_groups,
            self.banks, self.columns, self.rows,
        )  # fmt: skip
        return {name: count.bit_length() - 1 for name, count in zip(FIELDS, counts, strict=True)}

    @property
    def capacity_bytes(self) -> int:
        return 1 << sum(self.bits.values())


class Coordinates(NamedTuple):
    """Where accesses lie: int32 `[n]` each. bank is flat within its channel:
    ((rank * stack_ids + stack id) * bank_groups + group) * banks + bank."""

    channel: NDArray[np.int32]
    bank: NDArray[np.int32]
    row: NDArray[np.int32]
    column: NDArray[np.int32]


class Piece(NamedTuple):
    """`bits` bits of the address from bit `at` on: those of `field` from its bit `low` on, XORed
    with as many bits of other fields: (field, its first bit)."""

    field: str
    bits: int
    at: int
    low: int
    hashes: tuple[tuple[str, int], ...]


class AddressMap(msgspec.Struct, frozen=True, kw_only=True):
    """An address's bits as fields, made by `AddressMap.parse`; a bijection over the capacity.

    The text names pieces from the lowest bit up: `off:5 pc:1 bg:2 co:5 ba:2 ro:14`. A field may
    stand in several pieces, its low bits first. `ba:2^ro` stores the bank XOR the row: bit i of the
    field with bit i of the row, or bit i + 3 for `^ro+3`.
    """

    text: str
    sizes: Sizes
    pieces: tuple[Piece, ...]

    @classmethod
    def parse(cls, text: str, memory: DramConfig | Sizes) -> AddressMap:
        """Raises BadInput for a word that is no piece and for fields that do not fit the memory."""
        sizes = memory if isinstance(memory, Sizes) else Sizes.of(memory)
        pieces: list[Piece] = []
        at, held = 0, dict.fromkeys(FIELDS, 0)
        for word in text.split():
            field, bits, hashes = _read(word)
            pieces.append(Piece(field, bits, at, held[field], hashes))
            at += bits
            held[field] += bits
        _check(text, pieces, held, sizes)
        return cls(text=" ".join(text.split()), sizes=sizes, pieces=tuple(pieces))

    @property
    def capacity_bytes(self) -> int:
        return self.sizes.capacity_bytes

    def decode(self, addresses: ArrayLike) -> Coordinates:
        """Coordinates of byte addresses `[n]`; raises BadInput for one beyond the capacity."""
        given = np.atleast_1d(np.asarray(addresses, np.uint64))
        beyond = given >= np.uint64(self.capacity_bytes)
        if beyond.any():
            first = int(beyond.argmax())
            raise BadInput(
                f"lies beyond the {self.capacity_bytes} bytes of the memory; request {first} of "
                f"{given.size}",
                key="address",
                value=hex(int(given[first])),
            )
        made = Coordinates(*(np.empty(given.size, np.int32) for _ in Coordinates._fields))
        for start in range(0, given.size, BLOCK):
            part = slice(start, start + BLOCK)
            for whole, values in zip(made, self._flat(self._fields(given[part])), strict=True):
                whole[part] = values
        return made

    def fields(self, address: int) -> dict[str, int]:
        """Every field of one address."""
        if not 0 <= address < self.capacity_bytes:
            raise BadInput(
                f"must lie in 0..{self.capacity_bytes - 1:#x}", key="address", value=hex(address)
            )
        fields = self._fields(np.array([address], np.uint64))
        return {name: int(values[0]) for name, values in fields.items()}

    def encode(self, coordinates: Coordinates) -> NDArray[np.uint64]:
        """The address `[n]` of the first byte of each access."""
        channel, bank, row, column = (np.atleast_1d(part).astype(np.uint64) for part in coordinates)
        fields = {"ch": channel, "ro": row, "co": column}
        for name, size in (
            ("ba", self.sizes.banks), ("bg", self.sizes.bank_groups),
            ("sid", self.sizes.stack_ids), ("pc", self.sizes.ranks),
        ):  # fmt: skip
            bank, fields[name] = np.divmod(bank, np.uint64(size))
        self._hash(fields)
        address = np.zeros(channel.size, np.uint64)
        for piece in self.pieces:
            if piece.field != "off":
                bits = fields[piece.field] >> np.uint64(piece.low) & _mask(piece)
                address |= bits << np.uint64(piece.at)
        return address

    def _fields(self, addresses: NDArray[np.uint64]) -> dict[str, NDArray[np.uint64]]:
        fields = {name: np.zeros(addresses.size, np.uint64) for name in FIELDS}
        for piece in self.pieces:
            bits = addresses >> np.uint64(piece.at) & _mask(piece)
            fields[piece.field] |= bits << np.uint64(piece.low)
        self._hash(fields)
        return fields

    def _hash(self, fields: dict[str, NDArray[np.uint64]]) -> None:
        """XORs the hashed pieces in place: its own inverse, for no hash reads a hashed field."""
        for piece in self.pieces:
            for source, first in piece.hashes:
                bits = fields[source] >> np.uint64(first + piece.low) & _mask(piece)
                fields[piece.field] = fields[piece.field] ^ bits << np.uint64(piece.low)

    def _flat(self, fields: dict[str, NDArray[np.uint64]]) -> Coordinates:
        bits = self.sizes.bits
        bank = fields["pc"]
        for name in ("sid", "bg", "ba"):
            bank = bank << np.uint64(bits[name]) | fields[name]
        parts = (fields["ch"], bank, fields["ro"], fields["co"])
        return Coordinates(*(part.astype(np.int32) for part in parts))


def _mask(piece: Piece) -> np.uint64:
    return np.uint64((1 << piece.bits) - 1)


def _field(name: str, word: str) -> str:
    name = "pc" if name == "ra" else name
    if name not in FIELDS:
        raise BadInput(
            f"has the unknown field {name}; known: {', '.join(FIELDS)}",
            key="address map",
            value=word,
        )
    return name


def _read(word: str) -> tuple[str, int, tuple[tuple[str, int], ...]]:
    """`ba:2^ro+3` -> ('ba', 2, (('ro', 3),))."""
    match = _PIECE.fullmatch(word)
    if match is None:
        raise BadInput(
            "must hold pieces such as co:5 or ba:2^ro, lowest bit first",
            key="address map",
            value=word,
        )
    name = _field(match[1], word)
    sources = [(_field(field, word), int(first or 0)) for field, first in _HASH.findall(match[3])]
    return name, int(match[2]), tuple(sources)


def _check(text: str, pieces: list[Piece], held: dict[str, int], sizes: Sizes) -> None:
    wanted = sizes.bits
    for name, bits in wanted.items():
        if held[name] != bits:
            fault = "misses" if held[name] < bits else "repeats"
            raise BadInput(
                f"{fault} bits of {name} ({FIELDS[name]}): it holds {held[name]}, the memory has "
                f"{bits}",
                key="address map",
                value=text,
            )
    if sum(wanted.values()) > MOST_BITS:
        raise BadInput(f"is wider than {MOST_BITS} bits", key="address map", value=text)
    if any(piece.field == "off" and piece.at for piece in _wide(pieces)):
        raise BadInput("must begin with off, in one piece", key="address map", value=text)
    hashed = {piece.field for piece in pieces if piece.hashes}
    for piece in pieces:
        for source, first in piece.hashes:
            if source in hashed or "off" in (source, piece.field):
                raise BadInput(
                    f"hashes {piece.field} with {source}, which is hashed itself or the offset",
                    key="address map",
                    value=text,
                )
            if first + piece.low + piece.bits > wanted[source]:
                raise BadInput(
                    f"hashes {piece.field} with bits that {source} does not have",
                    key="address map",
                    value=text,
                )


def _wide(pieces: Iterable[Piece]) -> Iterable[Piece]:
    return (piece for piece in pieces if piece.bits)
