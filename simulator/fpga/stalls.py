"""Why a process waits, and why a graph stands still: the cycle of waits that nobody can leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from .graph import Ends

Kind: TypeAlias = Literal["empty", "full", "memory", "closed"]


class Reason(msgspec.Struct, frozen=True, order=True):
    """What a process waited for.

    empty, full: tokens or room in the FIFO. memory: either of the two, where a memory is at the
    other end. closed: the process itself, all its FIFOs being ready; `fifo` is "".
    """

    kind: Kind
    fifo: str = ""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """One who can never go on: `who` waits for `needs` tokens, or room for so many (`room`), in a
    FIFO of `depth` that holds `held`, written and on their way, and whose other end is `other`."""

    who: str
    fifo: str
    room: bool
    needs: int
    held: int
    depth: int | None
    other: str

    def __str__(self) -> str:
        if self.room:
            state = f"full, {self.held} of {self.depth}"
            if self.held != self.depth:
                state = f"{self.held} of {self.depth}, needs {self.needs} more"
            return f"{self.who} waits for room in {self.fifo} ({state}), which {self.other} reads"
        state = f"holds {self.held}, needs {self.needs}" if self.held else "empty"
        return f"{self.who} waits for tokens in {self.fifo} ({state}), which {self.other} writes"


class Deadlock(msgspec.Struct, frozen=True, kw_only=True):
    """From `cycle` on nothing moves. waits: each one's `other` is the next one's `who`, and the
    last one's is the first; or the last one waits for one that has `ended`."""

    cycle: int
    waits: tuple[Wait, ...]
    ended: bool

    def __str__(self) -> str:
        chain = ", ".join(map(str, self.waits))
        end = " and has ended" if self.ended else ""
        return f"deadlock in cycle {self.cycle}: {chain}{end}"


class Stuck(msgspec.Struct, frozen=True):
    """The first condition that does not hold for one who has not ended."""

    fifo: str
    room: bool
    needs: int


def reason(graph_ends: Mapping[str, Ends], processes: set[str], fifo: str, room: bool) -> Reason:
    """Why one waits who waits for this FIFO; `processes`: all that are no port of a memory."""
    other = graph_ends[fifo].reader if room else graph_ends[fifo].writer
    return Reason("memory" if other not in processes else "full" if room else "empty", fifo)


def deadlock(
    cycle: int,
    both: Mapping[str, Ends],
    depth: Mapping[str, int | None],
    held: Mapping[str, int],
    stuck: Mapping[str, Stuck],
) -> Deadlock | None:
    """Follows the waits from the first one that is stuck; None if nobody is."""
    if not stuck:
        return None
    waits: dict[str, Wait] = {}
    who = next(iter(stuck))
    while who in stuck and who not in waits:
        at = stuck[who]
        other = both[at.fifo].reader if at.room else both[at.fifo].writer
        waits[who] = Wait(
            who=who,
            fifo=at.fifo,
            room=at.room,
            needs=at.needs,
            held=held[at.fifo],
            depth=depth[at.fifo],
            other=other,
        )
        who = other
    chain = tuple(waits.values())
    if who not in stuck:
        return Deadlock(cycle=cycle, waits=chain, ended=True)
    return Deadlock(cycle=cycle, waits=chain[list(waits).index(who) :], ended=False)
