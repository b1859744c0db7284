"""Who writes into a run folder: a lock for each shard, which a dead owner does not keep."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from ...base import BadInput

FOLDER = ".locks"


class Shard(NamedTuple):
    """Every `of`-th chunk from the `number`-th on; number in 1..of."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, chunk: int) -> bool:
        """chunk: from 0 on."""
        return chunk % self.of == self.number - 1

    def meets(self, other: Shard) -> bool:
        """Whether some chunk is of both: i + a n = j + b m has a solution."""
        return (self.number - other.number) % math.gcd(self.of, other.of) == 0


WHOLE = Shard(1, 1)


def shard_of(text: str) -> Shard:
    """'3/64' as the third of 64. Raises BadInput."""
    found = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise BadInput(
            "must be the shard's number and how many there are, such as 3/64",
            key="--shard",
            value=text,
        )
    return Shard(int(found[1]), int(found[2]))


@contextlib.contextmanager
def locked(folder: Path, shard: Shard = WHOLE) -> Iterator[None]:
    """Holds the folder's chunks of the shard for this process. Raises BadInput while another that
    lives, here or on another machine that sees the folder, holds some of them.

    The kernel's lock on a file (flock) ends with its owner, however that ends; its text says who
    it is. Shards that share no chunk write side by side.
    """
    locks = folder / FOLDER
    try:
        locks.mkdir(exist_ok=True)
        with (locks / "guard").open("a") as guard:  # one at a time looks at the locks
            fcntl.flock(guard, fcntl.LOCK_EX)
            for path in sorted(locks.glob("shard-*")):
                _check(path, shard, folder)
            mine = (locks / f"shard-{shard.number}-of-{shard.of}").open("w")
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            json.dump({"pid": os.getpid(), "host": platform.node()}, mine)
            mine.flush()
    except OSError as fault:
        why = "this file system has no locks; use another" if fault.errno in _NO_LOCKS else ""
        raise BadInput(
            f"cannot be locked: {why or (fault.strerror or str(fault)).lower()}", file=folder
        ) from None
    try:
        yield
    finally:
        Path(mine.name).unlink(missing_ok=True)
        mine.close()


_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


def _check(path: Path, shard: Shard, folder: Path) -> None:
    """Clears away the lock of a dead owner; raises BadInput for one that lives and meets ours."""
    found = re.fullmatch(r"shard-(\d{1,7})-of-(\d{1,7})", path.name)
    if not found:
        return
    other = Shard(int(found[1]), int(found[2]))
    try:
        stream = path.open("r+")
    except FileNotFoundError:  # its owner has just ended
        return
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not shard.meets(other):
                return
            what = "another run" if other == WHOLE else f"shard {other}"
            raise BadInput(
                f"{what} is writing here ({_owner(stream)}); wait for it, or stop it", file=folder
            ) from None
        path.unlink(missing_ok=True)


def _owner(stream: IO[str]) -> str:
    try:
        said = json.load(stream)
        return f"process {said['pid']} on {said['host']}"
    except (ValueError, KeyError, TypeError):
        return "its process has not said its number yet"
