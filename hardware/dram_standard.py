"""A DRAM standard: which commands must keep which distance, in names of timings."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..base import Spec
from .dram_terms import terms

HOST_COMMANDS = ("ACT", "PRE", "PREA", "RD", "WR", "RDA", "WRA", "REF", "REFP")
"""Activate, precharge (all), read and write (with auto-precharge), refresh of all banks or some."""
AS_ONE_BANK = {"ACTG": "ACT", "RDG": "RD", "PREG": "PRE"}
"""Commands to every bank of a gang, and what each is to one bank. No standard has them."""
COMMANDS = (*HOST_COMMANDS, *AS_ONE_BANK)
LEVELS = ("channel", "rank", "stack_id", "bank_group", "bank")
"""What a rule holds within. `rank` stands for the pseudo channel where a standard has those."""
RANK_LEVELS = ("rank", "pseudo_channel")
NEEDED = ("tRC", "tRAS", "tRP", "tCL", "tCWL", "tRFC", "tREFI", "burst_cycles")
"""Timings that every set must give, whatever the rules ask for."""

Ticks = Annotated[int, msgspec.Meta(ge=1, le=2)]
Commands = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=len(HOST_COMMANDS))]


class Rule(Spec, frozen=True, kw_only=True):
    """From any command of `before` to any of `after` at least `cycles`, within one unit of `level`.

    cycles: timing names and whole numbers joined by + and -. window: counts from that many commands
    back (4 for tFAW). others: holds between two units of the level instead of within one.
    """

    level: str
    before: Commands
    after: Commands
    cycles: str
    window: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    others: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("level", self.level, LEVELS)
        for command in (*self.before, *self.after):
            _one_of("before and after", command, HOST_COMMANDS)
        terms(self.cycles)
        if self.others and (self.level == "channel" or self.window > 1):
            raise ValueError("`others` goes with a level below the channel and without `window`")
        if {"PREA", "REF"} & {*self.before, *self.after} and self.level not in LEVELS[:2]:
            raise ValueError(
                f"`level` must be channel or rank for PREA and REF, got {self.level!r}"
            )


class Standard(Spec, frozen=True, kw_only=True):
    """What every memory of a standard obeys, whatever its speed.

    ticks_per_cycle: 2 where row commands go on both edges of the clock. bus_cycles: clock cycles
    that a command holds its bus, 1 where not named. shared_bus: row and column commands share one
    bus. falling_edge: commands that may start between two cycles. refresh_together: what REFP
    refreshes, one 'bank' or the 'same_bank' of every group, or None where there is no REFP.
    defaults: timings that a set need not name, and what stands for them. In TOML `rule_sets` names
    shared lists of rules, to which those of the file are added.
    """

    name: str
    rank_level: str
    ticks_per_cycle: Ticks = 1
    bus_cycles: dict[str, Annotated[float, msgspec.Meta(ge=0.5, le=4)]] = msgspec.field(
        default_factory=dict
    )
    shared_bus: bool
    falling_edge: tuple[str, ...] = ()
    refresh_together: str | None = None
    rules: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=1000)]
    defaults: Annotated[dict[str, str], msgspec.Meta(max_length=100)] = msgspec.field(
        default_factory=dict
    )
    notes: str = ""
    sources: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("rank_level", self.rank_level, RANK_LEVELS)
        for command in (*self.bus_cycles, *self.falling_edge):
            _one_of("bus_cycles and falling_edge", command, HOST_COMMANDS)
        for command, cycles in self.bus_cycles.items():
            if cycles * self.ticks_per_cycle % 1:
                raise ValueError(f"`bus_cycles.{command}` must be whole ticks, got {cycles}")
        if self.refresh_together is not None:
            _one_of("refresh_together", self.refresh_together, ("bank", "same_bank"))
        for expression in self.defaults.values():
            terms(expression)

    @property
    def timings(self) -> set[str]:
        """Every name that a timing set of the standard may give."""
        sums = (*self.defaults.values(), *(rule.cycles for rule in self.rules))
        named = {term for each in sums for _, term in terms(each) if isinstance(term, str)}
        return named | {*self.defaults, *NEEDED, "tREFIpb"}

    def bus_ticks(self, command: str) -> int:
        """Ticks that a command holds its bus."""
        return int(self.bus_cycles.get(self.of_host(command), 1) * self.ticks_per_cycle)

    def falls(self, command: str) -> bool:
        """Whether a command may start on a falling edge."""
        return self.of_host(command) in self.falling_edge

    @staticmethod
    def of_host(command: str) -> str:
        """The command itself, or what a gang command is to one bank."""
        return AS_ONE_BANK.get(command, command)


def _one_of(key: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ValueError(f"`{key}` must be of {', '.join(known)}, got {name!r}")
