"""The memory core: closed forms, skipping equals ticking, and nothing is lost on the way."""

import math
import re

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import dram_config
from moesaic.simulator.memory import POLICIES, Controller, Requests, simulate

HBM2, HBM3, DDR4 = "hbm2_2000_4Gb_1pc", "hbm3_6400_4Gb_1ch2pc", "ddr4_3200_8Gb_x8_1ch"
ONE_OF_EACH = (
    "ddr4_3200_8Gb_x8_1ch_2rank",
    "ddr5_4800_16Gb_x8_2ch",
    "lpddr5_6400_8Gb_4ch",
    "gddr6_14000_8Gb_2ch",
    "hbm2_2400_8Gb_8ch2pc_2sid",
    "hbm2e_3200_8Gb_8ch2pc_2sid",
    "hbm3_6400_8Gb_16ch2pc_2sid",
    "hbm3e_9600_8Gb_16ch2pc_2sid",
    "hbm4_8000_8Gb_32ch2pc_2sid",
)


def memory(name, channels=2):
    """A config of the catalogue with at most so many channels."""
    config = dram_config(name)
    count = min(config.channels, channels)
    bits = f"ch:{count.bit_length() - 1}"
    text = re.sub(r"ch:\d+", bits if count > 1 else "", config.address_map)
    return msgspec.structs.replace(config, channels=count, address_map=" ".join(text.split()))


def changed(policy="moesaic", **changes):
    return msgspec.convert(msgspec.to_builtins(POLICIES[policy]) | changes, Controller)


def random_reads(config, count, seed=0):
    accesses = config.capacity_bytes // config.organisation.access_bytes
    found = np.random.default_rng(seed).choice(accesses, count, replace=False)
    return Requests.of(found.astype(np.uint64) * config.organisation.access_bytes)


# Closed forms.


@pytest.mark.parametrize("name", [*ONE_OF_EACH, HBM2, HBM3, DDR4])
def test_an_idle_read_takes_its_activate_its_latency_and_its_burst(name):
    """RD waits tRCD from the last cycle of ACT on, its own last cycle counted, for a whole cycle;
    the data end tCL + burst later, in the tick whose end is told."""
    config = dram_config(name)
    timing, standard = config.timing, config.timing.standard
    act, read = (standard.bus_cycles.get(command, 1) for command in ("ACT", "RD"))
    issue = math.ceil(timing["tRCDRD"] + act - read)
    last = issue + timing["tCL"] + timing["burst_cycles"] + 1 / standard.ticks_per_cycle
    run = simulate(config, POLICIES["moesaic"], Requests.of([0]))
    assert run.issue_cycles.tolist() == [issue]
    assert run.finish_cycles.tolist() == run.read_latency_cycles().tolist() == [last]


@pytest.mark.parametrize("name", [HBM2, DDR4])
def test_a_stream_fills_the_bus_but_for_refresh(name):
    """derived: each tREFI loses tRFC, and the rows that are closed and opened again around it: at
    most tRTP + tRP + tRCD and the four activates by which the bus is busy again."""
    config = dram_config(name)
    timing, size = config.timing, config.organisation.access_bytes
    asked = Requests.of(np.arange(60_000, dtype=np.uint64) * np.uint64(size))
    free = simulate(config, changed(refresh="off"), asked).share_of_peak
    assert free > 0.999
    lost = 1 - simulate(config, changed(), asked).share_of_peak / free
    around = sum(timing[part] for part in ("tRTP", "tRP", "tRCDRD")) + 4 * timing["tRRDS"]
    assert timing["tRFC"] <= lost * timing["tREFI"] <= timing["tRFC"] + around


@pytest.mark.parametrize(("name", "nearness"), [(HBM2, 0.99), (HBM3, 0.98)])
def test_random_reads_wait_for_activates(name, nearness):
    """Each opens a row: no more than min(4 bursts in tFAW, a burst in tRRD_S), and nearly that."""
    config = dram_config(name)
    timing = config.timing
    burst = timing["burst_cycles"]
    most = min(4 * burst / timing["tFAW"], burst / timing["tRRDS"])
    deep = changed(refresh="off", read_queue=512)
    share = simulate(config, deep, random_reads(config, 40_000)).share_of_peak
    assert nearness * most < share <= most


@pytest.mark.parametrize("name", [HBM2, DDR4])
def test_rows_of_one_bank_follow_each_other_by_a_row_cycle(name):
    config = dram_config(name)
    row_bytes = config.capacity_bytes // config.organisation.rows
    asked = Requests.of(np.arange(50, dtype=np.uint64) * np.uint64(row_bytes))
    run = simulate(config, changed(refresh="off"), asked)
    np.testing.assert_array_equal(np.diff(run.issue_cycles), config.timing["tRC"])
    assert run.counts["ACT"] == 50


@pytest.mark.parametrize("write", [False, True])
def test_a_row_is_read_and_written_by_the_column_distance_of_its_group(write):
    config = dram_config(HBM2)
    asked = Requests.of(np.arange(32, dtype=np.uint64) * np.uint64(128), write)
    run = simulate(config, changed(refresh="off"), asked)
    np.testing.assert_array_equal(np.diff(run.issue_cycles), config.timing["tCCDL"])
    assert run.counts["ACT"] == 1
    assert run.row_hit_rate == 31 / 32


def test_twice_the_channels_take_random_reads_in_half_the_time():
    whole = dram_config("hbm2_2000_4Gb_16pc")
    asked = random_reads(memory("hbm2_2000_4Gb_16pc", 1), 16_000)
    cycles = [
        simulate(memory(whole.name, count), changed(refresh="off"), asked).cycles
        for count in (1, 2, 4, 8)
    ]
    np.testing.assert_allclose(np.divide(cycles[:-1], cycles[1:]), 2, rtol=0.05)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("all-bank", name) for name in ONE_OF_EACH] + [("per-bank", name) for name in ONE_OF_EACH[1:]],
)
def test_every_rank_is_refreshed_in_time_while_it_idles_and_while_it_works(kind, name):
    config = memory(name, 1)
    timing = config.timing
    asked = random_reads(config, 400)
    span = 10 * timing["tREFI"]
    arrival = np.repeat([0, span], 200)
    late = msgspec.structs.replace(asked, arrival_cycles=arrival)
    run = simulate(config, changed(refresh=kind), late)
    name, due = ("REF", "tREFI") if kind == "all-bank" else ("REFP", "tREFIpb")
    assert run.counts[name] == pytest.approx(config.rank_count * run.cycles / timing[due], rel=0.15)
    assert run.largest_refresh_gap_cycles < 2 * timing["tREFI"]
    assert simulate(config, changed(refresh="off"), late).counts[name] == 0


# Skipping equals ticking.


@st.composite
def controllers(draw, config):
    words = {
        "scheduler": draw(st.sampled_from(["fr-fcfs", "first-ready", "fcfs"])),
        "most_hits": draw(st.sampled_from([0, 1, 4])),
        "read_queue": draw(st.sampled_from([1, 3, 16])),
        "write_queue": draw(st.sampled_from([1, 2, 16])),
        "queue_scope": draw(st.sampled_from(["pseudo_channel", "channel"])),
        "row_policy": draw(st.sampled_from(["open", "closed", "timeout"])),
        "front": draw(st.sampled_from(["in-order", "per-channel"])),
    }
    refreshes = ["all-bank", "off"]
    if config.timing.standard.refresh_together is not None:
        refreshes.append("per-bank")
    words["refresh"] = draw(st.sampled_from(refreshes))
    if words["row_policy"] == "timeout":
        words["timeout_cycles"] = draw(st.sampled_from([1, 40, 500]))
    if words["scheduler"] != "fr-fcfs":
        words["most_hits"] = 0
    words["write_high"] = draw(st.sampled_from([0.5, 0.8, 1.0]))
    return Controller(**words)


@st.composite
def questions(draw, config):
    """A few rows of a few banks, now in a burst and now after a pause of some refreshes."""
    count = draw(st.integers(1, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = draw(st.sampled_from([1, 3, 50]))
    size = np.uint64(config.organisation.access_bytes)
    near = config.capacity_bytes // config.organisation.rows
    address = rng.integers(0, near, count, np.uint64) // size * size
    address += rng.integers(0, rows, count, np.uint64) * np.uint64(near)
    again = rng.random(count) < draw(st.sampled_from([0.0, 0.3]))
    address[again] = rng.choice(address, int(again.sum()))
    gaps = rng.choice([0, 1, 30], count)
    gaps[rng.integers(0, count)] += draw(st.sampled_from([0, 300, 3 * config.timing["tREFI"]]))
    write = rng.random(count) < draw(st.sampled_from([0.0, 0.4, 1.0]))
    return Requests.of(address, write, np.cumsum(gaps))


@st.composite
def cases(draw):
    config = memory(draw(st.sampled_from(ONE_OF_EACH)))
    return config, draw(controllers(config)), draw(questions(config))


def same(one, other):
    """Every number of two runs, and every command in its order where both recorded theirs."""
    for name in ("accepted_cycles", "issue_cycles", "finish_cycles"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    for name in ("cycles", "counts", "forwarded", "coalesced", "largest_refresh_gap_cycles"):
        assert getattr(one, name) == getattr(other, name), name
    if one.commands is not None and other.commands is not None:
        for name in one.commands.__struct_fields__:
            ours, theirs = getattr(one.commands, name), getattr(other.commands, name)
            np.testing.assert_array_equal(ours, theirs, name)


@settings(max_examples=80, deadline=None)
@given(cases())
def test_skipping_equals_looking_at_every_tick(case):
    config, controller, asked = case
    ticked = simulate(config, controller, asked, record=True, every_tick=True)
    assert ticked.commands is not None
    same(simulate(config, controller, asked, record=True), ticked)
    same(simulate(config, controller, asked), ticked)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_long_regular_streams_are_not_cut_short(name, policy):
    """What repeats invites to be skipped: a stream, tiles of three experts in turn, a copy."""
    config = memory(name)
    size, half = config.organisation.access_bytes, config.capacity_bytes // 2
    line = np.arange(2000)
    tiles = line % 32 + line // 96 * 32 + line // 32 % 3 * (half // size // 2)
    copied = line // 2 * size + line % 2 * half
    for address, write in ((line * size, False), (tiles * size, False), (copied, line % 2 == 1)):
        asked = Requests.of(address, write)
        for refresh in ("all-bank", "off"):
            controller = changed(policy, refresh=refresh)
            ticked = simulate(config, controller, asked, record=True, every_tick=True)
            same(simulate(config, controller, asked, record=True), ticked)
            same(simulate(config, controller, asked), ticked)


@settings(max_examples=40, deadline=None)
@given(cases(), st.sampled_from([2, 4]))
def test_channels_side_by_side_do_what_one_after_the_other_do(case, threads):
    config, controller, asked = case
    one = simulate(config, controller, asked, record=True)
    same(one, simulate(config, controller, asked, record=True, threads=threads))


@settings(max_examples=50, deadline=None)
@given(cases())
def test_every_request_is_served_once_and_in_time(case):
    config, controller, asked = case
    run = simulate(config, controller, asked, record=True)
    moved = sum(run.counts[name] for name in ("RD", "WR", "RDA", "WRA"))
    assert moved + run.forwarded + run.coalesced == len(asked)
    assert (run.accepted_cycles >= asked.arrival_cycles).all()
    assert (run.finish_cycles > run.accepted_cycles).all()
    sent = run.issue_cycles >= 0
    assert (run.issue_cycles[sent] >= run.accepted_cycles[sent]).all()
    assert int((~sent).sum()) == run.forwarded + run.coalesced
    assert run.commands is not None
    assert run.commands.tick.size == sum(run.counts.values())
    if controller.front == "in-order":
        assert (np.diff(run.accepted_cycles) >= 0).all()


def test_an_empty_list_of_requests_takes_no_time():
    run = simulate(dram_config(HBM2), POLICIES["moesaic"], Requests.of(np.zeros(0)))
    assert (run.cycles, run.bandwidth_bytes_per_s, run.row_hit_rate) == (0, 0, 0)


# Bad input.


def test_an_address_beyond_the_memory_is_named():
    config = dram_config(HBM2)
    with pytest.raises(BadInput, match=f"{config.capacity_bytes:#x}|{config.capacity_bytes}"):
        simulate(config, POLICIES["moesaic"], Requests.of([0, config.capacity_bytes]))


def test_a_standard_without_refresh_of_banks_refuses_it():
    with pytest.raises(BadInput, match="DDR4 has no refresh of single banks"):
        simulate(dram_config(DDR4), changed(refresh="per-bank"), Requests.of([0]))


@pytest.mark.parametrize("name", ["hbm2_2000_4Gb_1pc", "hbm3_6400_4Gb_1ch2pc"])
def test_long_idle_times_are_passed_as_if_every_tick_were_done(name):
    config = dram_config(name)
    pause = 30 * config.timing["tREFI"] + 17
    asked = Requests(
        np.array([0, 0, 3, pause, pause + 1, 2 * pause]),
        np.array([False, True, False, False, True, False]),
        np.array([0, 64, 4096, 32, 1 << 20, 96], np.uint64),
    )
    for controller in POLICIES.values():
        quick, plain = (simulate(config, controller, asked, every_tick=t) for t in (False, True))
        assert quick.counts == plain.counts
        assert quick.largest_refresh_gap_cycles == plain.largest_refresh_gap_cycles
        assert np.array_equal(quick.finish_cycles, plain.finish_cycles)
        stepped = simulate(config, controller, asked, record=True)
        assert stepped.counts == quick.counts


def test_the_end_of_time_is_reached_at_once():
    config = dram_config("hbm2_2000_4Gb_1pc")
    last = 10**13 - 1
    run = simulate(config, POLICIES["moesaic"], Requests.of([0, 64], arrival_cycles=[0, last]))
    assert run.counts["REF"] == pytest.approx(last / config.timing["tREFI"], rel=1e-6)
