"""Every rule of the memory core one clock cycle too short: the checker must see it, by name.

    python bench/accuracy/dram_mutation.py --out docs/memory-rules.md
    python bench/accuracy/dram_mutation.py --commands 1e8

The first writes a table of all rules of all standards: what the checker called the violation, how
many it found, in which setting. The second checks as many commands of unharmed runs, over every
memory of the catalogue, controller and traffic.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from moesaic._core import dram_run
from moesaic.hardware.dram import COMMANDS, LEVELS, DramConfig
from moesaic.hardware.dram_tables import DramTables, dram_tables
from moesaic.hardware.load import dram_config, dram_names
from moesaic.simulator.memory.check import Report, check_commands
from moesaic.simulator.memory.check_rules import Device, rules_of
from moesaic.simulator.memory.controller import Controller, Refresh, RowPolicy
from moesaic.simulator.memory.run import engine_policy, engine_spec

ACT, PRE, PREA, RD, WR, RDA, WRA, REF, REFP = range(9)
STANDARDS = {
    "DDR4": "ddr4_3200_8Gb_x8_1ch_2rank",
    "DDR5": "ddr5_4800_16Gb_x8_2ch_2rank",
    "LPDDR5": "lpddr5_6400_8Gb_4ch",
    "GDDR6": "gddr6_14000_8Gb_2ch",
    "HBM2": "hbm2_2400_8Gb_8ch2pc_2sid",
    "HBM3": "hbm3_6400_8Gb_16ch2pc_2sid",
    "HBM4": "hbm4_8000_8Gb_32ch2pc_2sid",
}
LOOSE = (
    "burst_cycles", "tCCDS", "tCCDL", "tCCDSW", "tCCDLW", "tCCDR", "tRRDS", "tRRDL", "tFAW", "tRTW",
    "tWTRS", "tWTRL",
)  # fmt: skip
"""One cycle each, so that only the command bus keeps two commands apart."""

INTRODUCTION = """# Mutation test of the memory core

Written by `python bench/accuracy/dram_mutation.py --out docs/memory-rules.md`.

Each rule between two commands was made one clock cycle shorter in the core (one tick where it only
keeps the command bus). The core ran, and the checker, which shares no rule with it, had to
call the violation by the name of that rule. Where another rule is stricter in the timing set as it
is, cycles were changed until this one holds. In the same run of the unharmed core the checker finds
nothing, and the rule is met to the tick (tightest slack 0). Rules that no run can come close to are
listed with the reason. A rule whose second command precharges by itself (RDA, WRA) is shortened
together with that of RD or WR: the core decides for it when RD or WR may start. One that is stated
at two levels (DDR5, ACT to REFP) is shortened at both.
"""

Row = tuple[int, int, int, int, int]
"""level, before, after, window, others: a rule but for its ticks."""


class Traffic(NamedTuple):
    """Requests of one channel, as the core takes them, each [n]."""

    arrival: NDArray[np.int64]
    write: NDArray[np.bool_]
    channel: NDArray[np.int32]
    bank: NDArray[np.int32]
    row: NDArray[np.int32]
    column: NDArray[np.int32]


class Caught(NamedTuple):
    """A rule that was seen. by: the checker's name of it; tight: the rules of the checker that the
    unharmed run meets to the tick, this one among them."""

    setting: str
    by: str
    violations: int
    tight: frozenset[str]


def memory(standard: str, **cycles: int) -> DramConfig:
    """One channel with all levels of the standard more than one wide, some cycles replaced."""
    found = msgspec.structs.replace(dram_config(STANDARDS[standard]), channels=1)
    if found.timing.standard.rank_level == "rank":
        found = msgspec.structs.replace(found, ranks=2)
    return with_cycles(found, cycles)


def with_cycles(config: DramConfig, cycles: dict[str, int]) -> DramConfig:
    known = config.timing.cycles | cycles
    known["tRC"] = max(known["tRC"], known["tRAS"] + known["tRP"])
    return msgspec.structs.replace(
        config, timing=msgspec.structs.replace(config.timing, cycles=known)
    )


def rows_of(tables: DramTables) -> list[Row]:
    return [
        (level, b, a, window, others) for level, b, a, _, window, others in tables.rules.tolist()
    ]


def never(config: DramConfig, row: Row, name: str) -> str:
    """Why the core can never come close to a rule; "" where it can."""
    _, before, after, _, _ = row
    if (
        name == "bus"
        and config.timing.standard.ticks_per_cycle > 1
        and before in (RD, WR, RDA, WRA)
    ):
        return "column commands start on rising edges, so two are at least two ticks apart"
    if (before, after) == (PREA, ACT):
        return "PREA is sent for a REF alone, so a REF stands between it and the next ACT"
    if (before, after) == (REF, PREA):
        return "after a REF a row is opened first, tRFC later, and PREA comes tRAS after that"
    if {before, after} in ({PREA, REFP}, {REF, REFP}):
        return "a controller refreshes all banks or single ones, never both"
    return ""


def unit_count(config: DramConfig) -> int:
    """REFP that refresh every bank of a rank once."""
    same = config.timing.standard.refresh_together == "same_bank"
    return config.banks // config.rank_count // (config.organisation.bank_groups if same else 1)


def often(config: DramConfig) -> DramConfig:
    """Refreshes as often as leaves the banks some time."""
    timing = config.timing
    every = int(2.2 * timing["tRFC"])
    if timing.standard.refresh_together:
        apart = int(1.5 * unit_count(config) * timing["tREF2REF"])
        every = max(every, apart, int(2.5 * timing["tRFCpb"]))
    return with_cycles(config, {"tREFI": every})


def settings(standard: str, row: Row, name: str) -> Iterator[tuple[str, DramConfig]]:
    """The memory as it is, then with cycles in which the rule holds where no other does."""
    base, (_, before, after, _, _) = memory(standard), row
    refreshes = {before, after} & {PREA, REF, REFP}

    def made(words: str, cycles: dict[str, int], own: bool = False) -> tuple[str, DramConfig]:
        known = set(base.timing.standard.timings)
        found = with_cycles(base, {n: c for n, c in cycles.items() if n in known})
        return words, often(found) if refreshes and not own else found

    yield made("as it is", {})
    late = {"tRFC": 20, "tRFCpb": 20, "tWR": 200, "tREFI": 900}
    if name == "bus":
        loose = dict.fromkeys(LOOSE, 1) | {"tPPD": 0, "tCS": 0, "tCWL": base.timing["tCL"]}
        yield made("all else 1 cycle", loose)
        yield made("all else 1 cycle, short late refreshes", loose | late, own=True)
        if REFP not in refreshes:
            soon = {"tWR": 20, "tRTP": 1, "tREFI": 300}
            yield made("all else 1 cycle, short refreshes often", loose | late | soon, own=True)
        return
    known = base.timing.standard.timings
    for term in reversed(name.replace("-", "+").split("+")):
        timing = term.strip()
        if timing in known and timing != "burst_cycles":
            most = 60 if refreshes and timing not in ("tRC", "tRP", "tRFC") else 300
            for more in (8, 60, most):
                raised = base.timing[timing] + more
                yield made(f"{timing} = {raised}", {timing: raised})
    if name == "tREF2REF":
        raised = base.timing[name] + 60
        yield made(
            f"{name} = {raised}, often",
            {name: raised, "tREFI": (raised + 12) * unit_count(base)},
            own=True,
        )
    if name == "tPPD":
        yield made("tPPD = 500, short refreshes", late | {"tPPD": 500, "tWR": 30}, own=True)
        yield made("tPPD = 500, short late refreshes", late | {"tPPD": 500, "tREFI": 600}, own=True)
    if before == after == REF:
        every = base.timing["tRFC"] + 250
        yield made("late refreshes", {"tWR": 300, "tREFI": every}, own=True)
    if before == after == REFP:
        each = (base.timing["tRFCpb"] + 250) // unit_count(base) + 1
        more = {"tREFI": each * unit_count(base), "tREF2REF": 2, "tRREFD": 2, "tRFC": 20}
        yield made("late refreshes", {"tWR": 300} | more, own=True)


def controllers(before: int, after: int) -> Iterator[Controller]:
    """Those that send both commands."""
    pair = {before, after}
    closing: tuple[RowPolicy, ...] = ("open", "timeout", "closed")
    if pair & {RDA, WRA}:
        closing = ("closed",)
    refreshing: tuple[Refresh, ...] = ("off", "all-bank")
    if pair & {PREA, REF, REFP}:
        refreshing = ("per-bank",) if REFP in pair else ("all-bank",)
    for rows, refresh in itertools.product(closing, refreshing):
        waits = 40 if rows == "timeout" else 0
        yield Controller(row_policy=rows, refresh=refresh, timeout_cycles=waits)


def traffic(config: DramConfig, seed: int, gap: float, run: int, rows: int, count: int) -> Traffic:
    """Requests to random banks and rows, `run` on average to one bank, `gap` cycles apart, with a
    pause now and then; two in five are writes, three in five go to row 0."""
    rng = np.random.default_rng(seed)
    runs = rng.integers(1, 2 * run, count)
    bank = np.repeat(rng.integers(0, config.banks, count), runs)[:count].astype(np.int32)
    row = np.where(rng.random(count) < 0.6, 0, rng.integers(0, rows, count)).astype(np.int32)
    pauses = (rng.random(count) < 0.002) * rng.integers(0, 3000, count)
    cycles = np.cumsum(rng.exponential(gap, count).astype(np.int64) + pauses)
    return Traffic(
        arrival=cycles * config.timing.standard.ticks_per_cycle,
        write=rng.random(count) < 0.4,
        channel=np.zeros(count, np.int32),
        bank=bank,
        row=row,
        column=rng.integers(0, config.organisation.columns, count).astype(np.int32),
    )


def stream(config: DramConfig, seed: int, count: int) -> Traffic:
    """Whole rows in order, all banks side by side, as fast as they are taken; one in `seed` + 2 of
    the passes over the banks writes."""
    step = np.arange(count)
    turn, columns = step // config.banks, config.organisation.columns
    groups, each = config.banks // config.organisation.banks, config.organisation.banks
    bank = step % groups * each + step // groups % each  # one group after the other
    return Traffic(
        arrival=step,
        write=turn % (seed + 2) == 0,
        channel=np.zeros(count, np.int32),
        bank=bank.astype(np.int32),
        row=(turn // columns % config.organisation.rows).astype(np.int32),
        column=(turn % columns).astype(np.int32),
    )


def watched(
    config: DramConfig, tables: DramTables, controller: Controller, asked: Traffic, refresh: str
) -> Report:
    """The checker's report on a run; every column command is told the row that was asked for."""
    done = dram_run(
        engine_spec(tables), engine_policy(controller, tables.ticks_per_cycle), *asked,
        channels=1, in_order=False, threads=1, record=True, ticking=False,
    )  # fmt: skip
    column = np.isin(done["command"], (RD, WR, RDA, WRA))
    served = np.flatnonzero(done["issue"] >= 0)
    served = served[np.argsort(done["issue"][served])]
    assert np.array_equal(done["bank"][column], asked.bank[served])
    assert np.array_equal(np.isin(done["command"][column], (WR, WRA)), asked.write[served])
    row = done["row"].copy()
    row[column] = asked.row[served]
    return check_commands(
        config, done["tick"], done["channel"], done["command"], done["bank"], row, refresh=refresh
    )


def shortened(tables: DramTables, row: Row) -> DramTables:
    """The rule one clock cycle shorter, or one tick where it keeps the command bus.

    With it the rule that says the same of a command without auto-precharge, after which the core
    decides on one with it; and one that says the same at another level.
    """
    _, before, after, window, others = row
    rows, rules = rows_of(tables), tables.rules.copy()
    i = rows.index(row)
    name, ticks = tables.rule_names[i], rules[i, 3]
    plain = {RDA: RD, WRA: WR}.get(after, after)
    for j, (_, b, a, w, o) in enumerate(rows):
        same = (b, w, o) == (before, window, others) and a in (after, plain)
        if same and (tables.rule_names[j], rules[j, 3]) == (name, ticks):
            rules[j, 3] -= 1 if name == "bus" else tables.ticks_per_cycle
    return dataclasses.replace(tables, rules=rules)


def without(tables: DramTables, kept: list[int]) -> DramTables:
    """The tables with some of their rules alone."""
    names = tuple(tables.rule_names[i] for i in kept)
    return dataclasses.replace(tables, rules=tables.rules[kept], rule_names=names)


def names_of(config: DramConfig, row: Row, name: str) -> set[str]:
    """What the checker may call a violation of the rule."""
    _, before, after, _, others = row
    if name == "bus":
        return {"command bus", "row bus", "column bus"}
    if others and "tCS" in name:
        return {"tCS"}
    if name in ("tFAW", "burst_cycles"):
        return {"tFAW"} if name == "tFAW" else {"data bus"}
    return {
        rule.name
        for rule in rules_of(Device.of(config))
        if before in rule.before and after in rule.after and rule.asks == name.replace(" ", "")
    }


def catch(standard: str, row: Row, name: str) -> Caught | None:
    """The first setting in which the checker sees the shortened rule, in the command that it is
    about, and in which the unharmed core meets it tightly."""
    wanted = names_of(memory(standard), row, name)
    for words, config in settings(standard, row, name):
        tables = dram_tables(config)
        if row not in rows_of(tables):
            continue
        harmed = shortened(tables, row)
        kinds = ((3.0, 1, 3), (1.0, 4, 2), (20.0, 1, 2))
        seeds = range(6 if name == "bus" else 2)
        for controller, kind, seed in itertools.product(controllers(*row[1:3]), kinds, seeds):
            asked = traffic(config, seed, *kind, 1500 + 1500 * seed)
            for rule in watched(config, harmed, controller, asked, "off").rules:
                if rule.violations and rule.name in wanted and _tells(rule.first, row[2]):
                    whole = watched(config, tables, controller, asked, "off")
                    assert whole.ok, whole.table()
                    tight = frozenset(r.name for r in whole.rules if r.slack_ticks == 0)
                    if rule.name in tight:
                        setting = f"{words}; rows {controller.row_policy}"
                        setting += f", refresh {controller.refresh}"
                        return Caught(setting, rule.name, rule.violations, tight)
    return None


def _tells(first: str, command: int) -> bool:
    return f": {COMMANDS[command]} " in first


def said(row: Row, name: str) -> tuple[str, str]:
    """The two commands, and the rule that holds between them."""
    level, before, after, window, others = row
    where = ("others of the " if others else "") + LEVELS[level].replace("_", " ")
    count = f", {window} back" if window > 1 else ""
    return f"{COMMANDS[before]}-{COMMANDS[after]}", f"{name} ({where}{count})"


def mutations(
    standard: str, some: slice = slice(None)
) -> Iterator[tuple[tuple[str, str], str | Caught | None]]:
    """Each rule of the standard in words, with why it is never met, or what was seen of it."""
    config = memory(standard)
    tables = dram_tables(config)
    for row, name in list(zip(rows_of(tables), tables.rule_names, strict=True))[some]:
        yield said(row, name), never(config, row, name) or catch(standard, row, name)


def report() -> str:
    """Two tables in Markdown: counts by standard, and all rules."""
    summary = ["| standard | pairs of commands | caught | never met | missed | never met tightly |"]
    lines = ["| standard | rule | between | caught on | called | violations | tightest slack |"]
    summary.append("|---|---|---|---|---|---|")
    lines.append("|---|---|---|---|---|---|---|")
    for standard in STANDARDS:
        found = dict(mutations(standard))
        caught = [what for what in found.values() if isinstance(what, Caught)]
        silent = sum(isinstance(what, str) for what in found.values())
        tight = frozenset[str]().union(*(what.tight for what in caught))
        loose = [r.name for r in rules_of(Device.of(memory(standard))) if r.name not in tight]
        counts = (len(found), len(caught), silent, len(found) - len(caught) - silent)
        summary.append(f"| {standard} | {' | '.join(map(str, counts))} | {', '.join(loose)} |")
        print(summary[-1], flush=True)
        lines += list(_by_rule(standard, found))
    return "\n".join([INTRODUCTION, *summary, "", *lines]) + "\n"


def _by_rule(standard: str, found: dict[tuple[str, str], str | Caught | None]) -> Iterator[str]:
    """A line for each rule, with the pairs of commands that it was seen between in one setting."""
    groups: dict[tuple[str, str, str], dict[str, int]] = {}
    for (pair, rule), what in found.items():
        if isinstance(what, Caught):
            groups.setdefault((rule, what.setting, what.by), {})[pair] = what.violations
        else:
            groups.setdefault((rule, f"never met: {what}" if what else "MISSED", ""), {})[pair] = 0
    for (rule, setting, by), pairs in sorted(groups.items()):
        count = f"{sum(pairs.values())} | 0" if by else " | "
        yield f"| {standard} | {rule} | {', '.join(pairs)} | {setting} | {by} | {count} |"


def count_commands(most: int) -> int:
    """Checks unharmed runs until so many commands have passed; stops at the first violation."""
    checked, start = 0, time.perf_counter()
    for seed in itertools.count():
        for name in dram_names():
            config = msgspec.structs.replace(dram_config(name), channels=1)
            tables = dram_tables(config)
            for i, controller in enumerate(all_controllers(tables)):
                gap = (1.0, 6.0, 0.0)[i % 3]
                asked = traffic(config, seed, gap, 1 + seed % 8, 4, 20000)
                if not gap:
                    asked = stream(config, seed, 20000)
                found = watched(config, tables, controller, asked, controller.refresh)
                if not found.ok:
                    raise SystemExit(f"{name}, {controller}, seed {seed}\n{found.table()}")
                checked += found.commands
                if checked >= most:
                    return checked
            rate = checked / (time.perf_counter() - start)
            print(f"{checked:.3g} commands, {rate:.3g} a second, last {name}", flush=True)
    return checked


def all_controllers(tables: DramTables) -> Iterator[Controller]:
    refreshes = (
        ("all-bank", "per-bank", "off") if tables.refresh_bank_ticks else ("all-bank", "off")
    )
    for order, rows, refresh, scope in itertools.product(
        ("fr-fcfs", "first-ready", "fcfs"), ("open", "closed", "timeout"), refreshes,
        ("pseudo_channel", "channel"),
    ):  # fmt: skip
        waits = 60 if rows == "timeout" else 0
        yield Controller(
            scheduler=order,
            row_policy=rows,
            refresh=refresh,
            queue_scope=scope,
            timeout_cycles=waits,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="Markdown file for the table of rules")
    parser.add_argument("--commands", type=float, help="check so many commands of unharmed runs")
    given = parser.parse_args()
    if given.commands:
        print(f"{count_commands(int(given.commands))} commands, no violation")
    else:
        text = report()
        if given.out is None:
            print(text)
        else:
            given.out.write_text(text)


if __name__ == "__main__":
    main()
