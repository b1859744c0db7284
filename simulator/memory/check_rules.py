"""What the checker asks of commands: its own rules, read from JEDEC's meaning of each timing name.

Nothing here is shared with the core or with the tables that drive it. Cycles are counted from the
last edge of one command to the last edge of the next, as the standards count them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.errors import unknown
from ...hardware.dram import DramConfig
from ...hardware.gang import Gang

ACT, PRE, PREA, RD, WR, RDA, WRA, REF, REFP, ACTG, RDG, PREG = range(12)
COMMANDS = (
    "ACT", "PRE", "PREA", "RD", "WR", "RDA", "WRA", "REF", "REFP", "ACTG", "RDG", "PREG",
)  # fmt: skip
READS, WRITES = (RD, RDA), (WR, WRA)
SENT_AS = {ACTG: ACT, RDG: RD, PREG: PRE}
"""A gang command has the length and the edges of that to one bank."""
RANK, STACK, GROUP, BANK, TOGETHER = range(5)
"""Units that commands meet in; TOGETHER: the banks that one REFP refreshes."""
SCOPES = ("rank", "stack id", "bank group", "bank")

MOST_CYCLES = 2**24
_TERM = re.compile(r"([+-]?)(\w+)")
MOST_POSTPONED = 8
"""Refreshes that may wait (JESD79-4, refresh command): the longest gap is nine intervals."""


class Wires(msgspec.Struct, frozen=True):
    """How a standard sends commands. cycles: clock cycles of those that do not take one; split:
    column commands have their own bus; falling: commands that may start on a falling edge; pseudo:
    its channels fall into pseudo channels, each with data of its own; same_bank: one REFP refreshes
    the same bank of every group of a stack id; instead: of timings that a set does not name."""

    cycles: dict[int, float] = {}
    split: bool = False
    falling: tuple[int, ...] = ()
    pseudo: bool = False
    same_bank: bool = False
    instead: dict[str, str] = {}


_INSTEAD = {
    "tRPab": "tRP",
    "tCCDR": "tCCDS",
    "tCCDSW": "tCCDS",
    "tCCDLW": "tCCDL",
    "tREF2REF": "tRREFD",
    "tPPD": "0",
    "tCS": "2",
    # derived: the data of the write begin two cycles after those of the read end.
    "tRTW": "tCL+burst_cycles+2-tCWL",
}
_DDR5 = {"tPPD": "2", "tREF2REF": "tRFCpb", "tRTW": "tCL+burst_cycles+4-tCWL"}
"""Two cycles of preamble more between the data (tWPRE); a REFsb waits for the one before."""

_HBM2 = Wires({ACT: 2}, split=True, pseudo=True)
_HBM3 = Wires(
    {ACT: 1.5, PRE: 0.5, PREA: 0.5, REF: 0.5, REFP: 0.5},
    split=True,
    falling=(PRE, PREA),
    pseudo=True,
)
STANDARDS: dict[str, Wires] = {
    "DDR4": Wires(),
    "DDR5": Wires({ACT: 2, RD: 2, WR: 2, RDA: 2, WRA: 2}, same_bank=True, instead=_DDR5),
    "LPDDR5": Wires({ACT: 2}, instead={"tPPD": "2"}),
    "GDDR6": Wires(instead={"tRTW": "tCL+1"}),
    "HBM2": _HBM2,
    "HBM3": _HBM3,
    "HBM4": _HBM3,
}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What the checker knows of a memory: cycles by timing name, the standard's wires, and sizes:
    ranks (or pseudo channels), stack ids, bank groups, banks, each in one of the former. gang: the
    banks that PIM units take together."""

    name: str
    wires: Wires
    ticks_per_cycle: int
    cycles: Mapping[str, int]
    channels: int
    sizes: tuple[int, int, int, int]
    rows: int
    gang: Gang | None = None

    @classmethod
    def of(cls, config: DramConfig, gang: Gang | None = None) -> Device:
        standard = config.timing.standard
        if standard.name not in STANDARDS:
            raise unknown("standard that the checker knows", standard.name, STANDARDS)
        return cls(
            name=config.name,
            wires=STANDARDS[standard.name],
            ticks_per_cycle=standard.ticks_per_cycle,
            cycles=config.timing.cycles,
            channels=config.channels,
            sizes=config.sizes,
            rows=config.organisation.rows,
            gang=gang,
        )

    @property
    def banks(self) -> int:
        """Banks of a channel."""
        return math.prod(self.sizes)

    @property
    def together(self) -> int:
        """Banks that one REFP refreshes."""
        return self.sizes[2] if self.wires.same_bank else 1

    def occupancy(self, command: int) -> int:
        """Ticks that the command holds its bus."""
        sent = SENT_AS.get(command, command)
        return int(self.wires.cycles.get(sent, 1) * self.ticks_per_cycle)

    def span(self, level: int) -> int:
        """Banks in one unit of the level."""
        return self.together if level == TOGETHER else math.prod(self.sizes[level + 1 :])

    def unit(self, level: int, bank: int) -> int:
        """The unit of that level in which a bank of the channel lies."""
        if level == TOGETHER and self.together > 1:
            banks = self.sizes[3]
            return bank // self.span(STACK) * banks + bank % banks
        return bank // self.span(level)

    def together_with(self, bank: int) -> tuple[int, ...]:
        """The banks of the gang in which a bank of the channel lies, in order."""
        assert self.gang is not None
        return tuple(b for b in range(self.banks) if self._gang(b) == self._gang(bank))

    def _gang(self, bank: int) -> tuple[int, ...]:
        assert self.gang is not None
        ranks, stacks, groups, banks = np.unravel_index(bank, self.sizes)
        spans = zip((stacks, groups, banks), self.gang.sizes, strict=True)
        return (int(ranks), *(int(at) // span for at, span in spans))


class Rule(msgspec.Struct, frozen=True):
    """At least the cycles of `asks` (timing names, + and -) from any command of `before` to one of
    `after` in one unit of `level`, or with `others` in different stack ids of one rank. A command
    that precharges or refreshes the whole rank meets every bank of it."""

    name: str
    level: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    asks: str
    others: bool = False

    @property
    def scope(self) -> str:
        return "rank" if self.others else SCOPES[self.level]


_WRITTEN = "tCWL+burst_cycles+tWR"
_BANK = (
    Rule("tRC", BANK, (ACT,), (ACT,), "tRC"),
    Rule("tRCDRD", BANK, (ACT,), READS, "tRCDRD"),
    Rule("tRCDWR", BANK, (ACT,), WRITES, "tRCDWR"),
    Rule("tRAS", BANK, (ACT,), (PRE, PREA), "tRAS"),
    Rule("tRP", BANK, (PRE,), (ACT,), "tRP"),
    Rule("tRP after PREA", BANK, (PREA,), (ACT,), "tRPab"),
    Rule("tRTP", BANK, READS, (PRE, PREA), "tRTP"),
    Rule("tWR", BANK, WRITES, (PRE, PREA), _WRITTEN),
    Rule("tRTP + tRP", BANK, (RDA,), (ACT,), "tRTP+tRP"),
    Rule("tWR + tRP", BANK, (WRA,), (ACT,), _WRITTEN + "+tRP"),
)
_GROUP = (
    Rule("tCCD_L of reads", GROUP, READS, READS, "tCCDL"),
    Rule("tCCD_L of writes", GROUP, WRITES, WRITES, "tCCDLW"),
    Rule("tWTR_L", GROUP, WRITES, READS, "tCWL+burst_cycles+tWTRL"),
    Rule("tRRD_L", GROUP, (ACT,), (ACT,), "tRRDL"),
)
_STACK = (
    Rule("tCCD_S of reads", STACK, READS, READS, "tCCDS"),
    Rule("tCCD_S of writes", STACK, WRITES, WRITES, "tCCDSW"),
)
_OTHER_STACK = (
    Rule("tCCD_R of reads", STACK, READS, READS, "tCCDR", others=True),
    Rule("tCCD_R of writes", STACK, WRITES, WRITES, "tCCDR", others=True),
)
_RANK = (
    Rule("tRRD_S", RANK, (ACT,), (ACT,), "tRRDS"),
    Rule("tWTR_S", RANK, WRITES, READS, "tCWL+burst_cycles+tWTRS"),
    Rule("tRTW", RANK, READS, WRITES, "tRTW"),
    Rule("tPPD", RANK, (PRE, PREA), (PRE, PREA), "tPPD"),
)


def _idle(refresh: int, of: str) -> tuple[Rule, ...]:
    """What a refresh asks of the banks that it refreshes: closed, and closed for long enough."""
    return (
        Rule(f"tRC to {of}", BANK, (ACT,), (refresh,), "tRC"),
        Rule(f"tRP to {of}", BANK, (PRE,), (refresh,), "tRP"),
        Rule(f"tRP after PREA to {of}", BANK, (PREA,), (refresh,), "tRPab"),
        Rule(f"tRTP + tRP to {of}", BANK, (RDA,), (refresh,), "tRTP+tRP"),
        Rule(f"tWR + tRP to {of}", BANK, (WRA,), (refresh,), _WRITTEN + "+tRP"),
    )


_ALL_BANK = (
    *_idle(REF, "REF"),
    Rule("tRFC", RANK, (REF,), (ACT, PRE, PREA, REF, REFP), "tRFC"),
)
_PER_BANK = (
    *_idle(REFP, "REFP"),
    Rule("tRFCpb", BANK, (REFP,), (ACT, PRE, PREA, REF, REFP), "tRFCpb"),
    Rule("tRREFD", RANK, (REFP,), (ACT,), "tRREFD"),
    Rule("tREF2REF", RANK, (REFP,), (REFP,), "tREF2REF"),
    Rule("tRRD_S to REFP", RANK, (ACT,), (REFP,), "tRRDS"),
    Rule("tRRD_L to REFP", GROUP, (ACT,), (REFP,), "tRRDL"),
)
_GANG = (
    Rule("tRC to ACTG", BANK, (ACT, ACTG), (ACTG,), "tRC"),
    Rule("tRC after ACTG", BANK, (ACTG,), (ACT,), "tRC"),
    Rule("tRCD to RDG", BANK, (ACT, ACTG), (RDG,), "tRCDRD"),
    Rule("tRAS of ACTG", BANK, (ACTG,), (PRE, PREA, PREG), "tRAS"),
    Rule("tRAS to PREG", BANK, (ACT,), (PREG,), "tRAS"),
    Rule("tRP to ACTG", BANK, (PRE, PREG), (ACTG,), "tRP"),
    Rule("tRP after PREG", BANK, (PREG,), (ACT,), "tRP"),
    Rule("tRP after PREA to ACTG", BANK, (PREA,), (ACTG,), "tRPab"),
    Rule("tRTP of RDG", BANK, (RDG,), (PRE, PREA, PREG), "tRTP"),
    Rule("tRTP to PREG", BANK, READS, (PREG,), "tRTP"),
    Rule("tWR to PREG", BANK, WRITES, (PREG,), _WRITTEN),
    Rule("tRTP + tRP to ACTG", BANK, (RDA,), (ACTG,), "tRTP+tRP"),
    Rule("tWR + tRP to ACTG", BANK, (WRA,), (ACTG,), _WRITTEN + "+tRP"),
    Rule("tRC of ACTG to REF", BANK, (ACTG,), (REF,), "tRC"),
    Rule("tRP of PREG to REF", BANK, (PREG,), (REF,), "tRP"),
    Rule("tRFC to gangs", RANK, (REF,), (ACTG, PREG), "tRFC"),
)
"""At each bank of a gang what holds at one; among other banks nothing."""
_GANG_PER_BANK = (
    Rule("tRC of ACTG to REFP", BANK, (ACTG,), (REFP,), "tRC"),
    Rule("tRP of PREG to REFP", BANK, (PREG,), (REFP,), "tRP"),
    Rule("tRFCpb to gangs", BANK, (REFP,), (ACTG, PREG), "tRFCpb"),
)
_GANG_PATH = (
    Rule("tCCD_L to RDG", GROUP, (*READS, *WRITES), (RDG,), "tCCDL"),
    Rule("tCCD_L after RDG", GROUP, (RDG,), (*READS, *WRITES), "tCCDL"),
)
"""Units that take the data path of their bank groups."""


def _gang_rules(device: Device, gang: Gang) -> list[Rule]:
    apart = Rule("gang reads", RANK, (RDG,), (RDG,), gang.read_cycles.replace(" ", ""))
    return [
        *_GANG,
        *(_GANG_PER_BANK if "tRFCpb" in device.cycles else ()),
        *(_GANG_PATH if gang.shares_group else ()),
        apart,
    ]


def rules_of(device: Device) -> list[Rule]:
    """The pair rules that hold for the device; one that asks for nothing is left out."""
    rules = [*_BANK, *_GROUP, *_STACK, *_RANK, *_ALL_BANK]
    if device.sizes[1] > 1:
        rules += _OTHER_STACK
    if "tRFCpb" in device.cycles:
        rules += _PER_BANK
    if device.gang is not None:
        rules += _gang_rules(device, device.gang)
    return [rule for rule in rules if cycles_of(device, rule.asks) > 0]


def cycles_of(device: Device, asks: str) -> int:
    """Clock cycles of a sum; a timing that the set does not name is what holds in its place."""
    total = 0
    for sign, term in _TERM.findall(asks):
        if term.isdigit():
            found = int(term)
        elif term in device.cycles:
            found = device.cycles[term]
        elif term in (instead := _INSTEAD | device.wires.instead):
            found = cycles_of(device, instead[term])
        else:
            raise BadInput(f"{device.name} has no such timing; the checker needs it", key=term)
        if not 0 <= found <= MOST_CYCLES:
            raise BadInput(f"must lie between 0 and {MOST_CYCLES} cycles", key=term, value=found)
        total += -found if sign == "-" else found
    return total


def level_of(device: Device, rule: Rule, before: int, after: int) -> int:
    """The unit in which this pair of commands meets."""
    if rule.level == GROUP and REFP in (before, after) and device.together > 1:
        return STACK
    if rule.level != BANK:
        return rule.level
    if {before, after} & {PREA, REF}:
        return RANK
    return TOGETHER if REFP in (before, after) else BANK


def rows_of(device: Device, rules: list[Rule]) -> NDArray[np.int64]:
    """Rows [n, 6]: rule, before, after, level, others, ticks; sorted by `after`.

    Ticks lie between the last ticks of the two commands.
    """
    rows = [
        (
            index,
            before,
            after,
            level_of(device, rule, before, after),
            int(rule.others),
            cycles_of(device, rule.asks) * device.ticks_per_cycle,
        )
        for index, rule in enumerate(rules)
        for before in rule.before
        for after in rule.after
    ]
    return np.array(sorted(rows, key=lambda row: row[2]), np.int64)
