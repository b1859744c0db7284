"""Streams: requests made as they are needed, and stretches that a channel has met before."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import dram_config
from moesaic.simulator.memory import Controller, Requests, Tiles, simulate, simulate_stream
from moesaic.simulator.memory.address_map import AddressMap

MEMORIES = (
    "hbm2_2000_4Gb_1pc",
    "hbm2_2000_4Gb_16pc",
    "hbm3_6400_4Gb_1ch2pc",
    "hbm3_6400_8Gb_16ch2pc_2sid",
    "ddr4_3200_8Gb_x8_1ch",
    "ddr5_4800_16Gb_x8_2ch",
    "lpddr5_6400_8Gb_4ch",
    "gddr6_14000_8Gb_2ch",
    "hbm4_8000_8Gb_32ch2pc_2sid",
)


def round_robin(config, readers, tile_bytes, total_bytes, seed, shift=0):
    """Tiles of readers in turn, each in its own block on a step of 2 MiB."""
    rng = np.random.default_rng(seed)
    step = 2 << 20
    blocks = rng.choice(min(config.capacity_bytes // step - 8, 4096), readers, replace=False)
    rounds = max(1, total_bytes // tile_bytes // readers)
    base = blocks[None, :] * step + np.arange(rounds)[:, None] * tile_bytes + shift
    count = base.size
    return Tiles(base.ravel().astype(np.uint64), np.full(count, tile_bytes), np.zeros(count, bool))


@st.composite
def streams(draw):
    config = dram_config(draw(st.sampled_from(MEMORIES)))
    tiles = round_robin(
        config,
        readers=draw(st.sampled_from([1, 2, 4])),
        tile_bytes=draw(st.sampled_from([1024, 4096, 65536])),
        total_bytes=draw(st.sampled_from([1 << 16, 1 << 19])),
        seed=draw(st.integers(0, 2**32 - 1)),
        shift=draw(st.sampled_from([0, 0, 32, 100])),
    )
    if draw(st.integers(0, 4)) == 0:
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        tiles = msgspec.structs.replace(tiles, write=rng.random(len(tiles.base)) < 0.3)
    refreshes = ["all-bank", "all-bank", "off"]
    if config.timing.standard.refresh_together is not None:
        refreshes.append("per-bank")
    scheduler = draw(st.sampled_from(["first-ready", "fr-fcfs", "fcfs"]))
    controller = Controller(
        scheduler=scheduler,
        most_hits=draw(st.sampled_from([0, 4])) if scheduler == "fr-fcfs" else 0,
        row_policy=draw(st.sampled_from(["open", "closed"])),
        refresh=draw(st.sampled_from(refreshes)),
        queue_scope=draw(st.sampled_from(["pseudo_channel", "channel"])),
        read_queue=draw(st.sampled_from([8, 32])),
    )
    return config, controller, tiles


def totals(run):
    return run.cycles, run.counts, run.largest_refresh_gap_cycles


@settings(max_examples=30, deadline=None)
@given(streams())
def test_a_stream_is_served_as_its_requests_one_by_one_are(stream):
    config, controller, tiles = stream
    written_out = simulate(config, controller, tiles.requests(config.organisation.access_bytes))
    remembered = simulate_stream(config, controller, tiles)
    assert totals(remembered) == totals(written_out)
    assert totals(simulate_stream(config, controller, tiles, remember=False)) == totals(written_out)


@pytest.mark.parametrize("refresh", ["all-bank", "per-bank", "off"])
@pytest.mark.parametrize("scheduler", ["first-ready", "fr-fcfs"])
def test_a_long_stream_is_mostly_remembered_and_the_same(scheduler, refresh):
    config = dram_config("hbm3_6400_4Gb_16ch2pc")
    controller = Controller(scheduler=scheduler, refresh=refresh)
    tiles = round_robin(config, 1, 1 << 20, 32 << 20, seed=1)
    run = simulate_stream(config, controller, tiles)
    assert run.remembered > 0.7 * run.segments
    assert totals(run) == totals(simulate_stream(config, controller, tiles, remember=False))
    assert run.bytes == 32 << 20
    assert totals(run) == totals(simulate_stream(config, controller, tiles, threads=2))


def test_a_stream_under_hashed_banks_is_the_same_too():
    config = dram_config("hbm2_2000_4Gb_16pc")
    hashed = "off:5 ch:4^ro+4 bg:2^ro+2 co:5 ba:2^ro ro:15"
    assert AddressMap.parse(hashed, config).capacity_bytes == config.capacity_bytes
    controller = Controller(address_map=hashed)
    tiles = round_robin(config, 4, 8192, 8 << 20, seed=3)
    run = simulate_stream(config, controller, tiles)
    plain = simulate(config, controller, tiles.requests(32))
    assert totals(run) == totals(plain)


def test_a_tile_beyond_the_memory_is_refused():
    config = dram_config("hbm2_2000_4Gb_1pc")
    end = np.array([config.capacity_bytes - 32], np.uint64)
    with pytest.raises(BadInput, match="beyond the 536870912 bytes"):
        simulate_stream(config, Controller(), Tiles(end, np.array([64]), np.array([False])))


def test_refreshes_that_leave_no_time_are_told_of():
    config = dram_config("hbm2_2000_4Gb_1pc")
    cycles = config.timing.cycles | {"tRFC": 100, "tREFI": 149}
    starved = msgspec.structs.replace(
        config, timing=msgspec.structs.replace(config.timing, cycles=cycles)
    )
    tiles = Tiles(np.zeros(1, np.uint64), np.array([1 << 16]), np.array([False]))
    late = Requests(np.array([1000]), np.array([False]), np.zeros(1, np.uint64))
    for serve in (
        lambda: simulate_stream(starved, Controller(refresh="per-bank"), tiles),
        lambda: simulate(starved, Controller(refresh="per-bank"), late),
        lambda: simulate(starved, Controller(refresh="per-bank"), late, every_tick=True),
    ):
        with pytest.raises(BadInput, match="refreshes leave no time"):
            serve()
