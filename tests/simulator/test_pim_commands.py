"""Gang commands: the event core equals the plain one, the checker finds them clean and every rule
that is cut short; who goes first at a bank."""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic._core import dram_run
from moesaic.base import BadInput
from moesaic.hardware import DramConfig, Gang, Pim
from moesaic.hardware.dram import COMMANDS
from moesaic.hardware.dram_tables import dram_tables
from moesaic.hardware.load import device, dram_config
from moesaic.simulator.memory import Controller, Program, Requests, simulate
from moesaic.simulator.memory.address_map import AddressMap, Coordinates
from moesaic.simulator.memory.check import check_commands
from moesaic.simulator.memory.run import engine_policy, engine_spec
from moesaic.simulator.pim import banks_of, rows_in_turn
from moesaic.simulator.pim.rates import one_channel

ACT, PRE, PREA, RD, WR, RDA, WRA, REF, REFP, ACTG, RDG, PREG = range(12)
OTHERS = ("ddr5_4800_16Gb_x8_2ch_2rank", "lpddr5_6400_16Gb_4ch", "gddr6_14000_16Gb_2ch")
"""One command bus for the host's rows and columns."""
HBM3 = ("hbm3_5200_duplex_16ch2pc", "hbm3_6400_16Gb_16ch2pc_2sid")
SHAPES = (
    {"bank_groups": 4, "banks": 2},
    {"stack_ids": 2, "bank_groups": 4, "banks": 1, "shares_group": True},
    {"stack_ids": 2, "bank_groups": 4, "banks": 4},
    {"bank_groups": 1, "banks": 1},
)


class Case(NamedTuple):
    config: DramConfig
    gang: Gang
    controller: Controller
    asked: tuple[np.ndarray, ...]
    program: np.ndarray


def traffic(rng, count, gap, banks, rows=3, columns=32):
    """Requests of one channel as the core takes them."""
    arrival = np.cumsum(rng.integers(0, 2 * gap, count)).astype(np.int64)
    whole = (rng.integers(0, n, count).astype(np.int32) for n in (1, banks, rows, columns))
    return arrival, rng.random(count) < 0.3, *whole


def program_of(rng, config, gang, rows):
    spaces = int(rng.integers(1, gang.count_in(config) + 1))
    rank, index = rng.integers(0, config.rank_count, rows), rng.integers(0, spaces, rows)
    return np.stack([0 * rank, rank, index, rng.integers(0, 50, rows)], 1).astype(np.int32)


def run(case, tables=None, ticking=False):
    tables = tables or dram_tables(case.config, case.gang)
    return dram_run(
        engine_spec(tables), engine_policy(case.controller, tables.ticks_per_cycle), *case.asked,
        channels=1, in_order=False, threads=1, record=True, ticking=ticking, program=case.program,
    )  # fmt: skip


def check(case, done):
    names = ("tick", "channel", "command", "bank", "row")
    return check_commands(
        case.config, *(done[name] for name in names), refresh=case.controller.refresh,
        gang=case.gang,
    )  # fmt: skip


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    config = one_channel(dram_config(draw(st.sampled_from((*HBM3, *OTHERS)))))
    part = config.organisation
    fits = [shape for shape in SHAPES if shape.get("stack_ids", 1) <= part.stack_ids]
    shape = draw(st.sampled_from(fits))
    gang = Gang(**shape, broadcast=draw(st.booleans()), own_bus=draw(st.booleans()))
    rows = draw(st.sampled_from(["open", "closed", "timeout"]))
    all_banks = gang.bank_count == 32  # one of them is always being refreshed otherwise
    controller = Controller(
        scheduler=draw(st.sampled_from(["fr-fcfs", "first-ready", "fcfs"])),
        row_policy=rows,
        timeout_cycles=40 if rows == "timeout" else 0,
        refresh=draw(st.sampled_from(["all-bank", "off", *([] if all_banks else ["per-bank"])])),
        queue_scope=draw(st.sampled_from(["pseudo_channel", "channel"])),
        read_queue=draw(st.sampled_from([1, 4, 32])),
        write_queue=draw(st.sampled_from([1, 4, 32])),
    )
    gap, banks = draw(st.sampled_from([1, 4, 20])), draw(st.sampled_from([8, config.banks]))
    asked = traffic(rng, draw(st.integers(0, 700)), gap, banks, columns=part.columns)
    return Case(config, gang, controller, asked, program_of(rng, config, gang, 20))


@given(case=cases())
@settings(max_examples=20, deadline=None)
def test_every_command_is_that_of_the_plain_reference_and_breaks_no_rule(case):
    fast, plain = run(case), run(case, ticking=True)
    for name in plain:
        assert np.array_equal(fast[name], plain[name]), name
    assert fast["counts"][0, RDG] == case.config.organisation.columns * len(case.program)
    assert (fast["finish"] > 0).all()
    report = check(case, fast)
    assert report.ok, report.table()


# Who goes first.

DUPLEX = Gang(bank_groups=4, banks=2)
CONFIG = one_channel(dram_config(HBM3[0]))


def reads_of(config, gang, count, every, index=0, start=0):
    """Reads of other rows of a gang's banks, one each `every` cycles."""
    banks = banks_of(config, gang, index)
    bank = banks[np.arange(count) % len(banks)].astype(np.int32)
    row = (1000 + np.arange(count) // 32 % 50).astype(np.int32)
    at = Coordinates(np.zeros_like(bank), bank, row, (np.arange(count) % 32).astype(np.int32))
    address = AddressMap.parse(config.address_map, config).encode(at)
    return Requests.of(address, arrival_cycles=start + every * np.arange(count))


def at(done, command):
    return done.commands.tick[done.commands.command == command] / 2


def test_a_request_that_waits_at_the_end_of_a_row_goes_before_the_next_one():
    program = rows_in_turn(CONFIG, DUPLEX, 3, ranks=1)
    asked = reads_of(CONFIG, DUPLEX, 1, 1, start=60)
    done = simulate(CONFIG, Controller(refresh="off"), asked, program=program, record=True)
    closed, opened = at(done, PREG), at(done, ACTG)
    assert closed[0] < done.issue_cycles[0] < opened[1]
    assert len(opened) == len(closed) == 3


def test_one_that_comes_during_the_turn_of_the_host_waits_for_the_row_after_it():
    program = rows_in_turn(CONFIG, DUPLEX, 3, ranks=1)
    first = simulate(
        CONFIG, Controller(refresh="off"), reads_of(CONFIG, DUPLEX, 1, 1, start=60),
        program=program, record=True,
    )  # fmt: skip
    asked = reads_of(CONFIG, DUPLEX, 2, int(first.issue_cycles[0]) - 61, start=60)
    done = simulate(CONFIG, Controller(refresh="off"), asked, program=program, record=True)
    assert done.issue_cycles[0] == first.issue_cycles[0]
    assert at(done, PREG)[1] < done.issue_cycles[1] < at(done, ACTG)[2]


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("scheduler", ["fr-fcfs", "first-ready", "fcfs"])
def test_neither_side_starves(shape, scheduler):
    """Requests that never pause meet rows that never pause, and both go on: in each
    refresh interval the host is served some and the units read some."""
    gang = Gang(**shape)
    program = rows_in_turn(CONFIG, gang, 40, ranks=1)
    asked = reads_of(CONFIG, gang, 3000, 1)
    done = simulate(CONFIG, Controller(scheduler=scheduler), asked, program=program, record=True)
    end = min(at(done, RDG)[-1], done.issue_cycles.max())
    spans = np.arange(0, end, CONFIG.timing["tREFI"])
    for cycles in (at(done, RDG), np.sort(done.issue_cycles)):
        assert np.histogram(cycles, spans)[0].min() > 0


def test_requests_to_other_gangs_do_not_notice_units_on_a_bus_of_their_own():
    program = rows_in_turn(CONFIG, DUPLEX, 20, 2)
    asked = reads_of(CONFIG, DUPLEX, 2000, 2, index=3)
    control = Controller(refresh="off")
    alone, beside = (
        simulate(CONFIG, control, asked, program=given, record=True) for given in (None, program)
    )
    assert np.array_equal(alone.finish_cycles, beside.finish_cycles)
    assert len(at(beside, RDG)) == 2 * 20 * 32
    both = simulate(CONFIG, control, Requests.of([]), program=program, record=True)
    assert np.array_equal(at(both, RDG), at(beside, RDG))


def test_a_refresh_closes_rows_in_hand_and_they_go_on_where_they_were():
    done = simulate(
        CONFIG, Controller(), Requests.of([]), program=rows_in_turn(CONFIG, DUPLEX, 200, 2),
        record=True,
    )  # fmt: skip
    assert done.counts["RDG"] == 2 * 200 * 32
    assert done.counts["ACTG"] == done.counts["PREG"] > 2 * 200
    assert done.largest_refresh_gap_cycles < 1.05 * CONFIG.timing["tREFI"]


def test_a_gang_opened_bank_by_bank_uses_plain_activates():
    gang = msgspec.structs.replace(DUPLEX, broadcast=False)
    program = rows_in_turn(CONFIG, gang, 5, ranks=1)
    done = simulate(CONFIG, Controller(refresh="off"), Requests.of([]), program=program)
    assert (done.counts["ACT"], done.counts["ACTG"], done.counts["PREG"]) == (40, 0, 5)


def test_energy_counts_an_activate_of_every_bank_and_the_bytes_of_units():
    program = rows_in_turn(CONFIG, DUPLEX, 5, ranks=1, energy_j_per_byte=14.48e-12)
    done = simulate(CONFIG, Controller(refresh="off"), Requests.of([]), program=program)
    assert done.bytes == 0
    assert done.gang_bytes == 5 * 8 * 1024
    assert done.energy_j == pytest.approx(5 * 8 * 0.909e-9 + done.gang_bytes * 14.48e-12)


@pytest.mark.parametrize("name", ["duplex", "bank-group-pim", "bank-pim", "attacc"])
def test_the_peak_of_the_gangs_is_the_internal_bandwidth_of_the_device(name):
    pim = device(name)
    assert isinstance(pim, Pim)
    assert pim.gang is not None
    config = dram_config(str(pim.memory.timing))
    peak = config.copies * pim.gang.peak_bytes_per_s(config)
    assert peak == pytest.approx(pim.internal_bandwidth_bytes_per_s, rel=0.02)


def test_what_does_not_fit_the_memory_is_refused():
    big = Gang(stack_ids=4, bank_groups=4, banks=4)
    with pytest.raises(BadInput, match="does not fit"):
        simulate(CONFIG, Controller(), Requests.of([]), program=Program.of(big, 0, 0, 0, 0))
    with pytest.raises(BadInput, match=r"index: must lie in 0\.\.3"):
        simulate(CONFIG, Controller(), Requests.of([]), program=Program.of(DUPLEX, 0, 0, 4, 0))
    with pytest.raises(ValueError, match="power of two"):
        Gang(bank_groups=3, banks=2)
    with pytest.raises(ValueError, match=r"needs `memory.timing`"):
        msgspec.structs.replace(
            device("duplex"), memory=msgspec.structs.replace(device("duplex").memory, timing=None)
        )
    record = ([0], [0], [ACTG], [0], [0])
    with pytest.raises(BadInput, match="say which banks a gang has"):
        check_commands(CONFIG, *record)


@pytest.mark.parametrize("name", ["channel", "rank", "index", "row"])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (1 << 31, "must be at most"),
        (1 << 40, "must be at most"),
        (1 << 63, "must be at most"),
        (1 << 70, "must be whole numbers"),
        (1.5, "must be whole numbers"),
        (float("nan"), "must be whole numbers"),
        (True, "must be whole numbers"),
        ([[1], [2, 3]], "must be whole numbers"),
        ([0, 0, 0], "differ in shape"),
    ],
)
def test_a_program_keeps_its_numbers_or_is_refused(name, wrong, said):
    given = {"channel": 0, "rank": 0, "index": [0, 1], "row": [0, 1]} | {name: wrong}
    with pytest.raises(BadInput, match=said):
        Program.of(DUPLEX, *given.values())


def test_a_program_is_whole_however_it_is_made():
    made = Program.of(DUPLEX, 0, np.uint8(1), [0, 1], np.array([2, -1], np.int16))
    assert {made.channel.dtype, made.rank.dtype, made.row.dtype} == {np.dtype(np.int64)}
    with pytest.raises(BadInput, match=r"row: must lie in 0\.\."):
        made.table(CONFIG)
    assert Program.of(DUPLEX, 0, 0, 0, []).table(CONFIG).shape == (0, 4)
    with pytest.raises(BadInput, match="as many of each"):
        msgspec.structs.replace(made, row=made.row[:1])
    with pytest.raises(BadInput, match="int64"):
        msgspec.structs.replace(made, row=made.row / 2)
    for energy in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="energy_j_per_byte: must be a finite number"):
            Program.of(DUPLEX, 0, 0, 0, 0, energy)


def test_a_gang_of_all_banks_never_opens_while_single_banks_are_refreshed():
    gang = Gang(stack_ids=2, bank_groups=4, banks=4)
    program = rows_in_turn(CONFIG, gang, 3)
    with pytest.raises(BadInput, match=r"needs all its 32 banks at once.*smaller gang"):
        simulate(CONFIG, Controller(refresh="per-bank"), Requests.of([]), program=program)


# States that the checker knows, by records made by hand.


def broken(gang, *commands, config=CONFIG):
    """Names of the rules that such (tick, command, bank, row) break."""
    tick, command, bank, row = zip(*commands, strict=True)
    report = check_commands(
        config, tick, [0] * len(tick), command, bank, row, refresh="off", gang=gang
    )
    return {rule.name for rule in report.rules if rule.violations}


ACTS = [(200 * i, ACT, int(b), 7) for i, b in enumerate(banks_of(CONFIG, DUPLEX, 0))]
ONE_BY_ONE = msgspec.structs.replace(DUPLEX, broadcast=False)


def test_a_gang_opens_reads_and_closes_by_its_own_commands():
    assert not broken(DUPLEX, (0, ACTG, 0, 7), (400, RDG, 0, 7), (800, PREG, 0, -1))
    assert not broken(ONE_BY_ONE, *ACTS, (2000, RDG, 0, 7), (3000, PREG, 0, -1))
    # A refresh cuts the opening short.
    assert not broken(ONE_BY_ONE, ACTS[0], (1000, PREG, 0, -1))


def test_prea_finds_no_row_of_a_gang():
    gang_open = (0, ACTG, 0, 7)
    assert broken(DUPLEX, gang_open, (1000, PREA, 0, -1)) == {"left to its gang"}
    assert broken(DUPLEX, gang_open, (1000, PREA, 16, -1)) == {"left to its gang"}
    assert not broken(DUPLEX, gang_open, (1000, PREA, 32, -1))  # the other pseudo channel
    assert not broken(DUPLEX, gang_open, (1000, PREG, 0, -1), (2000, PREA, 0, -1))
    read = (2000, RDG, 0, 7)
    assert broken(ONE_BY_ONE, *ACTS, read, (3000, PREA, 0, -1)) == {"left to its gang"}


def test_preg_finds_a_row_that_its_gang_has_opened():
    close = (3000, PREG, 0, -1)
    for gang in (DUPLEX, ONE_BY_ONE):
        assert broken(gang, close) == {"open before PREG"}
        assert broken(gang, *ACTS, close, (4000, PREG, 0, -1)) >= {"open before PREG"}
    assert broken(DUPLEX, *ACTS, close) == {"open before PREG"}
    assert broken(DUPLEX, *ACTS, (2000, RDG, 0, 7), close) == {"open before PREG"}


@pytest.mark.parametrize("name", [HBM3[0], *OTHERS])
def test_gangs_have_a_row_and_a_column_bus_of_their_own_whatever_the_host_has(name):
    config = one_channel(dram_config(name))
    gang = Gang(bank_groups=4, banks=1)
    one, other = (int(banks_of(config, gang, i)[0]) for i in (0, 1))
    meet = [(0, ACTG, one, 7), (600, RDG, one, 7)]
    assert not broken(gang, *meet, (600, ACTG, other, 7), config=config)
    shared = msgspec.structs.replace(gang, own_bus=False)
    seen = broken(shared, *meet, (600, ACTG, other, 7), config=config)
    assert seen == (set() if config.timing.standard.name == "HBM3" else {"command bus"})


# Every rule cut short.


def setting(seed, cycles, refresh, **shape):
    """Runs in which gangs, hosts and refreshes meet, with cycles under which a rule holds alone."""
    rng = np.random.default_rng(seed)
    base = one_channel(dram_config(HBM3[seed % 2]))
    cycles = base.timing.cycles | cycles
    cycles["tRC"] = max(cycles["tRC"], cycles["tRAS"] + cycles["tRP"])
    timing = msgspec.structs.replace(base.timing, cycles=cycles)
    config = msgspec.structs.replace(base, timing=timing)
    gang = Gang(**shape)
    controller = Controller(
        row_policy="closed" if seed // 2 % 2 else "open", refresh=refresh, scheduler="fr-fcfs"
    )
    asked = traffic(rng, 1500, (1, 6)[seed % 2], (64, 16)[seed // 3 % 2])
    return Case(config, gang, controller, asked, program_of(rng, config, gang, 60))


CYCLES: tuple[dict[str, int], ...] = (
    {}, {"tRC": 200, "tREFI": 1500}, {"tRAS": 250}, {"tRTP": 60, "tREFI": 1500}, {"tRP": 60},
    {"tRCDRD": 60}, {"tREFI": 1400}, {"tRC": 300, "tREFI": 2000}, {"tCCDL": 30},
    {"tRFCpb": 500, "tREFI": 9000}, {"tCCDL": 60, "tRCDRD": 2},
    {"tRFC": 20, "tWR": 200, "tREFI": 900},
)  # fmt: skip


def settings_of(row):
    shapes = [
        {**shape, "broadcast": broadcast, "own_bus": own}
        for shape, broadcast, own in itertools.product(
            (SHAPES[0], SHAPES[1], SHAPES[3]), (True, False), (True, False)
        )
        if broadcast or not {ACTG} & {row[1], row[2]}
    ]
    refreshes = ["all-bank", "per-bank", "off"]
    if REF in row[1:3] or REFP in row[1:3]:
        refreshes = ["all-bank" if REF in row[1:3] else "per-bank"] * 2
    if row[0] == 3:  # a bank group's
        shapes = [shape for shape in shapes if shape.get("shares_group")]
    for cycles in sorted(CYCLES, key=lambda given: not (RULES[row] in given or not given)):
        for seed, (shape, refresh) in enumerate(itertools.product(shapes, refreshes)):
            yield setting(seed, cycles, refresh, **shape)


def never(row):
    """Why the core can never come close to a rule, "" where it can."""
    _, before, after, *_ = row
    if PREA in (before, after):
        return "units close their rows before PREA, and after it comes a REF"
    if before in (ACTG, RDG) and after in (PRE, RD, WR, RDA, WRA) and row[0] == 4:
        return "what a unit has opened it closes itself"
    if before in (RD, WR) and after == PREG and row[0] == 4:
        return "the host's row is closed before a unit opens its own"
    return ""


def gang_rules():
    """Of a gang on its own bus, and of one that shares bus and bank groups."""
    config = one_channel(dram_config(HBM3[0]))
    kinds = (DUPLEX, msgspec.structs.replace(DUPLEX, own_bus=False, shares_group=True))
    found = {}
    for gang in kinds:
        tables = dram_tables(config, gang)
        for (level, b, a, _, window, others), name in zip(
            tables.rules.tolist(), tables.rule_names, strict=True
        ):
            if max(b, a) >= ACTG:
                found[(level, b, a, window, others)] = name
    return found


def harmed(tables, row):
    """The rule a cycle shorter (a tick where it keeps a bus), or None where it is not there. The
    core decides for RDA and WRA when it does for RD and WR, so those are cut with them."""
    rules = tables.rules.copy()
    level, before, after, *rest = row
    both = {row, (level, before, after - 2, *rest)} if after in (RDA, WRA) else {row}
    at = [i for i, r in enumerate(rules.tolist()) if (*r[:3], *r[4:]) in both]
    for i in at:
        rules[i, 3] -= 1 if tables.rule_names[i] == "bus" else tables.ticks_per_cycle
    return dataclasses.replace(tables, rules=rules) if at else None


def caught(row):
    """Whether the checker sees the rule cut short, met to the tick by the unharmed core."""
    for case in settings_of(row):
        cut = harmed(tables := dram_tables(case.config, case.gang), row)
        if cut is None:
            continue
        try:
            seen = [r.name for r in check(case, run(case, cut)).rules if r.violations]
            whole = check(case, run(case, tables)) if seen else None
        except RuntimeError:  # refreshes leave no time under these cycles
            continue
        if whole is not None:
            assert whole.ok, whole.table()
            if any(whole[name].slack_ticks == 0 for name in seen):
                return True
    return False


RULES = {row: name for row, name in gang_rules().items() if not never(row)}


def title(row):
    return f"{COMMANDS[row[1]]}-{COMMANDS[row[2]]}-{RULES[row]}"


@pytest.mark.parametrize("row", list(RULES)[::9], ids=title)
def test_a_gang_rule_cut_short_is_seen(row):
    assert caught(row)


@pytest.mark.slow
@pytest.mark.parametrize("row", RULES, ids=title)
def test_every_gang_rule_cut_short_is_seen(row):
    assert caught(row)
