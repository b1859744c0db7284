"""The checker's one pass counts what a plain look at every pair of commands counts."""

from __future__ import annotations

import functools

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.hardware.load import dram_config
from moesaic.simulator.memory.check import check_commands
from moesaic.simulator.memory.check_rules import RANK, Device, level_of, rules_of

ACT, PRE, PREA, RD, WR, RDA, WRA, REF, REFP = range(9)
MEMORIES = (
    "hbm2_2000_4Gb_16pc",
    "hbm3_6400_16Gb_16ch2pc_4sid",
    "ddr4_3200_8Gb_x8_1ch_2rank",
    "ddr5_4800_16Gb_x8_2ch_2rank",
    "lpddr5_6400_8Gb_4ch",
)


@functools.cache
def memory(name):
    """The memory with refreshes due often enough for short streams to miss them."""
    found = dram_config(name)
    cycles = found.timing.cycles | {"tRFC": 12, "tREFI": 13 + found.timing["tRC"]}
    return msgspec.structs.replace(
        found, timing=msgspec.structs.replace(found.timing, cycles=cycles)
    )


@st.composite
def records(draw):
    """A memory, a way to refresh it, and commands (tick, channel, command, bank, row) at random, in
    time order, in few banks so that they meet."""
    name = draw(st.sampled_from(MEMORIES))
    device = Device.of(memory(name))
    channels = min(2, device.channels)
    banks = draw(st.lists(st.integers(0, device.banks - 1), min_size=1, max_size=4))
    one = st.tuples(
        st.integers(0, 60), st.integers(0, channels - 1), st.integers(0, 8),
        st.sampled_from(banks), st.integers(0, 2),
    )  # fmt: skip
    commands = np.array(draw(st.lists(one, min_size=1, max_size=40)), np.int64)
    commands[:, 0] = np.cumsum(commands[:, 0])
    return name, draw(st.sampled_from(("all-bank", "per-bank", "off"))), commands


class Slow:
    """Slacks of every command by every rule, found by looking at all commands before it."""

    def __init__(self, device, commands, refresh):
        self.device, self.slacks = device, {}
        self.ticks = device.ticks_per_cycle
        for channel in np.unique(commands[:, 1]):
            mine = [tuple(map(int, row)) for row in commands[commands[:, 1] == channel]]
            for k, command in enumerate(mine):
                self.pairs(mine[:k], command)
                self.bus(mine[:k], command)
                self.find_open(mine[:k], command)
                self.data(mine[:k], command)
            if refresh != "off":
                self.refreshes(mine, refresh)

    def put(self, rule, slack, command=None):
        falls = command is None or command[2] in self.device.wires.falling
        if slack > 0 and not falls:
            slack -= slack % self.ticks
        self.slacks.setdefault(rule, []).append(slack)

    def heard(self, command):
        return command[0] + self.device.occupancy(command[2]) - 1

    def cycles(self, name):
        return self.device.cycles[name] * self.ticks

    def pairs(self, earlier, command):
        for rule in rules_of(self.device):
            for before in rule.before:
                if command[2] not in rule.after:
                    continue
                level = level_of(self.device, rule, before, command[2])
                gaps = [
                    self.heard(command) - self.heard(one)
                    for one in earlier
                    if one[2] == before and self.meet(rule, level, one[3], command[3])
                ]
                if gaps:
                    self.put(rule.name, min(gaps) - self.asked(rule.asks), command)
        acts = [
            self.heard(one) for one in earlier if one[2] == ACT and self.same_rank(one, command)
        ]
        if command[2] == ACT and len(acts) >= 4:
            self.put("tFAW", self.heard(command) - acts[-4] - self.cycles("tFAW"), command)

    def asked(self, asks):
        names = asks.replace("+", " +").replace("-", " -").split()
        instead = {"tCCDSW": "tCCDS", "tCCDLW": "tCCDL", "tRPab": "tRP", "tCCDR": "tCCDS"}
        instead |= {"tREF2REF": "tRFCpb" if self.device.wires.same_bank else "tRREFD"}
        total = 0
        for name in names:
            bare = name.lstrip("+-")
            if bare == "tRTW" and bare not in self.device.cycles:
                more = 4 if self.device.wires.same_bank else 2
                found = self.asked("tCL+burst_cycles-tCWL") // self.ticks + more
            else:
                found = self.device.cycles[bare if bare in self.device.cycles else instead[bare]]
            total += -found if name.startswith("-") else found
        return total * self.ticks

    def meet(self, rule, level, a, b):
        same = self.device.unit(level, a) == self.device.unit(level, b)
        if rule.others:
            return self.device.unit(RANK, a) == self.device.unit(RANK, b) and not same
        return same

    def same_rank(self, one, other):
        return self.device.unit(RANK, one[3]) == self.device.unit(RANK, other[3])

    def bus(self, earlier, command):
        split = self.device.wires.split
        column = command[2] in (RD, WR, RDA, WRA)
        free = [
            one[0] + self.device.occupancy(one[2])
            for one in earlier
            if not split or (one[2] in (RD, WR, RDA, WRA)) == column
        ]
        name = ("column bus" if column else "row bus") if split else "command bus"
        if free:
            self.put(name, command[0] - max(free), command)
        if self.ticks > 1 and command[2] not in (PRE, PREA):
            self.put("rising edge", -(command[0] % 2))

    def find_open(self, earlier, command):
        rows = {}
        for _, _, what, bank, row in earlier:
            if what == ACT:
                rows[bank] = row
            elif what in (PRE, RDA, WRA):
                rows.pop(bank, None)
            elif what == PREA:
                rows = {
                    b: r
                    for b, r in rows.items()
                    if not self.same_rank((0, 0, 0, b), (0, 0, 0, bank))
                }
        what, bank, row = command[2:]
        if what == ACT:
            self.put("closed before ACT", -(bank in rows))
        elif what in (RD, WR, RDA, WRA):
            self.put("open before RD, WR", -(bank not in rows))
            if bank in rows:
                self.put("the row asked for", -(rows[bank] != row))
        elif what in (REF, REFP):
            whole = what == REF
            self.put("closed before refresh", -any(b in self.refreshed(bank, whole) for b in rows))

    def refreshed(self, bank, whole):
        """The banks that a refresh at `bank` takes."""
        _, stacks, groups, banks = self.device.sizes
        per_rank = stacks * groups * banks
        if whole:
            return range(bank // per_rank * per_rank, (bank // per_rank + 1) * per_rank)
        if not self.device.wires.same_bank:
            return [bank]
        first = bank // (groups * banks) * groups * banks + bank % banks
        return range(first, first + groups * banks, banks)

    def data(self, earlier, command):
        if command[2] not in (RD, WR, RDA, WRA):
            return
        pseudo, start = self.device.wires.pseudo, self.data_start(command)
        columns = [one for one in earlier if one[2] in (RD, WR, RDA, WRA)]
        burst = self.cycles("burst_cycles")
        ends = [
            self.data_start(one) + burst
            for one in columns
            if not pseudo or self.same_rank(one, command)
        ]
        if ends:
            self.put("data bus", start - max(ends))
        if not pseudo and self.device.sizes[0] > 1:
            others = [
                self.data_start(one) + burst for one in columns if not self.same_rank(one, command)
            ]
            if others:
                self.put("tCS", start - max(others) - 2)

    def data_start(self, command):
        return command[0] + self.cycles("tCWL" if command[2] in (WR, WRA) else "tCL")

    def refreshes(self, mine, refresh):
        every = self.cycles("tREFI")
        per_rank = len(self.refreshed(0, True))
        units = {min(self.refreshed(b, refresh == "all-bank")) for b in range(self.device.banks)}
        for unit in units:
            at = [
                one[0]
                for one in mine
                if (one[2] == REF and unit // per_rank == one[3] // per_rank)
                or (
                    refresh == "per-bank"
                    and one[2] == REFP
                    and unit in self.refreshed(one[3], False)
                )
            ]
            for k, tick in enumerate([*at, mine[-1][0]]):
                self.put("refresh gap", 9 * every - (tick - (at[k - 1] if k else 0)))
                self.put("refresh mean", (k + 9) * every - tick)


@settings(max_examples=120, deadline=None)
@given(records())
def test_one_pass_counts_what_all_pairs_count(record):
    name, refresh, commands = record
    fast = check_commands(memory(name), *commands.T, refresh=refresh)
    slow = Slow(Device.of(memory(name)), commands, refresh).slacks
    found = {rule.name: (rule.times, rule.violations, rule.slack_ticks) for rule in fast.rules}
    expected = {
        rule: (len(slacks), sum(s < 0 for s in slacks), min(slacks))
        for rule, slacks in slow.items()
    }
    assert {rule: what for rule, what in found.items() if what[0]} == expected
    if refresh != "off":
        gaps = 9 * Device.of(memory(name)).cycles["tREFI"] * Device.of(memory(name)).ticks_per_cycle
        assert fast.largest_refresh_gap_ticks == gaps - min(slow["refresh gap"])
