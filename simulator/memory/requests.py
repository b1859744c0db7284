"""Requests: what a memory is asked for, and the files that hold it."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import BadInput
from ...base.files import require_plain, writing

MOST_REQUESTS = 200_000_000
MOST_TEXT_BYTES = 8 * 2**30
"""Of a trace, unpacked."""
MOST_LINE_BYTES = 256
BLOCK_BYTES = 1 << 18
DECIMALS, HEXES = 16, 16
"""Digits of a cycle and of an address."""
MOST_CYCLES = 10**13
_LINE = re.compile(rb"[ \t]*(\d{1,16})[ \t]+([RrWw])[ \t]+(?:0[xX])?([0-9a-fA-F]{1,16})[ \t]*\r?")
_KINDS = {"arrival_cycle": "int", "write": "bool", "address": "int"}


class Requests(msgspec.Struct, frozen=True, eq=False):
    """Reads and writes of one access each, in the order in which they are offered.

    arrival_cycles: int64 `[n]`, clock cycles, never falling; write: bool `[n]`; address: uint64
    `[n]`, bytes. Raises BadInput for lengths that differ and for time that goes backwards.
    """

    arrival_cycles: NDArray[np.int64]
    write: NDArray[np.bool_]
    address: NDArray[np.uint64]

    def __post_init__(self) -> None:
        if not self.arrival_cycles.shape == self.write.shape == self.address.shape:
            raise BadInput("arrival_cycles, write and address must be equally long")
        back = np.diff(self.arrival_cycles) < 0
        if back.any():
            at = int(back.argmax()) + 1
            raise BadInput(
                f"goes backwards, from cycle {self.arrival_cycles[at - 1]} to "
                f"{self.arrival_cycles[at]}",
                key=f"request {at}: arrival_cycles",
            )
        ends = self.arrival_cycles[[0, -1]].tolist() if self.arrival_cycles.size else (0, 0)
        if ends[0] < 0 or ends[1] >= MOST_CYCLES:
            raise BadInput(f"must lie in 0..{MOST_CYCLES - 1}", key="arrival_cycles", value=ends)

    @classmethod
    def of(
        cls, address: ArrayLike, write: ArrayLike = False, arrival_cycles: ArrayLike = 0
    ) -> Requests:
        """Requests from arrays, or from one value for all: reads at cycle 0 by default."""
        addresses = np.atleast_1d(np.asarray(address, np.uint64))
        return cls(
            np.ascontiguousarray(
                np.broadcast_to(np.asarray(arrival_cycles, np.int64), addresses.shape)
            ),
            np.ascontiguousarray(np.broadcast_to(np.asarray(write, np.bool_), addresses.shape)),
            addresses,
        )

    def __len__(self) -> int:
        return int(self.address.size)


def read_requests(path: str | Path) -> Requests:
    """The requests of a .parquet file (columns arrival_cycle, write, address), or of text, packed
    by gzip or not: `arrival_cycle R|W hexadecimal_address`, one a line.

    Raises BadInput with the number of the line that is malformed or goes back in time, and for
    files that hold or unpack to more than `MOST_REQUESTS` or `MOST_TEXT_BYTES`.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        return _read_parquet(path)
    parts: list[tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.uint64]]] = []
    line, last = 0, 0
    for text in _blocks(path):
        part = _parsed(text, path, line)
        _require_order(part[0], last, path, line)
        line, last = line + part[0].size, int(part[0][-1])
        if line > MOST_REQUESTS:
            raise BadInput(f"holds more than {MOST_REQUESTS} requests", file=path)
        parts.append(part)
    if not parts:
        raise BadInput("holds no request", file=path)
    return Requests(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def write_requests(path: str | Path, requests: Requests) -> None:
    """Writes the requests as the suffix says: .parquet, .gz, or text."""
    path = Path(path)
    if path.suffix == ".parquet":
        _write_parquet(path, requests)
        return
    with writing(path) as beside, beside.open("wb") as stream:
        if path.suffix == ".gz":
            # No name and no time in the header: the same requests are the same bytes.
            with gzip.GzipFile("", "wb", fileobj=stream, mtime=0, compresslevel=6) as packed:
                _write_text(packed, requests)
        else:
            _write_text(stream, requests)


def _write_text(stream: IO[bytes] | gzip.GzipFile, requests: Requests) -> None:
    for start in range(0, len(requests), BLOCK_BYTES):
        part = slice(start, start + BLOCK_BYTES)
        columns = (requests.arrival_cycles, requests.write, requests.address)
        rows = zip(*(column[part].tolist() for column in columns), strict=True)
        text = "".join(f"{at} {'W' if write else 'R'} {address:x}\n" for at, write, address in rows)
        stream.write(text.encode())


def _read_parquet(path: Path) -> Requests:
    from ...base import parquet

    columns = parquet.read(path, _KINDS, most_rows=MOST_REQUESTS)
    if not columns["address"].size:
        raise BadInput("holds no request", file=path)
    for name, column in columns.items():
        if column.dtype.kind == "f":
            raise BadInput("lacks values", file=path, key=name)
        if column.dtype.kind == "i" and column.size and column.min() < 0:
            raise BadInput("must not be negative", file=path, key=name, value=int(column.min()))
    try:
        return Requests.of(columns["address"], columns["write"], columns["arrival_cycle"])
    except BadInput as fault:
        raise BadInput(fault.what, file=path, key=fault.key) from None


def _write_parquet(path: Path, requests: Requests) -> None:
    from ...base import parquet

    if requests.address.size and requests.address.max() >= 1 << 63:
        raise BadInput("holds addresses of 64 bits; Parquet takes 63", file=path)
    columns = {
        "arrival_cycle": requests.arrival_cycles,
        "write": requests.write,
        "address": requests.address.astype(np.int64),
    }
    parquet.write(path, columns, {"units": "arrival_cycle: clock cycles; address: bytes"})


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines of the unpacked text, `BLOCK_BYTES` or so at a time, each with its line end."""
    try:
        require_plain(path)
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield from _lines(gzip.GzipFile(fileobj=raw) if packed else raw, path)
    except (OSError, EOFError, zlib.error) as fault:
        reason = (getattr(fault, "strerror", None) or str(fault)).lower()
        raise BadInput(f"cannot be read: {reason}", file=path) from None


def _lines(stream: IO[bytes] | gzip.GzipFile, path: Path) -> Iterator[bytes]:
    rest, total, line = b"", 0, 1
    while data := stream.read(BLOCK_BYTES):
        total += len(data)
        if total > MOST_TEXT_BYTES:
            raise BadInput(f"unpacks to more than {MOST_TEXT_BYTES} bytes", file=path)
        whole, end, rest_of_it = data.rpartition(b"\n")
        if end:
            yield rest + whole + end
            line += whole.count(b"\n") + 1
            rest = rest_of_it
        else:
            rest += data
        if len(rest) > MOST_LINE_BYTES:
            raise BadInput(
                f"has more than {MOST_LINE_BYTES} characters", file=path, key=f"line {line}"
            )
    if rest:
        yield rest + b"\n"


Parsed = tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.uint64]]


def _parsed(text: bytes, path: Path, before: int) -> Parsed:
    """The lines of a block; those not written plainly are read by the regular expression."""
    raw = np.frombuffer(text, np.uint8)
    end = np.flatnonzero(raw == ord("\n"))
    start = np.concatenate(([0], end[:-1] + 1))
    spaces = np.flatnonzero(raw == ord(" "))
    first = (
        spaces[np.minimum(np.searchsorted(spaces, start), spaces.size - 1)] if spaces.size else end
    )
    letter = raw[np.minimum(first + 1, raw.size - 1)]
    plain = (first + 3 < end) & (first > start) & (first - start <= DECIMALS)
    plain &= (letter == ord("R")) | (letter == ord("W"))
    plain &= (raw[np.minimum(first + 2, raw.size - 1)] == ord(" ")) & (end - first - 3 <= HEXES)
    cycles, good = _number(raw, start, first, 10, DECIMALS)
    plain &= good
    addresses, good = _number(raw, first + 3, end, 16, HEXES)
    plain &= good
    arrival, write = cycles.astype(np.int64), letter == ord("W")
    for at in np.flatnonzero(~plain).tolist():
        found = _LINE.fullmatch(text, int(start[at]), int(end[at]))
        if found is None:
            content = text[start[at] : min(end[at], start[at] + 60)].decode(errors="replace")
            raise BadInput(
                "must read `arrival_cycle R|W hexadecimal_address`, such as `12 R 1f40`",
                file=path,
                key=f"line {before + at + 1}",
                value=content,
            )
        arrival[at], addresses[at] = int(found[1]), int(found[3], 16)
        write[at] = found[2] in b"Ww"
    return arrival, write, addresses


_DIGIT = np.full(256, 255, np.uint8)
_DIGIT[np.frombuffer(b"0123456789abcdef", np.uint8)] = range(16)
_DIGIT[np.frombuffer(b"ABCDEF", np.uint8)] = range(10, 16)


def _number(
    raw: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    base: int,
    most: int,
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The numbers written in raw[start:end], and which of them are numbers of at most `most`
    digits. One pass over all lines for each digit, from the last."""
    value = np.zeros(start.size, np.uint64)
    length = end - start
    good = (length > 0) & (length <= most)
    scale = 1
    for place in range(min(most, int(length.max(initial=0)))):
        inside = place < length
        digit = _DIGIT[raw[np.where(inside, end - 1 - place, 0)]]
        good &= ~inside | (digit < base)
        value += np.where(inside & (digit < base), digit, 0).astype(np.uint64) * np.uint64(scale)
        scale *= base
    return value, good


def _require_order(arrival: NDArray[np.int64], last: int, path: Path, before: int) -> None:
    back = np.flatnonzero(np.diff(arrival, prepend=last) < 0)
    if back.size:
        at = int(back[0])
        raise BadInput(
            f"goes back in time, to cycle {arrival[at]} after {arrival[at - 1] if at else last}",
            file=path,
            key=f"line {before + at + 1}",
        )
