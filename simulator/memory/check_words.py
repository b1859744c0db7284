"""The rules that are no pairs, by name; and the first violation of each rule in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .check_rules import COMMANDS, PREA, RANK, REF, SENT_AS, Device, Rule

if TYPE_CHECKING:
    from .check_seen import Facts, Found

(
    ROW_STATE, COLUMN_STATE, COLUMN_ROW, REFRESH_STATE, FOUR_ACTIVATES, ROW_BUS, COLUMN_BUS, EDGE,
    DATA_BUS, RANK_SWITCH, REFRESH_GAP, REFRESH_MEAN, GANG_STATE, GANG_LEFT, GANG_ROW_BUS,
    GANG_COLUMN_BUS, GANG_CLOSE,
) = range(17)  # fmt: skip
"""Numbered from the end of the pair rules."""

SINGLES = {
    ROW_STATE: ("closed before ACT", "bank"),
    COLUMN_STATE: ("open before RD, WR", "bank"),
    COLUMN_ROW: ("the row asked for", "bank"),
    REFRESH_STATE: ("closed before refresh", "bank"),
    FOUR_ACTIVATES: ("tFAW", "rank"),
    ROW_BUS: ("row bus", "channel"),
    COLUMN_BUS: ("column bus", "channel"),
    EDGE: ("rising edge", "channel"),
    DATA_BUS: ("data bus", "rank"),
    RANK_SWITCH: ("tCS", "channel"),
    REFRESH_GAP: ("refresh gap", "rank"),
    REFRESH_MEAN: ("refresh mean", "rank"),
    GANG_STATE: ("one row open before RDG", "gang"),
    GANG_LEFT: ("left to its gang", "bank"),
    GANG_ROW_BUS: ("row bus of gangs", "rank"),
    GANG_COLUMN_BUS: ("column bus of gangs", "rank"),
    GANG_CLOSE: ("open before PREG", "gang"),
}
"""Name and scope. Ranks stand for pseudo channels where a standard has those."""

_SAID = {
    ROW_STATE: "its row is still open",
    COLUMN_STATE: "no row is open",
    COLUMN_ROW: "another row is open",
    REFRESH_STATE: "a bank that it refreshes is open",
    FOUR_ACTIVATES: "{late} ticks too early after the fourth ACT before it, tFAW asks for {four}",
    ROW_BUS: "{late} ticks before the command bus falls free",
    COLUMN_BUS: "{late} ticks before the column bus falls free",
    EDGE: "on a falling edge",
    DATA_BUS: "its data start {late} ticks before those of an earlier command end",
    RANK_SWITCH: "its data come {late} ticks too early after those of another rank",
    GANG_STATE: "the banks of the gang do not all hold its row",
    GANG_LEFT: "a gang's row is open there",
    GANG_ROW_BUS: "{late} ticks before its row bus falls free",
    GANG_COLUMN_BUS: "{late} ticks before its column bus falls free",
    GANG_CLOSE: "no unit has opened the banks of the gang",
}


def in_words(
    device: Device,
    rules: Sequence[Rule],
    facts: Facts,
    found: Found,
    arrays: Sequence[NDArray[Any]],
) -> dict[int, str]:
    """The first violation of each rule that has one, by the rule's number."""
    said = {}
    for i in range(found.violations.size):
        if not found.violations[i]:
            continue
        single = i - len(rules)
        if single in (REFRESH_GAP, REFRESH_MEAN):
            said[i] = _refresh(device, facts, found, i, single)
            continue
        k = int(found.index[i])
        late = -int(found.short[i])
        what = (
            _pair(device, rules[i], facts, found, i, arrays)
            if single < 0
            else _SAID[single].format(late=late, four=facts.four)
        )
        said[i] = (
            f"channel {arrays[1][k]}, tick {arrays[0][k]}: {_command(device, arrays, k)}, {what}"
        )
    return said


def _command(device: Device, arrays: Sequence[NDArray[Any]], k: int) -> str:
    command, bank = int(arrays[2][k]), int(arrays[3][k])
    where = f"rank {bank // device.span(RANK)}" if command in (PREA, REF) else f"bank {bank}"
    if command in SENT_AS:
        where = "banks " + ", ".join(map(str, device.together_with(bank)))
    return f"{COMMANDS[command]} {where}"


def _pair(
    device: Device,
    rule: Rule,
    facts: Facts,
    found: Found,
    i: int,
    arrays: Sequence[NDArray[Any]],
) -> str:
    """'3 ticks after ACT bank 5, tRC asks for 48', in ticks between the starts of both commands."""
    tick = arrays[0]
    k, (_, before, after, *_, ticks) = int(found.index[i]), facts.rows[found.which[i]]
    asked = int(ticks + device.occupancy(before) - device.occupancy(after))
    earlier = k - 1
    while not _meets(device, facts.rows[found.which[i]], arrays, earlier, k):
        earlier -= 1
    gap = int(tick[k] - tick[earlier])
    return f"{gap} ticks after {_command(device, arrays, earlier)}, {rule.name} asks for {asked}"


def _meets(
    device: Device, row: NDArray[Any], arrays: Sequence[NDArray[Any]], earlier: int, k: int
) -> bool:
    """Whether an earlier command is the one that the row of `rows_of` sets against command k."""
    _, channel, command, bank, _ = arrays
    if channel[earlier] != channel[k] or command[earlier] != row[1]:
        return False
    level = int(row[3])
    firsts, seconds = (
        device.together_with(int(bank[i])) if command[i] in SENT_AS else (int(bank[i]),)
        for i in (earlier, k)
    )
    if row[4]:
        same_rank = device.unit(RANK, firsts[0]) == device.unit(RANK, seconds[0])
        return same_rank and device.unit(level, firsts[0]) != device.unit(level, seconds[0])
    met = {device.unit(level, b) for b in firsts} & {device.unit(level, b) for b in seconds}
    return bool(met)


def _refresh(device: Device, facts: Facts, found: Found, i: int, single: int) -> str:
    units = device.banks // (device.span(RANK) if facts.refresh == RANK else device.together)
    channel, unit = divmod(int(found.which[i]), units)
    of = "rank" if facts.refresh == RANK else "bank" if device.together == 1 else "set of banks"
    late = -int(found.short[i])
    if single == REFRESH_GAP:
        waited = facts.interval + facts.late + late
        what = f"waits {waited} ticks for a refresh, at most {facts.interval + facts.late}"
    else:
        what = f"is behind one refresh each {facts.interval} ticks, {late} ticks more than may wait"
    return f"channel {channel}: {of} {unit} {what}"
